# SPDX-License-Identifier: MIT
# The library's targets, from sources.txt: the one list that all ways in share.

set(TEXTPATCH_DIR "${CMAKE_CURRENT_SOURCE_DIR}")

# textpatch_read_sources(VARIABLE GROUP): absolute paths of the files of one group.
function(textpatch_read_sources variable group)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${TEXTPATCH_DIR}/sources.txt")
    file(STRINGS "${TEXTPATCH_DIR}/sources.txt" lines REGEX "^${group} ")
    list(TRANSFORM lines REPLACE "^${group} +" "${TEXTPATCH_DIR}/")
    set(${variable} ${lines} PARENT_SCOPE)
endfunction()

function(textpatch_add_library target group)
    textpatch_read_sources(sources ${group})
    add_library(${target} INTERFACE)
    target_sources(${target} INTERFACE ${sources})
    target_include_directories(${target} INTERFACE "${TEXTPATCH_DIR}/include")
    # For `INCLUDE textpatch.ld` in the kernel's linker script.
    target_link_directories(${target} INTERFACE "${TEXTPATCH_DIR}/linker")
    set_property(TARGET ${target} APPEND PROPERTY INTERFACE_LINK_DEPENDS "${TEXTPATCH_DIR}/linker/textpatch.ld")
endfunction()
