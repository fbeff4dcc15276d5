; SPDX-License-Identifier: MIT
; From the PVH entry (32 bits, no paging: `qemu -kernel`) to kernel_main in long mode, with the first GiB mapped.
extern kernel_main

section .note.Xen note alloc noexec nowrite align=4
    dd 4, 8, 18                     ; name's and value's length, XEN_ELFNOTE_PHYS32_ENTRY
    db "Xen", 0
    dq start

section .text
bits 32
global start
start:
    mov eax, top_table
    mov cr3, eax
    mov eax, 1 << 5                 ; PAE
    mov cr4, eax
    mov ecx, 0xc0000080             ; EFER
    rdmsr
    or eax, 1 << 8                  ; LME
    wrmsr
    mov eax, 1 << 31 | 1            ; PG, PE
    mov cr0, eax
    lgdt [descriptors_pointer]
    jmp 8:in_long_mode
bits 64
in_long_mode:
    mov esp, stack_top
    call kernel_main                ; which doesn't return

section .data align=4096
top_table:
    dq pointers + 3                 ; present, writable
    times 511 dq 0
pointers:
    dq directory + 3
    times 511 dq 0
directory:
%assign page 0
%rep 512
    dq page + 0x83                  ; present, writable, 2 MiB
%assign page page + 0x200000
%endrep
descriptors:
    dq 0, 0x00af9b000000ffff        ; 64-bit code
descriptors_pointer:
    dw 15
    dd descriptors

section .bss align=16
    resb 16384
stack_top:
section .note.GNU-stack noalloc noexec nowrite progbits
