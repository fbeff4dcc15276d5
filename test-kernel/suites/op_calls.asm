; SPDX-License-Identifier: MIT
; Callees of the suite op_calls: they see whole registers, which C can't.

bits 64
default rel

global record_arguments:function hidden
global return_garbage:function hidden
global recorded_arguments:data hidden
global recorded_stack:data hidden

section .bss
align 8
recorded_arguments: resq 6
recorded_stack: resq 1

section .text

; Keeps every register but rax, so it fits slots of both ABIs.
record_arguments:
    mov [recorded_arguments + 0 * 8], rdi
    mov [recorded_arguments + 1 * 8], rsi
    mov [recorded_arguments + 2 * 8], rdx
    mov [recorded_arguments + 3 * 8], rcx
    mov [recorded_arguments + 4 * 8], r8
    mov [recorded_arguments + 5 * 8], r9
    mov [recorded_stack], rsp
    mov rax, 0xa5a5a5a5a5a5a5a5
    ret

; Its argument, with whatever the caller left above the type's own bits.
return_garbage:
    mov rax, rdi
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
