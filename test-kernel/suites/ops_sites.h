/* SPDX-License-Identifier: MIT */
/* Op calls from assembler: ops.asm and ops.S. Used by the suites ops, op_registers and early. */
#ifndef OPS_SITES_H
#define OPS_SITES_H

#include <stdint.h>

unsigned long nasm_save_fl(void), gas_save_fl(void);
void nasm_restore_fl(unsigned long flags), gas_restore_fl(unsigned long flags);
void nasm_irq_disable(void), gas_irq_disable(void);
void nasm_irq_enable(void), gas_irq_enable(void);

/* Returns by pv_ops.cpu.iret, with these flags. */
void nasm_iret(unsigned long flags), gas_iret(unsigned long flags);

/* rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15: loaded, then the op, then stored. */
enum { REGISTERS = 15, REGISTER_RDI = 5 };
void survive_save_fl(uint64_t *registers), survive_restore_fl(uint64_t *registers);
void survive_irq_disable(uint64_t *registers), survive_irq_enable(uint64_t *registers);
void survive_safe_halt(uint64_t *registers), survive_wbinvd(uint64_t *registers);
void survive_read_cr2(uint64_t *registers), survive_read_cr3(uint64_t *registers);
void survive_write_cr3(uint64_t *registers), survive_make_pte(uint64_t *registers);
void survive_pte_val(uint64_t *registers), survive_unlock(uint64_t *registers);
void survive_wait(uint64_t *registers), survive_kick(uint64_t *registers);
/* Through op_registers' own slots. */
void survive_thunk(uint64_t *registers), survive_clobbering(uint64_t *registers);

#endif
