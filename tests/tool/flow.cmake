# SPDX-License-Identifier: MIT
# How `orc` follows code: a good kernel, the same without its hints, and one for each fault.

# add_flow_kernel(NAME SOURCE [link and compile options])
function(add_flow_kernel name source option)
    add_custom_command(OUTPUT "${name}.elf" VERBATIM
        DEPENDS "${source}" flow_macros.h frames.ld "${TEXTPATCH_DIR}/include/textpatch/gas.h"
            "${TEXTPATCH_DIR}/linker/textpatch.ld"
        COMMAND ${CMAKE_C_COMPILER} -c -I "${TEXTPATCH_DIR}/include" -I "${CMAKE_CURRENT_SOURCE_DIR}" -DFAULT=${option}
            -o "${name}.o" "${CMAKE_CURRENT_SOURCE_DIR}/${source}"
        COMMAND ${CMAKE_LINKER} ${ARGN} -L "${TEXTPATCH_DIR}/linker" -T "${CMAKE_CURRENT_SOURCE_DIR}/frames.ld"
            -o "${name}.elf" "${name}.o")
    set_property(GLOBAL APPEND PROPERTY FLOW_KERNELS "${CMAKE_CURRENT_BINARY_DIR}/${name}.elf")
endfunction()

add_flow_kernel(flow_good flow_good.S 0)
add_flow_kernel(flow_stripped flow_good.S 0 -S)
foreach(fault RANGE 10)
    add_flow_kernel(flow_fault_${fault} flow_faults.S ${fault})
endforeach()
get_property(flow_kernels GLOBAL PROPERTY FLOW_KERNELS)
add_custom_target(flow-kernels ALL DEPENDS ${flow_kernels})

add_tool_test(tool.flow "" flow_test.c "${CMAKE_CURRENT_BINARY_DIR}")
add_tool_test(tool-asan.flow _asan flow_test.c "${CMAKE_CURRENT_BINARY_DIR}")
add_tool_test(tool.flow_race "" flow_race_test.c)
