/* SPDX-License-Identifier: MIT */
/* The ops of the bare machine. Functions and inline forms: asm/patchlets.asm. */
#include <textpatch/ops.h>

const struct tp_ops tp_native_ops = {
    .irq =
        {
            .save_fl = tp_native_save_fl,
            .restore_fl = tp_native_restore_fl,
            .irq_disable = tp_native_irq_disable,
            .irq_enable = tp_native_irq_enable,
            .safe_halt = tp_native_safe_halt,
            .halt = tp_native_halt,
        },
    .cpu =
        {
            .wbinvd = tp_native_wbinvd,
            .swapgs = tp_native_swapgs,
            .usergs_sysret64 = tp_native_usergs_sysret64,
            .iret = tp_native_iret,
            .load_gs = tp_native_load_gs,
        },
    .mmu =
        {
            .read_cr2 = tp_native_read_cr2,
            .read_cr3 = tp_native_read_cr3,
            .write_cr3 = tp_native_write_cr3,
            .make_pte = tp_identity64,
            .pte_val = tp_identity64,
        },
    .lock =
        {
            .unlock = tp_native_unlock,
            .wait = tp_native_wait,
            /* A waiting CPU spins, so there is nobody to wake. */
            .kick = (void (*)(unsigned))tp_nop_function,
        },
};
