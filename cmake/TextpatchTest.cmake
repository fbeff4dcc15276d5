# SPDX-License-Identifier: MIT
# What the tests share. A test that ends with 77 was skipped, and its output says why.

set(TEXTPATCH_SKIPPED 77)
set(TEXTPATCH_BOOT "${CMAKE_CURRENT_SOURCE_DIR}/scripts/boot")

# textpatch_add_test(NAME SECONDS COMMAND…)
function(textpatch_add_test name seconds)
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds} SKIP_RETURN_CODE ${TEXTPATCH_SKIPPED})
endfunction()

# textpatch_add_suites(KERNEL WORLD SUITES…): one test for each suite that the kernel is to run in that world; `all`
# stands for all of them in one boot, which takes as long as all of them; words behind a suite's name are for the kernel
function(textpatch_add_suites kernel world)
    foreach(suite IN LISTS ARGN)
        set(limit 180)
        if(suite STREQUAL "all")
            set(limit 600)
        endif()
        math(EXPR seconds "${limit} + 30")
        string(REPLACE " " "." name "${suite}")
        textpatch_add_test(kernel.${world}.${name} ${seconds} "${CMAKE_COMMAND}" -E env TP_TIMEOUT=${limit}
            "${CMAKE_SOURCE_DIR}/scripts/run-suite" ${world} $<TARGET_FILE:${kernel}> "${suite}")
    endforeach()
endfunction()
