/* SPDX-License-Identifier: MIT */
/* One for each slot of struct tp_ops, in their order, and one for a slot of an example's own. */
.section .note.GNU-stack, "", @progbits
.text

.globl counting_functions
.hidden counting_functions
.hidden counted_calls
.hidden counted_targets
.balign 16, 0xcc
counting_functions:
.set number, 0
.irp op, save_fl, restore_fl, irq_disable, irq_enable, safe_halt, halt, wbinvd, swapgs, usergs_sysret64, iret, \
         load_gs, read_cr2, read_cr3, write_cr3, make_pte, pte_val, unlock, wait, kick, own
.type count_\op, @function
count_\op:
    incq counted_calls+8*number(%rip)
    jmp *counted_targets+8*number(%rip)
.size count_\op, . - count_\op
    .balign 16, 0xcc
    .set number, number+1
.endr
