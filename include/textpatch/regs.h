/* SPDX-License-Identifier: MIT */
/*
 * textpatch/regs.h: the registers of what an exception, an interrupt or a system call interrupted.
 *
 * What it is for
 *   The C twin of the frame that textpatch/entry.inc makes on every path, and that the library's #BP handler reads and
 *   changes. A kernel whose own frame has the same order hands it over as it is, others copy.
 *
 * How it works
 *   From low to high addresses: what the entry code stores, and then what the CPU pushes (Intel SDM vol. 3 section
 *   6.14.2). `vector` and `error_code` are there on every path: 0 where the CPU pushes no error code, TP_VECTOR_SYSCALL
 *   and the number asked for where `syscall` came in. textpatch/regs.inc has the offsets for NASM.
 *
 * Edge cases
 *   - Frames that are filled lazily (TP_REGS_SAVE_C) have rbx, rbp and r12 to r15 in the registers, not here.
 *   - In frames of the paranoid entries the upper half of `ss` says whether GS was exchanged (textpatch/entry.inc): a
 *     frame that is copied as a whole carries that along. The CPU pushes 0 there and reads 16 bits.
 */
#ifndef TEXTPATCH_REGS_H
#define TEXTPATCH_REGS_H

#define TP_REGS_SIZE 176

/* No vector of the CPU: what `syscall` leaves in the frame. */
#define TP_VECTOR_SYSCALL 256

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

/* tests/build/regs_twins holds textpatch/regs.inc against each member. */
TP_STATIC_ASSERT(sizeof(struct tp_regs) == TP_REGS_SIZE, "textpatch/regs.inc pushes so much");
TP_STATIC_ASSERT(TP_REGS_SIZE % 16 == 0, "a frame that the CPU has aligned leaves the stack as calls want it");
TP_STATIC_ASSERT(offsetof(struct tp_regs, rbx) == 5 * 8, "the last of those that C keeps");
TP_STATIC_ASSERT(offsetof(struct tp_regs, rax) == 14 * 8, "textpatch/regs.inc pushes rax first");
TP_STATIC_ASSERT(offsetof(struct tp_regs, rip) == 17 * 8, "the CPU pushes rip there");

#endif /* __ASSEMBLER__ */
#endif
