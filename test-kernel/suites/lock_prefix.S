/* SPDX-License-Identifier: MIT */
/* The GAS site of the suite lock_prefix. */
#include <textpatch/gas.h>

    .text
    .globl lock_gas_add
    .hidden lock_gas_add
    .type lock_gas_add, @function

/* uint64_t lock_gas_add(uint64_t *cell, uint64_t amount) */
lock_gas_add:
    movq %rsi, %rax
    TP_LOCK xaddq %rax, (%rdi)
    ret
    .size lock_gas_add, . - lock_gas_add

    .section .note.GNU-stack, "", @progbits
