/* SPDX-License-Identifier: MIT */
/*
 * 100,000 functions, with a site each. Of ten, four have static calls that the host tool is to find, four an op call
 * with an inline form, one an alternative, one a static branch.
 */
#include <textpatch/gas.h>

.macro begin_function name:req
    .globl \name
    .type \name, @function
    .balign 16, 0xcc
\name:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    subq $32, %rsp
    .cfi_def_cfa_offset 48
    movq %rdi, %rbx
    testq %rdi, %rdi
    jz 7f
.endm

.macro end_function name:req, other:req
    addq %rax, %rbx
    movq %rbx, %rdi
    call \other
7:
    movq %rbx, %rax
    addq $32, %rsp
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size \name, . - \name
.endm

.macro ten_functions high:req
    .irpc low, 0246
    begin_function function_\high\low
    call tp_static_call_trampoline_pick
    end_function function_\high\low, function_\high\()0
    .endr
    .irpc low, 1357
    begin_function function_\high\low
    TP_OP_CALL 7, ops
    end_function function_\high\low, function_\high\()0
    .endr
    begin_function function_\high\()8
    TP_ALTERNATIVE "shrq $1, %rax", "shrq $2, %rax; nop", TP_FEATURE_POPCNT
    end_function function_\high\()8, function_\high\()0
    begin_function function_\high\()9
    TP_STATIC_BRANCH tracing, 0, 1, 7f
    end_function function_\high\()9, function_\high\()0
.endm

    .text
    .irpc a, 0123456789
    .irpc b, 0123456789
    .irpc c, 0123456789
    .irpc d, 0123456789
    ten_functions \a\b\c\d
    .endr
    .endr
    .endr
    .endr

    .section .note.GNU-stack, "", @progbits
