# SPDX-License-Identifier: MIT
# The library as part of an ordinary process: for unit tests and benchmarks.

textpatch_read_sources(textpatch_host_sources core)
# A process has memcpy and its kin from the C library, or from the sanitizer.
list(FILTER textpatch_host_sources EXCLUDE REGEX "/asm/memory\\.asm$")

# add_host_library(NAME OPTIONS…): a library to link to, of objects, since an archive would leave out what only the
# tables refer to. At fixed addresses, because sites and records hold 32-bit displacements. Without a red zone, as any
# code must be that has sites with calls. The tables are added to the host's own linker script.
function(add_host_library name)
    textpatch_watch_includes(${textpatch_host_sources})
    add_library(${name} OBJECT EXCLUDE_FROM_ALL ${textpatch_host_sources})
    target_compile_options(${name} PUBLIC "$<$<COMPILE_LANGUAGE:C>:-O2;-g;-fno-pie;-mno-red-zone;${ARGN}>")
    target_include_directories(${name} PUBLIC "${TEXTPATCH_DIR}/include" "${TEXTPATCH_DIR}/lib")
    # For programs that pin themselves to a CPU and the like; defined as a file would by itself.
    target_compile_definitions(${name} INTERFACE _GNU_SOURCE=)
    target_link_options(${name} PUBLIC
        -no-pie ${ARGN} -L "${TEXTPATCH_DIR}/linker" -T "${TEXTPATCH_DIR}/linker/textpatch-host.ld")
    set_property(TARGET ${name} APPEND PROPERTY INTERFACE_LINK_DEPENDS
        "${TEXTPATCH_DIR}/linker/textpatch-host.ld" "${TEXTPATCH_DIR}/linker/textpatch.ld")
endfunction()

add_host_library(textpatch_host)

# The same, with text that other threads execute meanwhile: what tests/silicon and bench/live share.
set(silicon_dir "${TEXTPATCH_DIR}/tests/silicon")
add_library(silicon_port OBJECT EXCLUDE_FROM_ALL "${silicon_dir}/silicon_port.c" "${silicon_dir}/peer.c"
    "${silicon_dir}/crowd.c" "${silicon_dir}/grid.c" "${silicon_dir}/sites.asm")
target_link_libraries(silicon_port PUBLIC textpatch_host)
target_include_directories(silicon_port PUBLIC "${silicon_dir}")
