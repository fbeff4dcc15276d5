/* SPDX-License-Identifier: MIT */
/* The traced backend: each function counts the call on this CPU, and goes to what the plain one has. */
#include <textpatch/ops.h>

.section .note.GNU-stack, "", @progbits
.text

#define TRACED_CALLS %gs:16 /* struct cpu: free_for_suites[0] */

/* Changes nothing but the flags: there are ops whose caller has something in rax. */
.macro TRACED op, offset
.globl traced_\op
.hidden traced_\op
.type traced_\op, @function
.balign 16, 0xcc
traced_\op:
    push %rax
    mov TRACED_CALLS, %rax
    incq \offset(%rax)
    pop %rax
    jmp *traced_targets+\offset(%rip)
.size traced_\op, . - traced_\op
.endm

.hidden traced_targets
TRACED save_fl, TP_OPS_SAVE_FL
TRACED restore_fl, TP_OPS_RESTORE_FL
TRACED irq_disable, TP_OPS_IRQ_DISABLE
TRACED irq_enable, TP_OPS_IRQ_ENABLE
TRACED safe_halt, TP_OPS_SAFE_HALT
TRACED halt, TP_OPS_HALT
TRACED wbinvd, TP_OPS_WBINVD
TRACED read_cr2, TP_OPS_READ_CR2
TRACED read_cr3, TP_OPS_READ_CR3
TRACED write_cr3, TP_OPS_WRITE_CR3
TRACED make_pte, TP_OPS_MAKE_PTE
TRACED pte_val, TP_OPS_PTE_VAL
TRACED unlock, TP_OPS_UNLOCK
TRACED wait, TP_OPS_WAIT
TRACED kick, TP_OPS_KICK
