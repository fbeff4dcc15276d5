/* SPDX-License-Identifier: MIT */
/* What this kernel has beside the table of ops: a table of its own, a site at a known address, and calls counted. */
#ifndef OWN_OPS_H
#define OWN_OPS_H

#include "names.h"
#include "pv_ops.h"

/* With the C ABI. */
extern struct own_ops {
    unsigned long (*weigh)(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f);
} own_ops;

/* Before the first call of an op: which world's functions the slots of both tables hold. */
void choose_ops(void);

/*
 * Puts functions into all slots that count and then go to the right ones; and takes them out again. The text
 * isn't told: what is counted are the calls that still go through the table.
 */
void count_table_calls(void);
void stop_counting(void);
/* Calls so far through a slot (its address), while they were counted. */
unsigned long table_calls(const void *slot);

PV_OP unsigned long weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    return TP_CALL(own_ops.weigh, a, b, c, d, e, f);
}

/* sites.S */
void disable_once(void); /* its first bytes are an irq_disable site */

#endif
