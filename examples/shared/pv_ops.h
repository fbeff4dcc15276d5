/* SPDX-License-Identifier: MIT */
/*
 * The op table of the examples that boot in both worlds, and a typed wrapper for each op: all that a kernel writes to
 * have its interrupt flag, page tables and locks done by whoever knows the machine.
 */
#ifndef PV_OPS_H
#define PV_OPS_H

#include <stdint.h>

#include <textpatch/ops.h>

extern struct tp_ops pv_ops;

/* What the table is to be filled with in this world. */
const struct tp_ops *world_ops(void);

/* The function in a slot or behind a call, by name; NULL for one that has none. */
const char *name_function(uintptr_t address);
/* The same for functions of the example's own, which supplies it. */
const char *name_own_function(uintptr_t address);

#define SITE_HERE static inline __attribute__((always_inline))

SITE_HERE unsigned long save_fl(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_SAVE_FL, pv_ops.irq.save_fl);
}
SITE_HERE void restore_fl(unsigned long flags) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_RESTORE_FL, pv_ops.irq.restore_fl, flags);
}
SITE_HERE void irq_disable(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_IRQ_DISABLE, pv_ops.irq.irq_disable);
}
SITE_HERE void irq_enable(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_IRQ_ENABLE, pv_ops.irq.irq_enable); }
SITE_HERE void safe_halt(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_SAFE_HALT, pv_ops.irq.safe_halt); }
SITE_HERE void wbinvd(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WBINVD, pv_ops.cpu.wbinvd); }
SITE_HERE unsigned long read_cr2(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_READ_CR2, pv_ops.mmu.read_cr2);
}
SITE_HERE unsigned long read_cr3(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_READ_CR3, pv_ops.mmu.read_cr3);
}
SITE_HERE void write_cr3(unsigned long value) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WRITE_CR3, pv_ops.mmu.write_cr3, value);
}
SITE_HERE unsigned long make_pte(unsigned long value) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_MAKE_PTE, pv_ops.mmu.make_pte, value);
}
SITE_HERE unsigned long pte_val(unsigned long entry) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_PTE_VAL, pv_ops.mmu.pte_val, entry);
}
SITE_HERE void unlock(uint8_t *byte) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_UNLOCK, pv_ops.lock.unlock, byte);
}
SITE_HERE void wait_for_lock(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WAIT, pv_ops.lock.wait); }
SITE_HERE void kick(unsigned cpu) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_KICK, pv_ops.lock.kick, cpu); }

#endif
