/* SPDX-License-Identifier: MIT */
/*
 * Functions that count, in all slots of the op table. They change nothing but the flags, push nothing and
 * don't look at %gs, so that they stand before every op: those that are jumped to, those that run on with
 * user mode's GS, and those whose caller has something in rax.
 */
#ifndef COUNTING_H
#define COUNTING_H

#include <stdint.h>

/*
 * Puts them into all slots of pv_ops, and into one more of the example's own unless that is NULL; each goes
 * on to what the slot held. The text isn't told. And takes them out again.
 */
void count_table_calls(void *own_slot);
void stop_counting(void);
/* Calls so far through a slot (its address), since counting began. */
unsigned long table_calls(const void *slot);
/* The counting function at an address; NULL: none is. */
const char *name_counting_function(uintptr_t address);

#endif
