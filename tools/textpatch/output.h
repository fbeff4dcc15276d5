/* SPDX-License-Identifier: MIT */
/* What a command leaves behind. */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

/*
 * Whoever builds with it must not find half of it, or an older one. What is no file of its own (/dev/null) stays; NULL:
 * there is none.
 */
void remove_output(const char *path);

#endif
