; SPDX-License-Identifier: MIT
; The native start of another CPU. A start-up IPI begins it in real mode at a page
; below 1 MiB (Intel SDM volume 3A, 9.4.4), where smp_native.c copies what lies
; between trampoline_start and trampoline_end. In 32-bit mode it goes on in the
; image, by the way that the boot CPU went: nothing ever executes that page with
; paging on.

%include "platform.inc"
%include "textpatch/hints.inc"

global trampoline_start
global trampoline_end
global start_other_cpu

extern enter_long_mode
extern starting_cpu
extern enter_native_cpu

%define physical(symbol) (symbol - KERNEL_VIRTUAL_BASE)
%define copied(symbol) (TRAMPOLINE_PHYSICAL + (symbol - trampoline_start))

CR0_PE equ 1 << 0

section .rodata progbits alloc noexec nowrite align=16
bits 16
trampoline_start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    o32 lgdt [copied(trampoline_descriptors_pointer)]
    mov eax, cr0
    or eax, CR0_PE
    mov cr0, eax
    jmp dword 0x08:physical(start_protected)

align 8, db 0
trampoline_descriptors:
    dq 0
    dq 0x00cf9b000000ffff         ; 32-bit code
    dq 0x00cf93000000ffff         ; data
trampoline_descriptors_end:
trampoline_descriptors_pointer:
    dw trampoline_descriptors_end - trampoline_descriptors - 1
    dd copied(trampoline_descriptors)
trampoline_end:

section .text.entry progbits alloc exec nowrite align=16
bits 32
start_protected:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor ebp, ebp                  ; no protocol: not the boot CPU
    jmp enter_long_mode
start_protected_end:
    TP_HINT_END_RANGE start_protected, start_protected_end

; From entry_native.asm, at the kernel's addresses and with its page tables.
section .text progbits alloc exec nowrite align=16
bits 64
default rel
start_other_cpu:
    TP_HINT_END
    mov rbx, [starting_cpu]
    mov rax, rbx
    mov rdx, rbx
    shr rdx, 32
    mov ecx, MSR_GS_BASE
    wrmsr
    mov rsp, [rbx + CPU_STACK_TOP]
    mov rdi, rbx
    call enter_native_cpu
    ud2

section .note.GNU-stack noalloc noexec nowrite progbits
