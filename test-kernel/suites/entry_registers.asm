; SPDX-License-Identifier: MIT
; Hooks of the entry code in NASM: those that check and change all that the C ABI allows, and those that do what no hook may.

bits 64
default rel

%include "textpatch/regs.inc"

global trash_at_entry:function hidden
global trash_at_exit:function hidden
global trash_at_leave:function hidden
global write_saved_slots:function hidden
global lose_r12_of_lazy_calls:function hidden

extern check_entry
extern check_exit
extern check_leave

; As in textpatch/regs.h and platform/user.h.
VECTOR_SYSCALL equ 256
FIRST_COMPLETE_SYSCALL equ 64

; Where a hook finds its frame: above its return address and what TP_CALL_HOOK has pushed.
FRAME equ 8 + 8 + 9 * 8

section .text

; What it has to keep it keeps on the stack, and uses all the same.
%macro trashing_hook 2 ; its name, what it calls
align 16, int3
%1:
    mov rsi, rsp
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov rbx, rdi
    mov rbp, rdi
    mov r12, rdi
    mov r13, rdi
    mov r14, rdi
    mov r15, rdi
    call %2
    mov rax, 0x5a5a5a5a5a5a5a5a
    mov rcx, rax
    mov rdx, rax
    mov rsi, rax
    mov rdi, rax
    mov r8, rax
    mov r9, rax
    mov r10, rax
    mov r11, rax
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    stc
    ret
%endmacro

; void …(struct tp_regs *)
trashing_hook trash_at_entry, check_entry
trashing_hook trash_at_exit, check_exit
trashing_hook trash_at_leave, check_leave

; The classic: on the way out the registers are C's, and the slots are user mode's.
align 16, int3
write_saved_slots:
    TP_REGS_SAVE_EXTRA FRAME
    ret

align 16, int3
lose_r12_of_lazy_calls:
    cmp qword [rdi + TP_REGS_VECTOR], VECTOR_SYSCALL
    jne .done
    cmp qword [rdi + TP_REGS_ERROR_CODE], FIRST_COMPLETE_SYSCALL
    jae .done
    not r12
.done:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
