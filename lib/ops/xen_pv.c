/* SPDX-License-Identifier: MIT */
/* The ops of a Xen PV guest. Functions and inline forms: asm/ops_xen_pv.asm. */
#include <textpatch/ops.h>

const struct tp_ops tp_xen_pv_ops = {
    .irq =
        {
            .save_fl = tp_xen_pv_save_fl,
            .restore_fl = tp_xen_pv_restore_fl,
            .irq_disable = tp_xen_pv_irq_disable,
            .irq_enable = tp_xen_pv_irq_enable,
            .safe_halt = tp_xen_pv_safe_halt,
            .halt = tp_xen_pv_halt,
        },
    .cpu =
        {
            .wbinvd = tp_xen_pv_wbinvd,
            /* Xen enters the kernel with its GS base, and returns to user mode with the user's. */
            .swapgs = tp_nop_function,
            .usergs_sysret64 = tp_xen_pv_usergs_sysret64,
            .iret = tp_xen_pv_iret,
            .load_gs = tp_xen_pv_load_gs,
        },
    .mmu =
        {
            .read_cr2 = tp_xen_pv_read_cr2,
            /* Xen emulates the instruction: no cell of one's own can be stale, or belong to another CPU. */
            .read_cr3 = tp_native_read_cr3,
            .write_cr3 = tp_xen_pv_write_cr3,
            .make_pte = tp_identity64,
            .pte_val = tp_identity64,
        },
    .lock =
        {
            .unlock = tp_native_unlock,
            .wait = tp_xen_pv_wait,
            /* A yielding vCPU stays runnable, so there is nobody to wake. */
            .kick = (void (*)(unsigned))tp_nop_function,
        },
};
