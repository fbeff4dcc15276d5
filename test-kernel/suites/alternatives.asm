; SPDX-License-Identifier: MIT
; NASM sites of the suite alternatives, and what its sites call.

%include "textpatch/textpatch.inc"

bits 64
default rel

; alternatives.h
%define CHOICE_A (13 * 32 + 8)
%define CHOICE_B (13 * 32 + 9)
%define CHOICE_C (13 * 32 + 10)

extern alternative_variable
global alternative_one:function hidden
global alternative_two:function hidden

%macro place 1
global %1:function hidden
align 16, int3
%1:
%endmacro

; A form is one line.
%macro zero_then_two 0
    xor eax, eax
    mov al, 2
%endmacro
%macro jump_if_zero 0
    test edi, edi
    jz near zero
%endmacro

section .text

place nasm_two
    TP_ALTERNATIVE_2 {mov eax, 1}, {mov eax, 2}, CHOICE_A, {mov eax, 3}, CHOICE_B
    ret

place nasm_three
    TP_ALTERNATIVE_3 {mov eax, 1}, {zero_then_two}, CHOICE_A, {mov rax, strict dword 3}, CHOICE_B, \
        {mov rax, strict qword 4}, CHOICE_C
    ret

place nasm_unless
    TP_ALTERNATIVE {mov eax, 1}, {mov eax, 2}, TP_NOT(CHOICE_A)
    ret

place nasm_outer
    TP_ALTERNATIVE {TP_ALTERNATIVE {mov eax, 1}, {mov eax, 2}, CHOICE_A}, {mov eax, 3}, CHOICE_B
    ret

place nasm_inner
    TP_ALTERNATIVE {mov eax, 1}, {TP_ALTERNATIVE {mov eax, 2}, {mov eax, 3}, CHOICE_A}, CHOICE_B
    ret

place nasm_load
    TP_ALTERNATIVE {mov eax, 1}, {mov eax, [alternative_variable]}, CHOICE_A
    ret

place nasm_call
    TP_ALTERNATIVE {call alternative_one}, {call alternative_two}, CHOICE_A
    ret

place nasm_jump
    mov eax, 1
    TP_ALTERNATIVE {nop}, {jump_if_zero}, CHOICE_A
    ret
zero:
    inc eax
    ret

alternative_one:
    mov eax, 1
    ret

alternative_two:
    mov eax, 2
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
