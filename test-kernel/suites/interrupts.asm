; SPDX-License-Identifier: MIT
; Sites that run, with all registers loaded, while interrupts come.

%include "textpatch/textpatch.inc"

bits 64
default rel

extern pv_ops
extern spin_key
global spin_registers:function hidden
global spin_registers_loop:notype hidden
global spin_registers_end:notype hidden

section .text

; void spin_registers(uint64_t registers[15], uint64_t rounds): order as in ops_sites.h
spin_registers:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rdi
    push rsi
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
spin_registers_loop:
    TP_OP_CALL 14, pv_ops + 0     ; save_fl
    TP_OP_CALL 9, pv_ops + 16     ; irq_disable
    TP_STATIC_BRANCH spin_key, 0, 1, .enabled
    TP_ALTERNATIVE {nop}, {lea rax, [rax + 1]}, TP_FEATURE_ALWAYS
.enabled:
    TP_OP_CALL 6, pv_ops + 24     ; irq_enable
    dec qword [rsp]
    jnz spin_registers_loop
spin_registers_end:
    xchg rdi, [rsp + 8]
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
    pop rsi
    pop rax
    mov [rdi + 5 * 8], rax
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
