; SPDX-License-Identifier: MIT
; NASM parts of the suite inline_calls: branches to trampolines as anybody would write them. Nothing here speaks of sites.

%include "textpatch/textpatch.inc"

bits 64
default rel

extern tp_static_call_trampoline_inline_value
extern tp_static_call_trampoline_inline_note

section .text

; long value_jumped(long value): a tail call
global value_jumped:function hidden
value_jumped:
    add rdi, 1
    jmp near tp_static_call_trampoline_inline_value

; long value_if_zero(long value, long selector): a conditional one; else -1
global value_if_zero:function hidden
value_if_zero:
    test rsi, rsi
    jz near tp_static_call_trampoline_inline_value
    mov rax, -1
    ret

; void note_if_not_zero(long *to, long by, long selector)
global note_if_not_zero:function hidden
note_if_not_zero:
    test rdx, rdx
    jnz near tp_static_call_trampoline_inline_note
    ret

; Targets that fit into five bytes: long value_plus_five(long), void note_less(long *to, long by)
TP_PATCHLET_FUNCTION value_plus_five, value_plus_five_patchlet, {lea rax, [rdi + 5]}
TP_PATCHLET_FUNCTION note_less, note_less_patchlet, {sub [rdi], rsi}

section .note.GNU-stack noalloc noexec nowrite progbits
