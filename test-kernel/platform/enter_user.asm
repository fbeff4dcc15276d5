; SPDX-License-Identifier: MIT
; The way from run_processes() to user mode and back. It leaves as every entry leaves,
; by a frame; and what it comes back by is a frame too, which says left_user and the
; stack that is kept here.

%include "platform.inc"
%include "textpatch/regs.inc"

global enter_user
global left_user

extern set_entry_stack
extern return_from_exception

bits 64
default rel
section .text progbits alloc exec nowrite align=16

; void enter_user(const struct tp_regs *first), interrupts masked
enter_user:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rbp, rsp                  ; for who unwinds: the stack is aligned next
    mov [gs:CPU_RUNNER_STACK], rsp
    mov rbx, rdi
    and rsp, -16                  ; syscall's entry takes it as it is
    mov rdi, rsp
    call set_entry_stack
    sub rsp, TP_REGS_SIZE
    mov rsi, rbx
    mov rdi, rsp
    mov ecx, TP_REGS_SIZE / 8
    rep movsq
    jmp return_from_exception

; rsp as it was kept, interrupts masked
left_user:
    TP_HINT_CALL 7 * 8, 4 * 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
