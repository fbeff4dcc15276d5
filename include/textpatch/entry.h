/* SPDX-License-Identifier: MIT */
/*
 * textpatch/entry.h: what C code needs to know of the entries that textpatch/entry.inc makes.
 *
 * What it is for
 *   The TSS's IST entries point below two words that the NMI and the other paranoid entries use, and `syscall` is told
 *   which flags to clear. The frame itself is textpatch/regs.h; the macros and their manual are textpatch/entry.inc.
 *
 * Example, for each CPU before it takes an NMI
 *   static uint8_t stack[4096] __attribute__((aligned(16)));
 *   struct tp_ist_top *top = (struct tp_ist_top *)(stack + sizeof stack) - 1;
 *   *top = (struct tp_ist_top){.gs_base = (uintptr_t)this_cpu};
 *   tss.ist[NMI - 1] = (uintptr_t)top;                   // the CPU's frame goes right below
 *   …
 *   write_msr(MSR_STAR, 0x1bull << 48 | 0x08ull << 32);   // user 0x2b and 0x23, kernel 0x08 and 0x10
 *   write_msr(MSR_LSTAR, (uintptr_t)system_call);
 *   write_msr(MSR_SFMASK, TP_SYSCALL_FLAGS_MASK);
 *
 * Edge cases
 *   - One stack for each paranoid vector and CPU: an entry that comes while another is on the same stack lands on it.
 *     NMIs alone may come again (TP_NMI_ENTRY).
 *   - gs_base is what MSR GS_BASE holds while the CPU runs the kernel.
 */
#ifndef TEXTPATCH_ENTRY_H
#define TEXTPATCH_ENTRY_H

#include <textpatch/regs.h>

struct tp_ist_top {
    uint64_t gs_base;   /* written by the kernel, once */
    uint64_t nmi_state; /* 0; TP_NMI_ENTRY's own from then on, but a handler that never returns stores 0 */
};

TP_STATIC_ASSERT(sizeof(struct tp_ist_top) == 16, "TP_IST_ROOM in textpatch/entry.inc; an IST entry is a multiple of 16");
TP_STATIC_ASSERT(offsetof(struct tp_ist_top, nmi_state) == 8, "TP_IST_NMI_STATE in textpatch/entry.inc");

/*
 * For MSR SFMASK (AMD APM vol. 2 section 6.1.1): the flags that an entry must not find set, and those that tell about user
 * mode. CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID. TP_ENTER_SYSCALL needs IF and TF in it: its first instructions
 * have user mode's stack; IRET faults with NT set.
 */
#define TP_SYSCALL_FLAGS_MASK 0x257fd5u

#endif
