; SPDX-License-Identifier: MIT
; The NASM site of the suite lock_prefix.

%include "textpatch/textpatch.inc"

bits 64
default rel

global lock_nasm_add:function hidden

section .text

; uint64_t lock_nasm_add(uint64_t *cell, uint64_t amount)
lock_nasm_add:
    mov rax, rsi
    TP_LOCK xadd [rdi], rax
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
