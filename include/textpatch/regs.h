/* SPDX-License-Identifier: MIT */
/*
 * textpatch/regs.h: the registers of what an exception interrupted.
 *
 * What it is for
 *   The library's #BP handler reads and changes them. The order is the one in which asm/breakpoint.asm pushes them; a
 *   kernel whose own frame has the same order hands it over as it is, others copy.
 *
 * How it works
 *   From low to high addresses: what the entry code pushes, and then what the CPU pushes (Intel SDM vol. 3 section
 *   6.14.2). `error_code` is there for every vector, 0 where the CPU pushes none.
 */
#ifndef TEXTPATCH_REGS_H
#define TEXTPATCH_REGS_H

#define TP_REGS_SIZE 176

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#include <textpatch/record.h>

struct tp_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

TP_STATIC_ASSERT(sizeof(struct tp_regs) == TP_REGS_SIZE, "asm/breakpoint.asm pushes so much");
TP_STATIC_ASSERT(offsetof(struct tp_regs, rax) == 14 * 8, "asm/breakpoint.asm pushes rax there");
TP_STATIC_ASSERT(offsetof(struct tp_regs, rip) == 17 * 8, "the CPU pushes rip there");

#endif /* __ASSEMBLER__ */
#endif
