; SPDX-License-Identifier: MIT
; Op calls from NASM: plain ones, a jump, and ones between the loading and the storing of all registers.

%include "textpatch/textpatch.inc"
%include "textpatch/ops.inc"
%include "textpatch/hints.inc"

bits 64
default rel

extern pv_ops
extern survival_ops

; textpatch/ops.h; a wrong number shows as a wrong length or slot in the suite.
%define SAVE_FL TP_WIDTH_SAVE_FL, pv_ops + TP_OPS_SAVE_FL
%define RESTORE_FL TP_WIDTH_RESTORE_FL, pv_ops + TP_OPS_RESTORE_FL
%define IRQ_DISABLE TP_WIDTH_IRQ_DISABLE, pv_ops + TP_OPS_IRQ_DISABLE
%define IRQ_ENABLE TP_WIDTH_IRQ_ENABLE, pv_ops + TP_OPS_IRQ_ENABLE
%define SAFE_HALT TP_WIDTH_SAFE_HALT, pv_ops + TP_OPS_SAFE_HALT
%define WBINVD TP_WIDTH_WBINVD, pv_ops + TP_OPS_WBINVD
%define IRET TP_WIDTH_IRET, pv_ops + TP_OPS_IRET
%define READ_CR2 TP_WIDTH_READ_CR2, pv_ops + TP_OPS_READ_CR2
%define READ_CR3 TP_WIDTH_READ_CR3, pv_ops + TP_OPS_READ_CR3
%define WRITE_CR3 TP_WIDTH_WRITE_CR3, pv_ops + TP_OPS_WRITE_CR3
%define MAKE_PTE TP_WIDTH_MAKE_PTE, pv_ops + TP_OPS_MAKE_PTE
%define PTE_VAL TP_WIDTH_PTE_VAL, pv_ops + TP_OPS_PTE_VAL
%define UNLOCK TP_WIDTH_UNLOCK, pv_ops + TP_OPS_UNLOCK
%define WAIT TP_WIDTH_WAIT, pv_ops + TP_OPS_WAIT
%define KICK TP_WIDTH_KICK, pv_ops + TP_OPS_KICK
%define SURVIVAL_THUNK 6, survival_ops
%define SURVIVAL_CLOBBERING 6, survival_ops + 8

%macro plain 3                    ; name, width, slot
global %1:function hidden
align 16, int3
%1:
    TP_OP_CALL %2, %3
    ret
%endmacro

; void name(uint64_t registers[15])
%macro survive 3                  ; name, width, slot
global %1:function hidden
align 16, int3
%1:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rdi
    mov rax, [rdi + 0 * 8]
    mov rbx, [rdi + 1 * 8]
    mov rcx, [rdi + 2 * 8]
    mov rdx, [rdi + 3 * 8]
    mov rsi, [rdi + 4 * 8]
    mov rbp, [rdi + 6 * 8]
    mov r8, [rdi + 7 * 8]
    mov r9, [rdi + 8 * 8]
    mov r10, [rdi + 9 * 8]
    mov r11, [rdi + 10 * 8]
    mov r12, [rdi + 11 * 8]
    mov r13, [rdi + 12 * 8]
    mov r14, [rdi + 13 * 8]
    mov r15, [rdi + 14 * 8]
    mov rdi, [rdi + 5 * 8]
    TP_OP_CALL %2, %3
    xchg rdi, [rsp]               ; the array; rdi's value to the stack
    mov [rdi + 0 * 8], rax
    mov [rdi + 1 * 8], rbx
    mov [rdi + 2 * 8], rcx
    mov [rdi + 3 * 8], rdx
    mov [rdi + 4 * 8], rsi
    mov [rdi + 6 * 8], rbp
    mov [rdi + 7 * 8], r8
    mov [rdi + 8 * 8], r9
    mov [rdi + 9 * 8], r10
    mov [rdi + 10 * 8], r11
    mov [rdi + 11 * 8], r12
    mov [rdi + 12 * 8], r13
    mov [rdi + 13 * 8], r14
    mov [rdi + 14 * 8], r15
    pop rax
    mov [rdi + 5 * 8], rax
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
%endmacro

section .text

plain nasm_save_fl, SAVE_FL
plain nasm_restore_fl, RESTORE_FL
plain nasm_irq_disable, IRQ_DISABLE
plain nasm_irq_enable, IRQ_ENABLE

; void nasm_iret(unsigned long flags)
global nasm_iret:function hidden
align 16, int3
nasm_iret:
    mov rdx, rsp
    mov eax, ss
    push rax
    push rdx
    push rdi
    mov eax, cs
    and eax, ~3                   ; Xen PV runs kernels at CPL 3, and takes RPL 3 for a return to user mode
    push rax
    lea rax, [.back]
    push rax
    TP_OP_JMP IRET
    int3
.back:
    TP_HINT_CALL 8
    ret

survive survive_save_fl, SAVE_FL
survive survive_restore_fl, RESTORE_FL
survive survive_irq_disable, IRQ_DISABLE
survive survive_irq_enable, IRQ_ENABLE
survive survive_safe_halt, SAFE_HALT
survive survive_wbinvd, WBINVD
survive survive_read_cr2, READ_CR2
survive survive_read_cr3, READ_CR3
survive survive_write_cr3, WRITE_CR3
survive survive_make_pte, MAKE_PTE
survive survive_pte_val, PTE_VAL
survive survive_unlock, UNLOCK
survive survive_wait, WAIT
survive survive_kick, KICK
survive survive_thunk, SURVIVAL_THUNK
survive survive_clobbering, SURVIVAL_CLOBBERING

section .note.GNU-stack noalloc noexec nowrite progbits
