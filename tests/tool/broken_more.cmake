# SPDX-License-Identifier: MIT
# More of what `check`, `sites` and tools/link have to refuse.
add_tool_test(tool.broken_more "" broken_more_test.c $<TARGET_FILE:test-kernel>)
add_tool_test(tool-asan.broken_more _asan broken_more_test.c $<TARGET_FILE:test-kernel>)
textpatch_add_test(tool.link_words 100 "${CMAKE_CURRENT_SOURCE_DIR}/link_words" "${TEXTPATCH_DIR}"
    $<TARGET_FILE:textpatch-tool> "${CMAKE_CURRENT_BINARY_DIR}/link_words")
textpatch_add_test(tool.lto_roots 200 "${CMAKE_CURRENT_SOURCE_DIR}/lto_roots" "${TEXTPATCH_DIR}"
    $<TARGET_FILE:textpatch-tool> $<TARGET_FILE:tool-broken_more> "${CMAKE_CURRENT_BINARY_DIR}/lto_roots")
