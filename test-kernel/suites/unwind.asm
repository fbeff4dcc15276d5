; SPDX-License-Identifier: MIT
; A static call whose inline form moves rsp, in both worlds; a function that runs another one on another stack.

%include "textpatch/textpatch.inc"

bits 64
default rel

global nasm_pass_word:function hidden
global call_on_stack:function hidden
extern tp_static_call_pass_word
extern tp_static_call_trampoline_pass_word

section .text

; unsigned long push_and_pop(unsigned long value): the value
;   57 58
TP_PATCHLET_FUNCTION push_and_pop, push_and_pop_patchlet, {push rdi}, {pop rax}

; unsigned long nasm_pass_word(unsigned long value)
;   before  48 83 ec 08  e8 …            48 83 c4 08 c3
;   after   48 83 ec 08  57 58 0f 1f 00  48 83 c4 08 c3
align 16
nasm_pass_word:
    sub rsp, 8
    TP_STATIC_CALL pass_word
    add rsp, 8
    ret

; void call_on_stack(void (*function)(void), uintptr_t top)
align 16
call_on_stack:
    push rbp
    mov rbp, rsp
    mov rsp, rsi
    call rdi
    mov rsp, rbp
    pop rbp
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
