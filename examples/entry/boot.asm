; SPDX-License-Identifier: MIT
; From the PVH entry (32 bits, no paging: `qemu -kernel`) to kernel_main in long mode. Mapped is the first GiB, for the
; kernel alone, and from USER on four pages for user mode.
%include "layout.inc"
%include "textpatch/hints.inc"

extern kernel_main
extern user_text
extern user_stack
extern counts

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
    TP_HINT_END_RANGE start, in_long_mode
in_long_mode:
    TP_HINT_END                     ; stack traces end here
    mov esp, stack_top
    call kernel_main                ; which doesn't return

PRESENT equ 1
WRITABLE equ 1 << 1
FOR_USER equ 1 << 2
UNCACHED equ 3 << 3
LARGE equ 1 << 7

section .data align=4096
top_table:
    dq pointers + PRESENT + WRITABLE + FOR_USER
    times 511 dq 0
pointers:
    dq directory + PRESENT + WRITABLE
    dq user_directory + PRESENT + WRITABLE + FOR_USER
    times 510 dq 0
directory:
%assign page 0
%rep 512
    dq page + PRESENT + WRITABLE + LARGE
%assign page page + 0x200000
%endrep
user_directory:
    dq user_table + PRESENT + WRITABLE + FOR_USER
    times 511 dq 0
; The local APIC is there so that the program can have itself hit by an NMI. Other kernels keep it for themselves.
user_table:
    dq user_text + PRESENT + FOR_USER
    dq user_stack + PRESENT + WRITABLE + FOR_USER
    dq counts + PRESENT + FOR_USER
    dq 0xfee00000 + PRESENT + WRITABLE + FOR_USER + UNCACHED
    times 508 dq 0
descriptors:
    dq 0, 0x00af9b000000ffff        ; 64-bit code
descriptors_pointer:
    dw 15
    dd descriptors

section .bss align=16
    resb 16384
stack_top:
section .note.GNU-stack noalloc noexec nowrite progbits
