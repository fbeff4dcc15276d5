/* SPDX-License-Identifier: MIT */
/* GAS sites of the suite alternatives. */
#include <textpatch/gas.h>

#include "alternatives.h"

.macro place name:req
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 16, 0xcc
\name:
.endm

/* Forms that are alternatives themselves. */
.macro one_or_two
    TP_ALTERNATIVE "movl $1, %eax", "movl $2, %eax", CHOICE_A
.endm
.macro two_or_three
    TP_ALTERNATIVE "movl $2, %eax", "movl $3, %eax", CHOICE_A
.endm

    .text

    place gas_two
    TP_ALTERNATIVE_2 "movl $1, %eax", "movl $2, %eax", CHOICE_A, "movl $3, %eax", CHOICE_B
    ret

    place gas_three
    TP_ALTERNATIVE_3 "movl $1, %eax", "xorl %eax, %eax; movb $2, %al", CHOICE_A, "movq $3, %rax", CHOICE_B, "movabsq $4, %rax", CHOICE_C
    ret

    place gas_unless
    TP_ALTERNATIVE "movl $1, %eax", "movl $2, %eax", TP_NOT(CHOICE_A)
    ret

    place gas_outer
    TP_ALTERNATIVE one_or_two, "movl $3, %eax", CHOICE_B
    ret

    place gas_inner
    TP_ALTERNATIVE "movl $1, %eax", two_or_three, CHOICE_B
    ret

    place gas_load
    TP_ALTERNATIVE "movl $1, %eax", "movl alternative_variable(%rip), %eax", CHOICE_A
    ret

    place gas_call
    TP_ALTERNATIVE "call alternative_one", "call alternative_two", CHOICE_A
    ret

    place gas_jump
    movl $1, %eax
    TP_ALTERNATIVE "nop", "testl %edi, %edi; jz .Lzero", CHOICE_A
    ret
.Lzero:
    incl %eax
    ret

    .section .note.GNU-stack, "", @progbits
