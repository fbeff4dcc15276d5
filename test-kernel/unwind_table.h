/* SPDX-License-Identifier: MIT */
/* The kernel's own unwind table, for one case at a time. */
#ifndef UNWIND_TABLE_H
#define UNWIND_TABLE_H

#include <textpatch/unwind.h>

#include "ktap.h"

extern struct tp_unwind_table kernel_table;

/* Whether the kernel was linked with a table, and walks use it now. */
bool use_table(void);
void forget_table(void);

/* A copy of the kernel's table whose entries may be changed: there is one. NULL: it would be too long. */
struct tp_orc_entry *copy_table(struct tp_unwind_table *copy);

/* Ops whose inline forms push and pop, in C, NASM and GAS. */
void run_flags(void);

#define REQUIRE_TABLE()                                                                                      \
    do {                                                                                                     \
        if (!use_table())                                                                                    \
            SKIP("this kernel was linked without an unwind table");                                          \
    } while (0)

#endif
