/* SPDX-License-Identifier: MIT */
/* What this kernel has beside the table of ops: a table of its own, and a site at a known address. */
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

PV_OP unsigned long weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    return TP_CALL(own_ops.weigh, a, b, c, d, e, f);
}

/* sites.S */
void disable_once(void); /* its first bytes are an irq_disable site */

#endif
