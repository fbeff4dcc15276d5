# SPDX-License-Identifier: MIT
# Kernels of this tree: the test kernel and the examples that share its platform.

set(TEXTPATCH_KERNEL_MODEL kernel CACHE STRING "Code model of the kernels: kernel (-mcmodel=kernel) or pie (-fPIE)")
set(TEXTPATCH_KERNEL_LINKER "" CACHE STRING "Linker of the kernels: bfd, lld, or empty for the compiler's own")
option(TEXTPATCH_KERNEL_GC "Drop unreferenced sections from the kernels" ON)
option(TEXTPATCH_KERNEL_TOOL "Link the kernels with the host tool, where it can be built" ON)

set(textpatch_kernel_c_options
    -ffreestanding
    -mno-red-zone
    -mgeneral-regs-only
    -fno-stack-protector
    -fasynchronous-unwind-tables # clang's default, but not with -ffreestanding
    -fcf-protection=none)
if(TEXTPATCH_KERNEL_MODEL STREQUAL "pie")
    # PIE code at a fixed address: what a kernel is made of that relocates itself, without the relocating.
    list(APPEND textpatch_kernel_c_options -fPIE -include textpatch/hidden.h)
else()
    list(APPEND textpatch_kernel_c_options -mcmodel=kernel -fno-pie)
endif()
set(textpatch_kernel_link_options
    -nostdlib -static
    LINKER:-z,max-page-size=4096
    LINKER:--build-id=none)
if(TEXTPATCH_KERNEL_LINKER)
    list(APPEND textpatch_kernel_link_options -fuse-ld=${TEXTPATCH_KERNEL_LINKER})
endif()
if(TEXTPATCH_KERNEL_GC)
    list(APPEND textpatch_kernel_c_options -ffunction-sections -fdata-sections)
    list(APPEND textpatch_kernel_link_options LINKER:--gc-sections)
endif()

# add_textpatch_kernel(NAME [UNWIND] SCRIPT file SOURCES files… [LIBRARIES targets…] [CHECK options…]): NAME.elf
function(add_textpatch_kernel name)
    cmake_parse_arguments(PARSE_ARGV 1 kernel "UNWIND" "SCRIPT" "SOURCES;LIBRARIES;CHECK")
    cmake_path(ABSOLUTE_PATH kernel_SCRIPT)
    add_executable(${name} ${kernel_SOURCES})
    set_target_properties(${name} PROPERTIES
        OUTPUT_NAME "${name}.elf"
        LINK_DEPENDS "${kernel_SCRIPT}")
    target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:C>:${textpatch_kernel_c_options}>")
    target_link_options(${name} PRIVATE ${textpatch_kernel_link_options} -T "${kernel_SCRIPT}")
    target_link_libraries(${name} PRIVATE textpatch ${kernel_LIBRARIES})
    textpatch_read_sources(core core)
    textpatch_read_sources(xen_pv xen-pv)
    textpatch_watch_includes(${kernel_SOURCES} ${core} ${xen_pv})
    set_property(GLOBAL APPEND PROPERTY TEXTPATCH_KERNELS ${name}) # for tests of all of them
    if(TEXTPATCH_KERNEL_TOOL AND TARGET textpatch-tool)
        set(unwind "")
        if(kernel_UNWIND)
            set(unwind UNWIND)
        endif()
        textpatch_kernel(${name} ${unwind} CHECK ${kernel_CHECK})
    endif()
endfunction()

find_path(XEN_INCLUDE_DIR xen/xen.h)
if(NOT XEN_INCLUDE_DIR)
    message(FATAL_ERROR
        "The kernels of this tree need Xen's public headers, xen/xen.h (on Debian: libxen-dev; scripts/deps installs "
        "it). The library itself does not.")
endif()

# The platform's files, for kernels that boot in both worlds.
file(GLOB textpatch_platform_sources CONFIGURE_DEPENDS
    "${CMAKE_CURRENT_SOURCE_DIR}/test-kernel/platform/*.c"
    "${CMAKE_CURRENT_SOURCE_DIR}/test-kernel/platform/*.asm")
set(textpatch_platform_dir "${CMAKE_CURRENT_SOURCE_DIR}/test-kernel/platform")
set(textpatch_platform_script "${CMAKE_CURRENT_SOURCE_DIR}/test-kernel/kernel.ld")

# What the platform's port runs while text is half patched: its hooks, and what these call through the backend of each world.
set(textpatch_live_port "${CMAKE_CURRENT_SOURCE_DIR}/test-kernel/live_port.c")
set(textpatch_live_checks --port live_port --no-return panic)
foreach(world IN ITEMS native xen)
    list(APPEND textpatch_live_checks
        --hook ${world}_frame_of --hook set_${world}_page_entry --hook send_${world}_call
        --hook ${world}_nanoseconds --hook mask_${world} --hook unmask_${world} --hook ${world}_is_masked)
endforeach()

# add_platform_kernel(NAME SOURCES files…): a kernel on the platform, with the Xen PV op tables.
function(add_platform_kernel name)
    cmake_parse_arguments(PARSE_ARGV 1 kernel "" "" "SOURCES")
    set(checks "")
    if(textpatch_live_port IN_LIST kernel_SOURCES)
        set(checks ${textpatch_live_checks})
    endif()
    add_textpatch_kernel(${name} UNWIND
        SCRIPT "${textpatch_platform_script}"
        SOURCES ${kernel_SOURCES} ${textpatch_platform_sources}
        LIBRARIES textpatch_xen_pv
        CHECK ${checks})
    target_include_directories(${name} PRIVATE "${textpatch_platform_dir}")
endfunction()
