# SPDX-License-Identifier: MIT
# The host tool in a kernel's link: tools/link says what is done.
#
#   textpatch_kernel(TARGET [UNWIND] [SCHEME name] [SITES options…] [CHECK options…])
#
# TARGET is an executable of add_executable() that links to textpatch, for the generators Ninja and Makefiles. Its link
# becomes two, with the tool in between, and fails where `textpatch check` finds fault. UNWIND: with a table for
# textpatch/unwind.h. The tool is built along with it, for the machine that builds, unless TEXTPATCH_TOOL names one; it
# needs libelf, libdw and Zydis. The kernel is linked anew when a linker script of its -T changes.

set(TEXTPATCH_TOOL "" CACHE FILEPATH "The host tool textpatch, where it should not be built")

# The tool as a project of its own: the kernel's flags, and its compiler, may be for another machine.
function(textpatch_add_tool_project source_dir)
    if(TARGET textpatch-tool-project)
        return()
    endif()
    include(ExternalProject)
    ExternalProject_Add(textpatch-tool-project
        SOURCE_DIR "${source_dir}"
        BINARY_DIR "${CMAKE_BINARY_DIR}/textpatch-tool"
        CMAKE_ARGS -DTEXTPATCH_TOOL_ONLY=ON -DCMAKE_BUILD_TYPE=Release
        BUILD_COMMAND "${CMAKE_COMMAND}" --build <BINARY_DIR> --target textpatch-tool
        BUILD_ALWAYS ON
        BUILD_BYPRODUCTS "${CMAKE_BINARY_DIR}/textpatch-tool/tools/textpatch"
        INSTALL_COMMAND "")
endfunction()

function(textpatch_kernel target)
    cmake_parse_arguments(PARSE_ARGV 1 kernel "UNWIND" "SCHEME" "SITES;CHECK")
    cmake_path(GET CMAKE_CURRENT_FUNCTION_LIST_DIR PARENT_PATH source_dir)
    if(NOT CMAKE_GENERATOR MATCHES "Ninja|Makefiles")
        message(FATAL_ERROR "textpatch_kernel(${target}): works with the generators Ninja and Makefiles only")
    endif()
    if(TEXTPATCH_TOOL)
        set(tool "${TEXTPATCH_TOOL}")
    elseif(TARGET textpatch-tool)
        get_target_property(directory textpatch-tool BINARY_DIR)
        set(tool "${directory}/textpatch")
        add_dependencies(${target} textpatch-tool)
    else()
        textpatch_add_tool_project("${source_dir}")
        set(tool "${CMAKE_BINARY_DIR}/textpatch-tool/tools/textpatch")
        add_dependencies(${target} textpatch-tool-project)
    endif()
    set(unwind "")
    if(kernel_UNWIND)
        set(unwind "--unwind")
    endif()
    set(scheme "")
    if(kernel_SCHEME)
        set(scheme "--scheme ${kernel_SCHEME}")
    endif()
    list(JOIN kernel_SITES " " sites)
    list(JOIN kernel_CHECK " " check)
    set_target_properties(${target} PROPERTIES RULE_LAUNCH_LINK
        "\"${source_dir}/tools/link\" --tool \"${tool}\" --as \"${CMAKE_C_COMPILER}\" ${unwind} ${scheme} --sites \"${sites}\" --check \"${check}\" --")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${tool}" "${source_dir}/tools/link")
    foreach(suffix IN ITEMS first second sites.s sites.o orc.s orc.o)
        set_property(TARGET ${target} APPEND PROPERTY ADDITIONAL_CLEAN_FILES "$<TARGET_FILE:${target}>.${suffix}")
    endforeach()
    # When all of the directory has been read, as link options may come later than this.
    cmake_language(EVAL CODE "cmake_language(DEFER CALL textpatch_watch_scripts [[${target}]])")
endfunction()

# textpatch_split_options(VARIABLE OPTIONS…): as the linker sees them, without LINKER:, SHELL: and -Wl,
function(textpatch_split_options variable)
    set(words "")
    foreach(option IN LISTS ARGN)
        if(option MATCHES "^(LINKER:)?SHELL:(.*)$")
            separate_arguments(parts UNIX_COMMAND "${CMAKE_MATCH_2}")
        elseif(option MATCHES "^(LINKER:|-Wl,)(.*)$")
            string(REPLACE "," ";" parts "${CMAKE_MATCH_2}")
        else()
            set(parts "${option}")
        endif()
        list(APPEND words ${parts})
    endforeach()
    set(${variable} ${words} PARENT_SCOPE)
endfunction()

# Linker scripts that the target names itself: the kernel is linked anew when one changes.
function(textpatch_watch_scripts target)
    get_target_property(options ${target} LINK_OPTIONS)
    get_target_property(flags ${target} LINK_FLAGS)
    separate_arguments(flags UNIX_COMMAND "${flags} ${CMAKE_EXE_LINKER_FLAGS}")
    textpatch_split_options(words ${options} ${flags})
    textpatch_split_options(words ${words}) # SHELL:-Wl,…
    set(previous "")
    foreach(word IN LISTS words)
        set(script "")
        if(previous MATCHES "^(-T|--script|-script)$")
            set(script "${word}")
        elseif(NOT word MATCHES "^-T(text|data|bss|rodata|ldata)" AND word MATCHES "^(--script=|-script=|-T)(.+)$")
            set(script "${CMAKE_MATCH_2}")
        endif()
        if(script STREQUAL "-Xlinker")
            continue() # -Xlinker -T -Xlinker FILE
        endif()
        set(previous "${word}")
        foreach(directory IN ITEMS "${CMAKE_BINARY_DIR}" "${CMAKE_CURRENT_BINARY_DIR}")
            cmake_path(ABSOLUTE_PATH script BASE_DIRECTORY "${directory}" OUTPUT_VARIABLE path)
            if(script AND (EXISTS "${path}" OR IS_ABSOLUTE "${script}"))
                set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${path}")
                break()
            endif()
        endforeach()
    endforeach()
endfunction()
