; SPDX-License-Identifier: MIT
; NASM sites of the suite static_keys.

%include "textpatch/textpatch.inc"

bits 64
default rel

global key_nasm_long:function hidden
global key_nasm_short:function hidden
extern key_of_assembler

section .text

; bool key_nasm_long(void): the key starts enabled, and the site jumps while it is
key_nasm_long:
    xor eax, eax
    TP_STATIC_BRANCH key_of_assembler, 1, 1, .enabled
    ret
    times 200 int3                ; out of reach of a short jump
.enabled:
    inc eax
    ret

; bool key_nasm_short(void): jumps while the key is disabled
key_nasm_short:
    xor eax, eax
    TP_STATIC_BRANCH_SHORT key_of_assembler, 0, 0, .disabled
    inc eax
.disabled:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
