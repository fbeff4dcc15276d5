/* SPDX-License-Identifier: MIT */
/* GAS parts of the suite static_calls. */
#include <textpatch/gas.h>

    .text
    .globl call_gas_number, call_gas_number_tail, call_gas_number_if_zero
    .hidden call_gas_number, call_gas_number_tail, call_gas_number_if_zero
    .type call_gas_number, @function
    .type call_gas_number_tail, @function
    .type call_gas_number_if_zero, @function

/* int call_gas_number(int value) */
call_gas_number:
    subq $8, %rsp
    TP_STATIC_CALL call_number
    addq $8, %rsp
    ret

/* int call_gas_number_tail(int value) */
call_gas_number_tail:
    jmp tp_static_call_trampoline_call_number

/* int call_gas_number_if_zero(int value, long selector) */
call_gas_number_if_zero:
    testq %rsi, %rsi
    jz tp_static_call_trampoline_call_number
    movl $-1, %eax
    ret

    .section .note.GNU-stack, "", @progbits
