/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own op table and its typed wrappers: what any kernel would write that uses textpatch/ops.h to have its
 * interrupt flag, page tables and locks done by whoever knows the machine.
 *
 * Each wrapper is a site in its caller. All ops keep every register but rax. The entry code has sites of its own.
 */
#ifndef PV_OPS_H
#define PV_OPS_H

#include <stdint.h>

#include <textpatch/ops.h>

extern struct tp_ops pv_ops;

/* Not only `inline`: unoptimised, a site would be one in a copy of the wrapper, and the count of sites another. */
#define PV_OP static inline __attribute__((always_inline))

enum { FLAGS_IF = 1 << 9 };

/* What the table is to be filled with in this world. */
const struct tp_ops *world_ops(void);
/* Fills it so. The platform does, before the first interrupt and before kernel_main(). */
void choose_pv_ops(void);

/* CPUID as it is for a kernel in this world, for the port's hook (tp_xen_pv_cpuid() in textpatch/ops.h). */
void ask_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

PV_OP unsigned long save_fl(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_SAVE_FL, pv_ops.irq.save_fl);
}

PV_OP void restore_fl(unsigned long flags) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_RESTORE_FL, pv_ops.irq.restore_fl, flags);
}

PV_OP void irq_disable(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_IRQ_DISABLE, pv_ops.irq.irq_disable);
}

PV_OP void irq_enable(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_IRQ_ENABLE, pv_ops.irq.irq_enable);
}

PV_OP unsigned long irq_save(void) {
    unsigned long flags = save_fl();
    irq_disable();
    return flags;
}

PV_OP void safe_halt(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_SAFE_HALT, pv_ops.irq.safe_halt);
}

PV_OP void halt(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_HALT, pv_ops.irq.halt);
}

PV_OP void wbinvd(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WBINVD, pv_ops.cpu.wbinvd);
}

/* User mode's; its base becomes what the descriptor says. */
PV_OP void load_gs(unsigned selector) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_LOAD_GS, pv_ops.cpu.load_gs, selector);
}

PV_OP unsigned long read_cr2(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_READ_CR2, pv_ops.mmu.read_cr2);
}

PV_OP unsigned long read_cr3(void) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_READ_CR3, pv_ops.mmu.read_cr3);
}

PV_OP void write_cr3(unsigned long value) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WRITE_CR3, pv_ops.mmu.write_cr3, value);
}

PV_OP unsigned long make_pte(unsigned long value) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_MAKE_PTE, pv_ops.mmu.make_pte, value);
}

PV_OP unsigned long pte_val(unsigned long entry) {
    return TP_WIDE_CALLEE_SAVE_CALL(TP_WIDTH_PTE_VAL, pv_ops.mmu.pte_val, entry);
}

PV_OP void lock_release(uint8_t *byte) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_UNLOCK, pv_ops.lock.unlock, byte);
}

PV_OP void lock_wait(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WAIT, pv_ops.lock.wait);
}

PV_OP void lock_kick(unsigned cpu) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_KICK, pv_ops.lock.kick, cpu);
}

#endif
