# SPDX-License-Identifier: MIT
# Modules: tools/link-module, and every command with --kernel.
function(add_module_test name tool)
    textpatch_add_test(${name} 300 "${CMAKE_CURRENT_SOURCE_DIR}/modules" "${TEXTPATCH_DIR}"
        $<TARGET_FILE:${tool}> "${CMAKE_CURRENT_BINARY_DIR}/${name}")
endfunction()

add_executable(textpatch-tool_asan "${TEXTPATCH_DIR}/tools/textpatch/main.c")
target_link_libraries(textpatch-tool_asan PRIVATE textpatch-tool-parts_asan textpatch_host_asan)
add_module_test(tool.modules textpatch-tool)
add_module_test(tool-asan.modules textpatch-tool_asan)
