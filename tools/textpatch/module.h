/* SPDX-License-Identifier: MIT */
/*
 * A module, together with the kernel that will load it.
 *
 * What for
 *   A module's sites depend on the kernel's static calls and op slots, and may hold inline forms that the kernel has
 *   registered. So `--kernel KERNEL.elf` has every command look at both: the module's sites, with the keys and inline
 *   forms of both.
 *
 * Calls
 *   set_base_kernel()   from here on files are modules of that kernel; NULL: they are kernels
 *   open_base_kernel()  it, NULL if none was set
 *   join_kernels()      one kernel of both: sections, segments and symbols, all else is the module's
 *   join_tables()       keys and inline forms of both, behind the image
 *
 * How it works
 *   tools/link-module links a module once as if it were to stay, behind the kernel and by the kernel's own addresses
 *   (linker/textpatch-module-view.ld). That file is the module here: an ordinary one, with the symbols of
 *   linker/textpatch.ld, and tp_module_text.
 *
 * Edge cases
 *   - Its tables lie before its text, so that the replacements of both are one stretch without any text.
 *   - Sections of the kernel have "kernel:" before their names.
 */
#ifndef TOOL_MODULE_H
#define TOOL_MODULE_H

#include "image.h"

void set_base_kernel(const char *path);
const struct kernel *open_base_kernel(void);

const struct kernel *join_kernels(const struct kernel *module, const struct kernel *base);

/* Bytes that join_tables() wants at the image's end. */
uint64_t measure_joined_tables(const struct kernel *module, const struct kernel *base);
void join_tables(struct image *image, const struct kernel *base, uint64_t room);

#endif
