/* SPDX-License-Identifier: MIT */
#include "pv_ops.h"

#include "platform.h"

struct tp_ops pv_ops;
TP_OPS(pv) {
    TP_OPS_OF(pv_ops);
}

const struct tp_ops *world_ops(void) {
    return world == WORLD_XEN_PV ? &tp_xen_pv_ops : &tp_native_ops;
}

void choose_pv_ops(void) {
    pv_ops = *world_ops();
}

void ask_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    if (world == WORLD_XEN_PV)
        tp_xen_pv_cpuid(leaf, subleaf, out);
    else
        __asm__ volatile("cpuid"
                         : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                         : "a"(leaf), "c"(subleaf));
}
