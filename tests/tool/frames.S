/* SPDX-License-Identifier: MIT */
/*
 * A kernel of some hundred bytes with all that `textpatch orc` reads: each kind of rule that an entry can hold, code without
 * any, hints, and sites. So small that each byte of it can be changed to each value in turn.
 */
#include <textpatch/gas.h>

#define ORC_CALL 2
#define ORC_REGS 3
#define ORC_WORDS 4
#define HINT_HERE 0
#define HINT_RANGE 1

/* As textpatch/hints.inc has it for NASM; base: rsp */
.macro hint start:req, end:req, offset:req, type:req, kind:req, base=1
    .pushsection .debug_textpatch_hints, "", @progbits
    .quad \start, \end
    .short \offset, 0
    .byte \base, \type
    .short \kind
    .popsection
.endm

.macro begin name:req
    .balign 16, 0xcc
    .globl \name
    .type \name, @function
\name:
.endm

.macro end name:req
    .size \name, . - \name
.endm

    .text
/* ---- Rules ---- */

    begin pushes
    .cfi_startproc
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    sub $16, %rsp
    .cfi_adjust_cfa_offset 16
    call by_hand
    add $16, %rsp
    .cfi_adjust_cfa_offset -16
    pop %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    ret
    .cfi_endproc
    end pushes

    begin keeps_frame
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register rbp
    pushf                           /* nothing that .eh_frame knows of */
    popf
    call by_hand
    .cfi_remember_state
    leave
    .cfi_def_cfa rsp, 8
    .cfi_restore rbp
    ret
    .cfi_restore_state
    call pushes
    ud2
    .cfi_endproc
    end keeps_frame

/* GCC's, for a stack that has to be aligned: the frame is a word in memory. */
    begin aligns
    .cfi_startproc
    lea 8(%rsp), %r10
    .cfi_def_cfa r10, 0
    and $-32, %rsp
    push -8(%r10)
    push %rbp
    mov %rsp, %rbp
    .cfi_escape 0x10, 6, 2, 0x76, 0     /* rbp: the word at rbp */
    push %r10
    .cfi_escape 0x0f, 3, 0x76, 0x78, 6  /* frame: the word at rbp - 8 */
    call by_hand
    pop %r10
    .cfi_def_cfa r10, 0
    pop %rbp
    .cfi_restore rbp
    lea -8(%r10), %rsp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_endproc
    end aligns

    begin outermost
    .cfi_startproc
    .cfi_undefined rip
    call pushes
    ud2
    .cfi_endproc
    end outermost

    begin interrupted
    .cfi_startproc
    .cfi_signal_frame
    call pushes
    ret
    .cfi_endproc
    end interrupted

/* ---- Sites ---- */

/* The first one's bytes behind the first lie in one quadword, the second one's don't. */
    begin uses_ops
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .balign 8, 0x90
    TP_OP_CALL 6, slot
    nop
    nop
    nop
    nop
    nop
    nop
    .globl crossing_site
crossing_site:
    TP_OP_CALL 6, slot
    TP_ALTERNATIVE "pushf; pop %rax", "xor %eax, %eax", TP_FEATURE_KERNEL(0)
    pop %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    end uses_ops

    begin save_flags
    .cfi_startproc
    pushf
    .cfi_adjust_cfa_offset 8
    pop %rax
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    end save_flags

    begin widest
    .cfi_startproc
    ret
    .cfi_endproc
    end widest

    begin another
    .cfi_startproc
    ret
    .cfi_endproc
    end another

    TP_PATCHLET save_flags_inline
    pushf
    pop %rax
    nop
    TP_PATCHLET_END
    TP_INLINE save_flags, save_flags_inline

    TP_PATCHLET widest_inline
    .byte 0x2e
    mov $0x12345678, %eax
    TP_PATCHLET_END
    TP_INLINE widest, widest_inline

/* ---- Assembler, which .eh_frame says nothing of ---- */

    begin by_hand
    push %rbp
    mov %rsp, %rbp
    push %rax
    test %eax, %eax
    je 1f
    TP_OP_CALL 6, slot
1:  pop %rax
    pop %rbp
    ret
    end by_hand

    begin entry
    hint entry, 0, 0, ORC_WORDS, HINT_HERE
    push $0
    push $14
    sub $120, %rsp
    hint 1f, 0, 0, ORC_REGS, HINT_HERE
1:  call pushes
    add $136, %rsp
    iretq
    end entry

    begin other_mode
    hint other_mode, 1f, 8, ORC_CALL, HINT_RANGE
    mov %rcx, %rsp
    jmp *%rax
1:
    end other_mode

    .data
    .balign 8
    .globl slot
slot: .quad another
    TP_OP_KEY slot, "slot"
    .section .note.GNU-stack, "", @progbits
