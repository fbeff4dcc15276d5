# SPDX-License-Identifier: MIT
# CMake leaves .asm files out of a target without a word when NASM is not enabled, and the kernel then fails to link
# far from the cause. So the cause is named here.

function(textpatch_require_languages)
    if(PROJECT_IS_TOP_LEVEL)
        return()
    endif()
    # The variables follow the scope, unlike the global list of enabled languages: a language that a sibling
    # directory enabled is of no use to this one's consumer.
    foreach(language IN ITEMS C ASM_NASM)
        if(NOT CMAKE_${language}_COMPILER)
            message(FATAL_ERROR
                "textpatch is written in C and NASM, and the language ${language} is not enabled here. "
                "Say `project(${CMAKE_PROJECT_NAME} LANGUAGES C ASM_NASM)`, or `enable_language(${language})` "
                "before textpatch is added. NASM itself is the package `nasm` nearly everywhere.")
        endif()
    endforeach()
endfunction()

# textpatch_watch_includes(FILES…): the .asm files among them, of this directory, are assembled anew when an include
# file changes. NASM 2.16 lists none of those where it also assembles (-MD), and CMake has it do both at once.
function(textpatch_watch_includes)
    file(GLOB includes CONFIGURE_DEPENDS
        "${TEXTPATCH_DIR}/include/textpatch/*.inc" "${TEXTPATCH_DIR}/test-kernel/platform/*.inc")
    set(sources ${ARGN})
    list(FILTER sources INCLUDE REGEX "\\.asm$")
    if(sources)
        set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS ${includes})
    endif()
endfunction()

# For textpatch's own builds. A macro, since languages belong to the directory that enables them.
macro(textpatch_enable_languages)
    include(CheckLanguage)
    check_language(ASM_NASM)
    if(NOT CMAKE_ASM_NASM_COMPILER)
        message(FATAL_ERROR
            "No nasm was found. Install it (`scripts/deps` does on Debian), or name it with "
            "-DCMAKE_ASM_NASM_COMPILER=FILE.")
    endif()
    enable_language(C)
    enable_language(ASM)
    enable_language(ASM_NASM)
endmacro()
