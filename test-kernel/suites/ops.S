/* SPDX-License-Identifier: MIT */
/* Op calls from GAS. */
#include <textpatch/gas.h>
#include <textpatch/ops.h>

.macro plain name:req, width:req, slot:req
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 16, 0xcc
\name:
    TP_OP_CALL \width, pv_ops+\slot
    ret
    .size \name, . - \name
.endm

    .text

    plain gas_save_fl, TP_WIDTH_SAVE_FL, TP_OPS_SAVE_FL
    plain gas_restore_fl, TP_WIDTH_RESTORE_FL, TP_OPS_RESTORE_FL
    plain gas_irq_disable, TP_WIDTH_IRQ_DISABLE, TP_OPS_IRQ_DISABLE
    plain gas_irq_enable, TP_WIDTH_IRQ_ENABLE, TP_OPS_IRQ_ENABLE

/* void gas_iret(unsigned long flags) */
    .globl gas_iret
    .hidden gas_iret
    .type gas_iret, @function
    .balign 16, 0xcc
gas_iret:
    .cfi_startproc
    movq %rsp, %rdx
    movl %ss, %eax
    pushq %rax
    pushq %rdx
    pushq %rdi
    movl %cs, %eax
    andl $~3, %eax /* see ops.asm */
    pushq %rax
    leaq .Lback(%rip), %rax
    pushq %rax
    TP_OP_JMP TP_WIDTH_IRET, pv_ops+TP_OPS_IRET
    int3
.Lback:
    ret
    .cfi_endproc
    .size gas_iret, . - gas_iret

    .section .note.GNU-stack, "", @progbits
