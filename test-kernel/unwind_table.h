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

/* A copy in which all entries of a site say what its first does: as if there were no union. False: too long. */
bool narrow_table(struct tp_unwind_table *copy);
/* The same of another table than the kernel's; the entries are those of the one copy. */
bool narrow_any_table(const struct tp_unwind_table *table, struct tp_unwind_table *copy);

/* Ops and a static call whose inline forms push and pop, the latter under Xen, too. */
void run_flags(void);
unsigned long nasm_pass_word(unsigned long value);

#define REQUIRE_TABLE()                                                                                      \
    do {                                                                                                     \
        if (!use_table())                                                                                    \
            SKIP("this kernel was linked without an unwind table");                                          \
    } while (0)

#endif
