# SPDX-License-Identifier: MIT
# textpatch's own builds: test kernel, examples, tests, benchmarks.

textpatch_enable_languages()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,ASM>:-Wall;-Wextra;-Werror>"
    "$<$<COMPILE_LANGUAGE:ASM_NASM>:-w+error>")

include(CTest)
include(TextpatchKernel)
include(TextpatchHost)
include(TextpatchTest)

foreach(directory IN ITEMS tools test-kernel examples bench)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${directory}/CMakeLists.txt")
        add_subdirectory(${directory})
    endif()
endforeach()
if(BUILD_TESTING)
    add_subdirectory(tests)
endif()
