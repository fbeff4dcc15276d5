# SPDX-License-Identifier: MIT
# More of what `check`, `sites` and tools/link have to refuse.
add_tool_test(tool.broken_more "" broken_more_test.c $<TARGET_FILE:test-kernel>)
add_tool_test(tool-asan.broken_more _asan broken_more_test.c $<TARGET_FILE:test-kernel>)
