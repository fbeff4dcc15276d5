/* SPDX-License-Identifier: MIT */
/*
 * Assembler, and what compilers make of inline assembler, that `textpatch orc` has to understand: flow_test.c asks for the
 * entries at the labels. There is far more assembler than compiled code in it, which has a description each.
 */
#include "flow_macros.h"

    .text
    begin work
    ret
    end work

/* ---- Labels behind calls ---- */

    begin loops
    push %rbx
    call work
loops_again:
    call work
    dec %ebx
    jnz loops_again
loops_behind:
    pop %rbx
loops_return:
    ret
    end loops

    begin stops
    push %rbx
    call never
    .size stops, . - stops
    .type behind_stops, @function
behind_stops:                       /* a function: `never` doesn't return */
    ret
    .size behind_stops, . - behind_stops

    begin stops_too
    push %rbx
    call never
called_behind:                      /* called, by what is seen later */
    ret

    begin calls_behind
    push %rbx
    call loops
calls_behind_label:
    call called_behind
    pop %rbx
    ret
    end calls_behind

    begin never
1:  jmp 1b
    end never

    .balign 16, 0xcc
lonely:                             /* nothing leads here: a case of some jump table, or a function by address */
    push %rbx
lonely_inside:
    pop %rbx
    ret

    begin asks_where
    push %rbx
    call 1f
1:  pop %rax
asks_where_inside:
    pop %rbx
    ret
    end asks_where

/* ---- rbp ---- */

    begin saves_for_nothing
    push %rbp
    add $8, %rsp
saves_return:
    ret
    end saves_for_nothing

    begin writes_elsewhere
    mov %rbp, 32(%rsp)
    ret
    end writes_elsewhere

    begin cleans
    push %rbp
    mov %rsp, %rbp
    call work
    leave
    ret $16
    end cleans

    begin on_another_stack
    push %rbp
    mov %rsp, %rbp
    mov irq_top(%rip), %rsp
another_stack:
    call work
    mov %rbp, %rsp
    pop %rbp
another_return:
    ret
    end on_another_stack

/* ---- A thread ---- */

    begin before_start              /* its last byte is a ret, then there is padding */
    ret
    end before_start
    .balign 16, 0x90
    .globl thread_start
thread_start:
    hint 0, ORC_END, 0
    call work
    ud2

    begin switch_to
    push %rbx
    push %rbp
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    hint 24, ORC_CALL, 0x11, -24
switched:
    pop %rbp
    pop %rbx
switch_return:
    ret
    end switch_to

    begin tp_breakpoint_entry
    hint 0, ORC_WORDS
    push %rax
    pop %rax
    iretq
    end tp_breakpoint_entry

/* ---- Compiled code with inline assembler ---- */

    .file "compiled.c"
    .balign 16, 0xcc
    .type on_irq_stack, @function
on_irq_stack:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    mov %rsp, %rbx
    mov irq_top(%rip), %rsp
irq_lost:
    call work
    mov %rbx, %rsp
irq_found:
    pop %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    end on_irq_stack

    begin by_word
    .cfi_startproc
    mov irq_top(%rip), %rax
    mov %rsp, -8(%rax)
    lea -8(%rax), %rsp
word_lost:
    call work
    pop %rsp
word_found:
    ret
    .cfi_endproc
    end by_word

    begin by_variable
    .cfi_startproc
    mov %rsp, saved(%rip)
    mov irq_top(%rip), %rsp
    test %eax, %eax
    jz 1f
    call work
1:
variable_lost:
    mov saved(%rip), %rsp
variable_found:
    ret
    .cfi_endproc
    end by_variable

    begin by_exchange
    .cfi_startproc
    mov irq_top(%rip), %r12
    xchg %r12, %rsp
exchange_lost:
    call work
    xchg %rsp, %r12
exchange_found:
    ret
    .cfi_endproc
    end by_exchange

/* rax isn't what it was, behind a call. */
    begin not_found
    .cfi_startproc
    mov %rsp, %rax
    mov irq_top(%rip), %rsp
    call work
    mov %rax, %rsp
not_found_lost:
    ret
    .cfi_endproc
    end not_found

    begin loses_bp
    .cfi_startproc
    push %rbp
    xor %ebp, %ebp
bp_pushed:
    call work
    pop %rbp
bp_popped:
    mov %rbp, %r12
    xor %ebp, %ebp
bp_lost:
    call work
    mov %r12, %rbp
bp_found:
    ret
    .cfi_endproc
    end loses_bp

    begin loses_frame
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register rbp
    push %rbp
    xor %ebp, %ebp
frame_lost:
    call work
    pop %rbp
frame_found:
    leave
    .cfi_def_cfa rsp, 8
    .cfi_restore rbp
    ret
    .cfi_endproc
    end loses_frame

/* ---- Other languages: a description with a personality routine ---- */

    begin other_language
    .cfi_startproc
    .cfi_personality 0x1b, personality
    .cfi_lsda 0x1b, exceptions
    push %rbx
    .cfi_adjust_cfa_offset 8
other_inside:
    pop %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    end other_language

    begin personality
    ret
    end personality

/* ---- A label that one of two ways leads to with a stack that isn't known: by branches, and followed, in either order ---- */

    begin lost_second
    test %eax, %eax
    jz lost_second_here
    mov irq_top(%rip), %rsp
lost_second_here:
    nop
lost_second_behind:
    ret
    end lost_second

    begin lost_first
    test %eax, %eax
    jz 1f
    mov irq_top(%rip), %rsp
    jmp lost_first_here
1:  nop
lost_first_here:
    nop
lost_first_behind:
    ret
    end lost_first

    begin lost_late
    test %eax, %eax
    jz 1f
lost_late_here:
    nop
lost_late_behind:
    ret
1:  mov irq_top(%rip), %rsp
    jmp lost_late_here
    end lost_late

    begin lost_nowhere
    test %eax, %eax
    jz 1f
lost_nowhere_here:
    nop
lost_nowhere_behind:
    ret
1:  jmp lost_nowhere_here
    end lost_nowhere

/* ---- Forms with jumps ---- */

    begin forms
    .cfi_startproc
    TP_ALTERNATIVE "nop; nop; nop; nop; nop; nop; nop", "jmp 1f; nop; nop; nop; 1: xor %eax, %eax", TP_FEATURE_KERNEL(0)
    TP_ALTERNATIVE "{disp32} jmp 1f", "jz 1f; nop", TP_FEATURE_KERNEL(0)
1:  ret
    .cfi_endproc
    end forms

/* ---- Much assembler: 16 functions, without any description ---- */
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    begin much_\n
    push %rbx
    .rept 64
    nop
    .endr
    pop %rbx
    ret
    end much_\n
    .endr

    .data
    .balign 8
irq_top: .quad 0
saved: .quad 0
exceptions: .byte 0xff, 0xff, 1, 0
    .section .note.GNU-stack, "", @progbits
