; SPDX-License-Identifier: MIT
; Stores that may fault. handle_exception() looks a faulting rip up in
; probe_recoveries and resumes where it says.

%include "textpatch/hints.inc"

global try_write_byte:function
global text_is_writable:function
global probe_recoveries
global probe_recoveries_end

bits 64
section .text progbits alloc exec nowrite align=16

; bool try_write_byte(void *address, uint8_t value)
try_write_byte:
    mov [rdi], sil
    mov eax, 1
    ret

; bool text_is_writable(uintptr_t address)
text_is_writable:
    lock or byte [rdi], 0         ; locked: another CPU may be writing there
    mov eax, 1
    ret

faulted:
    TP_HINT_CALL 8                ; only a handler leads here
    xor eax, eax
    ret

section .rodata progbits alloc noexec nowrite align=8
probe_recoveries:
    dq try_write_byte, faulted
    dq text_is_writable, faulted
probe_recoveries_end:

section .note.GNU-stack noalloc noexec nowrite progbits
