/* SPDX-License-Identifier: MIT */
/* GAS sites of the suite static_keys. */
#include <textpatch/gas.h>

    .text
    .globl key_gas_long, key_gas_short
    .hidden key_gas_long, key_gas_short
    .type key_gas_long, @function
    .type key_gas_short, @function

/* bool key_gas_long(void): the key starts enabled, and the site jumps while it is */
key_gas_long:
    xorl %eax, %eax
    TP_STATIC_BRANCH key_of_assembler, 1, 1, .Lenabled
    ret
    .skip 200, 0xcc /* out of reach of a short jump */
.Lenabled:
    incl %eax
    ret

/* bool key_gas_short(void): jumps while the key is disabled */
key_gas_short:
    xorl %eax, %eax
    TP_STATIC_BRANCH_SHORT key_of_assembler, 0, 0, .Ldisabled
    incl %eax
.Ldisabled:
    ret

    .section .note.GNU-stack, "", @progbits
