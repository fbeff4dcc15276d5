/* SPDX-License-Identifier: MIT */
#include "pv_ops.h"

#include "platform.h"

struct tp_ops pv_ops;
TP_OPS(pv) { TP_OPS_OF(pv_ops); }

void choose_pv_ops(void) {
    pv_ops = world == WORLD_XEN_PV ? tp_xen_pv_ops : tp_native_ops;
}
