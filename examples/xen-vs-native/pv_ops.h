/* SPDX-License-Identifier: MIT */
/*
 * The demo kernel's op tables, and a typed wrapper for each op: all that a kernel writes to have its
 * interrupt flag, page tables and locks done by whoever knows the machine.
 */
#ifndef PV_OPS_H
#define PV_OPS_H

#include <stdint.h>

#include <textpatch/ops.h>

extern struct tp_ops pv_ops;

/* A table of the kernel's own, with the C ABI. */
extern struct own_ops {
    unsigned long (*weigh)(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f);
} own_ops;

/* Before the first call of an op: which world's functions the slots hold. */
void choose_ops(void);

/*
 * Puts functions into all slots that count and then go to the right ones; and takes them out again. The text
 * isn't told: what is counted are the calls that still go through the table.
 */
void count_table_calls(void);
void stop_counting(void);
/* Calls so far through a slot (its address), while they were counted. */
unsigned long table_calls(const void *slot);

/* The function in a slot or behind a call, by name; NULL for one that isn't an op's. */
const char *name_function(uintptr_t address);

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
SITE_HERE void unlock(uint8_t *byte) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_UNLOCK, pv_ops.lock.unlock, byte);
}
SITE_HERE void wait_for_lock(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_WAIT, pv_ops.lock.wait); }
SITE_HERE void kick(unsigned cpu) { TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_KICK, pv_ops.lock.kick, cpu); }
SITE_HERE unsigned long weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    return TP_CALL(own_ops.weigh, a, b, c, d, e, f);
}

/* sites.S */
void disable_once(void); /* its first bytes are an irq_disable site */

#endif
