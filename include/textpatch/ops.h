/* SPDX-License-Identifier: MIT */
/*
 * textpatch/ops.h: ready op tables, for the bare machine and for a Xen PV guest.
 *
 * What it is for
 *   What a kernel does differently under Xen PV: interrupt flags, halting, CR2 and CR3, returns to user mode,
 *   waiting for a lock. Two tables hold the same ops; the kernel copies the one that fits into its own table, and
 *   every call through that becomes a native instruction, or what Xen needs (textpatch/op.h).
 *
 * What is here
 *   struct tp_ops                      irq, cpu, mmu, lock
 *   tp_native_ops, tp_xen_pv_ops       the tables
 *   TP_OPS_OF(table)                   a TP_OP() for each slot of a struct tp_ops
 *   TP_WIDTH_…                         bytes that an op's site needs to hold the inline forms of both tables
 *   tp_native_…, tp_xen_pv_…           the functions, for tables that are put together differently
 *
 * Example
 *   struct tp_ops pv_ops;                                  // in one file
 *   TP_OPS(pv) { TP_OPS_OF(pv_ops); }
 *   static inline void irq_disable(void) {
 *       TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_IRQ_DISABLE, pv_ops.irq.irq_disable);
 *   }
 *   …
 *   pv_ops = under_xen_pv ? tp_xen_pv_ops : tp_native_ops; // before the first call
 *   status = tp_apply();
 *
 * How it works                native                       Xen PV
 *   irq_disable (9 bytes)     fa                           65 c6 04 25 xx xx xx xx 01   movb $1, %gs:mask
 *   save_fl (14 bytes)        9c 58                        65 0f b6 04 25 xx xx xx xx 34 01 c1 e0 09
 *   read_cr2 (9 bytes)        0f 20 d0                     65 48 8b 04 25 xx xx xx xx   mov %gs:cr2, %rax
 *   irq_enable (6 bytes)      fb                           2e e8 xx xx xx xx            cs call tp_xen_pv_irq_enable
 *   swapgs (6 bytes)          0f 01 f8                     one NOP: Xen switches GS on entry and on exit
 *   usergs_sysret64 (11)      48 8b 64 24 18 0f 01 f8 …    cs x5 jmp tp_xen_pv_usergs_sysret64
 *
 * The ABI of the ops
 *   All are callee-save: they change rax and the flags, nothing else. `iret` and `usergs_sysret64` are jumped to
 *   (TP_OP_JMP in NASM and .S files) and don't return; they find the registers of what they go to, and change none:
 *     iret              rsp at rip, cs, rflags, rsp, ss, as for the instruction; under Xen PV the low bits of cs
 *                       are 0 to return to the kernel and 3 to user mode, as in the frames that Xen makes
 *     usergs_sysret64   rsp at rip, cs, rflags, rsp, ss, on the kernel's stack; rcx: rip, r11: rflags, as `sysret` wants
 *                       them; interrupts off; GS still the kernel's
 *
 * What tp_xen_pv_ops needs of the kernel, and only if it is linked (asm/ops_xen_pv.asm, lib/ops/xen_pv.c)
 *   tp_xen_hypercall_page   global symbol, the page of the ELF note HYPERCALL_PAGE, in reach of a call
 *   tp_xen_vcpu_info        global absolute symbol: the offset from %gs at which each CPU's struct vcpu_info lies
 *                           (VCPUOP_register_vcpu_info), below 2 GiB
 *
 * Edge cases
 *   - usergs_sysret64 leaves the kernel's stack inside its inline form: nothing but NMIs may arrive there, and those on a
 *     stack of their own (IST), as textpatch/entry.inc has it.
 *   - An iret of one's own ends by a jump to tp_native_iret: if that instruction faults, TP_ENTER (textpatch/entry.inc)
 *     knows it by its address.
 *   - load_gs faults inside if the CPU refuses the selector: TP_ENTER mends that, too. Entry code of another make sends
 *     a fault at tp_native_load_gs_at to tp_native_load_gs_failed, with the kernel's GS active.
 *   - save_fl shows nothing but the interrupt flag under Xen PV; restore_fl looks at nothing else.
 *   - Under Xen PV, write_cr3 takes the machine frame of the L4 table in CR3's form, sets the kernel's table only,
 *     and ends in ud2 if Xen refuses. read_cr3 is the native instruction, which Xen emulates and answers in the
 *     same form. Both ignore the low 12 bits.
 *   - halt with interrupts off doesn't come back under Xen PV; safe_halt turns them on and sleeps, both in one.
 *   - make_pte and pte_val take physical addresses as they are: a PV kernel whose frames are not its machine
 *     frames puts functions of its own there. So does one that wants to wake a waiting CPU by kick().
 *   - With -pie, GNU ld wants `-z noreloc-overflow` to link asm/ops_xen_pv.asm: it takes the offset
 *     tp_xen_vcpu_info, 32 bits wide, for an address. lld links it as it is.
 *   - The tables' functions have their inline forms registered already: a TP_INLINE() for one is TP_ERR_BAD_INLINE.
 */
#ifndef TEXTPATCH_OPS_H
#define TEXTPATCH_OPS_H

/* Widths are numbers for the assembler too. An op without a line of its own needs TP_WIDTH_OP. */
#define TP_WIDTH_OP 6
#define TP_WIDTH_SAVE_FL 14
#define TP_WIDTH_RESTORE_FL 6
#define TP_WIDTH_IRQ_DISABLE 9
#define TP_WIDTH_IRQ_ENABLE 6
#define TP_WIDTH_SAFE_HALT 6
#define TP_WIDTH_HALT 6
#define TP_WIDTH_WBINVD 6
#define TP_WIDTH_SWAPGS 6
#define TP_WIDTH_USERGS_SYSRET64 11
#define TP_WIDTH_IRET 6
#define TP_WIDTH_LOAD_GS 6
#define TP_WIDTH_READ_CR2 9
#define TP_WIDTH_READ_CR3 6
#define TP_WIDTH_WRITE_CR3 6
#define TP_WIDTH_MAKE_PTE 6
#define TP_WIDTH_PTE_VAL 6
#define TP_WIDTH_UNLOCK 6
#define TP_WIDTH_WAIT 6
#define TP_WIDTH_KICK 6

/* Offsets of the slots, for assembler; the assertions below tie them to the struct. */
#define TP_OPS_SAVE_FL 0
#define TP_OPS_RESTORE_FL 8
#define TP_OPS_IRQ_DISABLE 16
#define TP_OPS_IRQ_ENABLE 24
#define TP_OPS_SAFE_HALT 32
#define TP_OPS_HALT 40
#define TP_OPS_WBINVD 48
#define TP_OPS_SWAPGS 56
#define TP_OPS_USERGS_SYSRET64 64
#define TP_OPS_IRET 72
#define TP_OPS_LOAD_GS 80
#define TP_OPS_READ_CR2 88
#define TP_OPS_READ_CR3 96
#define TP_OPS_WRITE_CR3 104
#define TP_OPS_MAKE_PTE 112
#define TP_OPS_PTE_VAL 120
#define TP_OPS_UNLOCK 128
#define TP_OPS_WAIT 136
#define TP_OPS_KICK 144

#ifndef __ASSEMBLER__

#include <textpatch/inline.h>
#include <textpatch/op.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tp_irq_ops {
    unsigned long (*save_fl)(void);
    void (*restore_fl)(unsigned long flags);
    void (*irq_disable)(void);
    void (*irq_enable)(void);
    void (*safe_halt)(void); /* interrupts on and sleep, without a gap in between */
    void (*halt)(void);      /* sleep, interrupts as they are */
};

struct tp_cpu_ops {
    void (*wbinvd)(void);
    void (*swapgs)(void);
    void (*usergs_sysret64)(void);      /* jumped to */
    void (*iret)(void);                 /* jumped to */
    void (*load_gs)(unsigned selector); /* user mode's GS; one that the CPU refuses loads 0 */
};

struct tp_mmu_ops {
    unsigned long (*read_cr2)(void);
    unsigned long (*read_cr3)(void);
    void (*write_cr3)(unsigned long value);
    unsigned long (*make_pte)(unsigned long value); /* what the kernel means -> what the page table holds */
    unsigned long (*pte_val)(unsigned long entry);  /* and back */
};

struct tp_lock_ops {
    void (*unlock)(void *byte);  /* releases a lock that is a byte, 0 when free */
    void (*wait)(void);          /* once a round, by a CPU that waits for a lock */
    void (*kick)(unsigned cpu);  /* wakes a CPU from `wait`, if that sleeps */
};

struct tp_ops {
    struct tp_irq_ops irq;
    struct tp_cpu_ops cpu;
    struct tp_mmu_ops mmu;
    struct tp_lock_ops lock;
};

/*
 * CPUID as Xen shows it to this guest, for the port's hook; a PV guest's own instruction shows the host's features,
 * some of which fault when used. Context: a Xen PV guest only, any time.
 */
void tp_xen_pv_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) __attribute__((visibility("hidden")));

extern const struct tp_ops tp_native_ops __attribute__((visibility("hidden")));
extern const struct tp_ops tp_xen_pv_ops __attribute__((visibility("hidden")));

TP_STATIC_ASSERT(offsetof(struct tp_ops, irq.halt) == TP_OPS_HALT, "textpatch: slots for assembler");
TP_STATIC_ASSERT(offsetof(struct tp_ops, cpu.iret) == TP_OPS_IRET, "textpatch: slots for assembler");
TP_STATIC_ASSERT(offsetof(struct tp_ops, mmu.pte_val) == TP_OPS_PTE_VAL, "textpatch: slots for assembler");
TP_STATIC_ASSERT(offsetof(struct tp_ops, lock.kick) == TP_OPS_KICK, "textpatch: slots for assembler");

/* Names every slot of a struct tp_ops, in the braces of TP_OPS(). */
#define TP_OPS_OF(table)                                                                                       \
    do {                                                                                                       \
        TP_OP(table.irq.save_fl);                                                                              \
        TP_OP(table.irq.restore_fl);                                                                           \
        TP_OP(table.irq.irq_disable);                                                                          \
        TP_OP(table.irq.irq_enable);                                                                           \
        TP_OP(table.irq.safe_halt);                                                                            \
        TP_OP(table.irq.halt);                                                                                 \
        TP_OP(table.cpu.wbinvd);                                                                               \
        TP_OP(table.cpu.swapgs);                                                                               \
        TP_OP(table.cpu.usergs_sysret64);                                                                      \
        TP_OP(table.cpu.iret);                                                                                 \
        TP_OP(table.cpu.load_gs);                                                                              \
        TP_OP(table.mmu.read_cr2);                                                                             \
        TP_OP(table.mmu.read_cr3);                                                                             \
        TP_OP(table.mmu.write_cr3);                                                                            \
        TP_OP(table.mmu.make_pte);                                                                             \
        TP_OP(table.mmu.pte_val);                                                                              \
        TP_OP(table.lock.unlock);                                                                              \
        TP_OP(table.lock.wait);                                                                                \
        TP_OP(table.lock.kick);                                                                                \
    } while (0)

/* asm/patchlets.asm; each has an inline form. */
#pragma GCC visibility push(hidden)
unsigned long tp_native_save_fl(void);
void tp_native_restore_fl(unsigned long flags);
void tp_native_irq_disable(void);
void tp_native_irq_enable(void);
void tp_native_safe_halt(void);
void tp_native_halt(void);
void tp_native_wbinvd(void);
void tp_native_swapgs(void);
void tp_native_usergs_sysret64(void);
void tp_native_iret(void);
void tp_native_load_gs(unsigned selector);
unsigned long tp_native_read_cr2(void);
unsigned long tp_native_read_cr3(void);
void tp_native_write_cr3(unsigned long value);
void tp_native_unlock(void *byte);
void tp_native_wait(void);

/* asm/ops_xen_pv.asm; save_fl, irq_disable and read_cr2 have inline forms. */
unsigned long tp_xen_pv_save_fl(void);
void tp_xen_pv_restore_fl(unsigned long flags);
void tp_xen_pv_irq_disable(void);
void tp_xen_pv_irq_enable(void);
void tp_xen_pv_safe_halt(void);
void tp_xen_pv_halt(void);
void tp_xen_pv_wbinvd(void);
void tp_xen_pv_usergs_sysret64(void);
void tp_xen_pv_iret(void);
void tp_xen_pv_load_gs(unsigned selector);
unsigned long tp_xen_pv_read_cr2(void);
void tp_xen_pv_write_cr3(unsigned long value);
void tp_xen_pv_wait(void);
#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif /* __ASSEMBLER__ */
#endif
