; SPDX-License-Identifier: MIT
; Sites of every kind for unwind_test.c, what they call, and the stack that they run on: unwind_sites.h.

%include "textpatch/textpatch.inc"
%include "textpatch/hints.inc"

bits 64
default rel

extern unwind_ops
extern unwind_key
extern tp_static_call_trampoline_unwind_call

; As in unwind_sites.h.
%define SAVE unwind_ops
%define RESTORE unwind_ops + 8
%define PASS unwind_ops + 16
%define TAIL unwind_ops + 24
%define PUSH_ONE TP_FEATURE_KERNEL(24)
%define PUSH_TWO TP_FEATURE_KERNEL(25)

section .text

TP_PATCHLET_FUNCTION save_flags, patchlet_save_flags, {pushfq}, {pop rax}
TP_PATCHLET_FUNCTION restore_flags, patchlet_restore_flags, {push rdi}, {popfq}
TP_PATCHLET_FUNCTION pass_by_stack, patchlet_pass_by_stack, {push rdi}, {pop rax}

%macro begin 1
    align 16, int3
    global %1:function hidden
%1:
%endmacro

begin save_flags_far
    pushfq
    pop rax
    ret

begin restore_flags_far
    push rdi
    popfq
    ret

begin pass_far
    push rdi
    call .deeper
    pop rax
    ret
.deeper:
    push rbp
    mov rbp, rsp
    and rsp, -32
    mov rsp, rbp
    pop rbp
    ret

begin asm_save
    TP_OP_CALL 6, SAVE
    ret

begin asm_save_wide
    TP_OP_CALL 11, SAVE
    ret

begin asm_restore
    TP_OP_CALL 6, RESTORE
    ret

begin asm_pass
    sub rsp, 40
    TP_OP_CALL 6, PASS
    add rsp, 40
    ret

begin asm_tail
    TP_OP_JMP 6, TAIL

begin asm_call
    sub rsp, 8
    TP_STATIC_CALL unwind_call
    add rsp, 8
    ret

begin asm_tail_call
    mov rax, rdi
    jmp tp_static_call_trampoline_unwind_call

; The long form, which is what the tool makes a site of.
begin asm_call_if_zero
    mov eax, 9
    test rsi, rsi
    jz near tp_static_call_trampoline_unwind_call
    ret

begin asm_branch
    TP_STATIC_BRANCH unwind_key, 0, 1, .taken
    TP_STATIC_BRANCH_SHORT unwind_key, 0, 1, .taken_late
    mov eax, 1
    ret
.taken_late:
    mov eax, 3
    ret
.taken:
    mov eax, 2
    ret

; A form is one line.
%macro push_and_pop 0
    push rdi
    pop rax
%endmacro
%macro push_two_and_pop 0
    push rdi
    push rdi
    pop rax
    pop rax
%endmacro

begin asm_alternative
    TP_ALTERNATIVE {mov rax, rdi}, {push_and_pop}, PUSH_ONE
    ret

begin asm_alternative_two
    TP_ALTERNATIVE {lea rax, [byte rdi + 0]}, {push_two_and_pop}, PUSH_TWO
    ret

; void run_on_stack(void (*run)(void), uintptr_t top)
begin run_on_stack
    push rbp
    mov rbp, rsp
    mov rsp, rsi
    TP_HINT_END
    call rdi
    mov rsp, rbp
    TP_HINT_CALL 16, 0
    pop rbp
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
