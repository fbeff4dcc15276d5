/* SPDX-License-Identifier: MIT */
/* For flow_good.S and flow_faults.S. */
#include <textpatch/gas.h>

#define ORC_END 1
#define ORC_CALL 2
#define ORC_WORDS 4

/* As textpatch/hints.inc has it for NASM: of the instruction that follows; registers: 1 counted from rsp, 0x11 and rbp is at
 * the frame + bp, 0 none */
.macro hint offset:req, type:req, registers=1, bp=0
    .pushsection .debug_textpatch_hints, "", @progbits
    .quad 9f, 0
    .short \offset, \bp
    .byte \registers, \type
    .short 0
    .popsection
9:
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
