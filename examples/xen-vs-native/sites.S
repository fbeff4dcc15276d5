/* SPDX-License-Identifier: MIT */
/* What C can't say: ops that are jumped to, and a site at a known address. */
#include <textpatch/gas.h>
#include <textpatch/ops.h>

.section .note.GNU-stack, "", @progbits
.text

/* void disable_once(void) */
.globl disable_once
.hidden disable_once
.type disable_once, @function
.balign 16, 0xcc
disable_once:
    TP_OP_CALL TP_WIDTH_IRQ_DISABLE, pv_ops+TP_OPS_IRQ_DISABLE
    ret
.size disable_once, . - disable_once

/* The ways back to user mode. Nobody goes them here: there is no user. */
.balign 16, 0xcc
return_by_sysret:
    TP_OP_JMP TP_WIDTH_USERGS_SYSRET64, pv_ops+TP_OPS_USERGS_SYSRET64
return_by_iret:
    TP_OP_CALL TP_WIDTH_SWAPGS, pv_ops+TP_OPS_SWAPGS
    TP_OP_JMP TP_WIDTH_IRET, pv_ops+TP_OPS_IRET
    int3
