/* SPDX-License-Identifier: MIT */
#include "own_ops.h"

#include "platform.h"

struct own_ops own_ops;
TP_OPS(own) {
    TP_OP(own_ops.weigh);
}

/* Two ways to the same sum, in which each argument has a weight of its own: one that got lost would be
 * missed. */
static unsigned long native_weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    return a + 2ul * b + 3ul * c + 4ul * d + 5ul * e + 6ul * f;
}
static unsigned long xen_pv_weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    unsigned long from_f = f, from_e = from_f + e, from_d = from_e + d, from_c = from_d + c,
                  from_b = from_c + b;
    return from_f + from_e + from_d + from_c + from_b + (from_b + a);
}

void choose_ops(void) {
    pv_ops = *world_ops();
    own_ops.weigh = world == WORLD_XEN_PV ? xen_pv_weigh : native_weigh;
}

const char *name_own_function(uintptr_t address) {
    if (address == (uintptr_t)native_weigh)
        return "native_weigh";
    return address == (uintptr_t)xen_pv_weigh ? "xen_pv_weigh" : NULL;
}
