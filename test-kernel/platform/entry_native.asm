; SPDX-License-Identifier: MIT
; Entry without a hypervisor, or as its PVH guest: by the PVH note and by
; multiboot2. Both start in 32-bit protected mode without paging, at the physical
; address (xen/arch-x86/hvm/start_info.h; Multiboot2 specification 1.6, 3.3). The
; code here builds page tables, enters long mode and goes up to the kernel's
; addresses.

%include "platform.inc"
%include "textpatch/hints.inc"

global start_pvh
global start_multiboot2
global boot_stack_top
global enter_long_mode
global kernel_tables
global boot_top_table
global kernel_top_table

extern world
extern cpus
extern start_native
extern start_other_cpu
extern bss_start
extern bss_end

%define physical(symbol) (symbol - KERNEL_VIRTUAL_BASE)

PVH_MAGIC equ 0x336ec578          ; also what start_native is told
MULTIBOOT2_HEADER_MAGIC equ 0xe85250d6
MULTIBOOT2_ARCHITECTURE_I386 equ 0
NOTE_PHYS32_ENTRY equ 18

PRESENT_WRITABLE equ 3
ACCESSED_DIRTY equ 0x60
LARGE_PAGE equ 0x80
UNCACHED equ 0x18                 ; PWT and PCD
NOEXECUTE_HIGH equ 0x80000000     ; bit 63, in the entry's upper half

; How much of the image has 4 KiB pages; kernel.ld asserts that it suffices.
KERNEL_TABLES equ 8               ; 2 MiB each
DIRECT_DIRECTORIES equ 4          ; 1 GiB each

CR0_PG equ 1 << 31
CR0_CD_NW equ 3 << 29
CR0_WP equ 1 << 16
CR0_NE equ 1 << 5
CR4_PAE equ 1 << 5
MSR_EFER equ 0xc0000080
EFER_LME_NXE equ (1 << 8) | (1 << 11)

section .note.Xen note alloc noexec nowrite align=4
    dd 4, 8, NOTE_PHYS32_ENTRY
    db "Xen", 0
    dq physical(start_pvh)

section .multiboot2 progbits alloc noexec nowrite align=8
multiboot2_header:
    dd MULTIBOOT2_HEADER_MAGIC
    dd MULTIBOOT2_ARCHITECTURE_I386
    dd multiboot2_header_end - multiboot2_header
    ; The four words add up to 0.
    dd 0x100000000 - (MULTIBOOT2_HEADER_MAGIC + (multiboot2_header_end - multiboot2_header))
    ; Entry address (3.1.7): the ELF entry is a virtual address.
    align 8, db 0
    dw 3, 0
    dd 12
    dd physical(start_multiboot2)
    ; End of tags.
    align 8, db 0
    dw 0, 0
    dd 8
multiboot2_header_end:

section .text.entry progbits alloc exec nowrite align=16
bits 32

start_pvh:
    mov eax, PVH_MAGIC

; eax: which protocol; ebx: its information's physical address.
start_multiboot2:
    cli
    cld
    mov ebp, eax

clear_bss:
    mov edi, physical(bss_start)
    mov ecx, physical(bss_end)
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd

; The image, from physical 0, in 4 KiB pages.
fill_kernel_tables:
    mov edi, physical(kernel_tables)
    mov eax, PRESENT_WRITABLE | ACCESSED_DIRTY
    mov ecx, KERNEL_TABLES * 512
.next:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .next

    mov edi, physical(kernel_directory)
    mov eax, physical(kernel_tables) + PRESENT_WRITABLE
    mov ecx, KERNEL_TABLES
.next_table:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .next_table

; The lowest 4 GiB of physical memory; the last GiB holds the devices.
fill_direct_map:
    mov edi, physical(direct_directories)
    mov eax, PRESENT_WRITABLE | ACCESSED_DIRTY | LARGE_PAGE
    mov ecx, (DIRECT_DIRECTORIES - 1) * 512
.next:
    mov [edi], eax
    mov dword [edi + 4], NOEXECUTE_HIGH
    add eax, 0x200000
    add edi, 8
    loop .next

    or eax, UNCACHED
    mov ecx, 512
.next_device:
    mov [edi], eax
    mov dword [edi + 4], NOEXECUTE_HIGH
    add eax, 0x200000
    add edi, 8
    loop .next_device

    mov edi, physical(direct_pointers)
    mov eax, physical(direct_directories) + PRESENT_WRITABLE
    mov ecx, DIRECT_DIRECTORIES
.next_directory:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .next_directory

; The boot table also maps the image at its physical address, which is where
; this code runs until it jumps up.
join_tables:
    mov eax, physical(kernel_directory) + PRESENT_WRITABLE
    mov [physical(low_pointers)], eax
    mov [physical(high_pointers) + 510 * 8], eax
    mov eax, physical(low_pointers) + PRESENT_WRITABLE
    mov [physical(boot_top_table)], eax
    mov eax, physical(direct_pointers) + PRESENT_WRITABLE
    mov [physical(boot_top_table) + 256 * 8], eax
    mov [physical(kernel_top_table) + 256 * 8], eax
    mov eax, physical(high_pointers) + PRESENT_WRITABLE
    mov [physical(boot_top_table) + 511 * 8], eax
    mov [physical(kernel_top_table) + 511 * 8], eax

; Intel SDM volume 3A, 10.8.5 (Initializing IA-32e Mode). Another CPU comes here
; from smp_start.asm, with ebp = 0.
enter_long_mode:
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, physical(boot_top_table)
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME_NXE
    wrmsr
    mov eax, cr0
    and eax, ~CR0_CD_NW
    or eax, CR0_PG | CR0_WP | CR0_NE
    mov cr0, eax
    lgdt [physical(boot_descriptors_pointer)]
    jmp 0x08:physical(in_long_mode)

bits 64
    TP_HINT_END_RANGE start_pvh, in_long_mode
in_long_mode:
    TP_HINT_END
    mov rax, at_kernel_addresses
    jmp rax

section .text progbits alloc exec nowrite align=16
default rel
at_kernel_addresses:
    TP_HINT_END
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rax, kernel_top_table
    mov rcx, KERNEL_VIRTUAL_BASE
    sub rax, rcx
    mov cr3, rax
    test ebp, ebp
    jz start_other_cpu
    mov rsp, boot_stack_top

    mov rax, cpus
    mov rdx, rax
    shr rdx, 32
    mov ecx, MSR_GS_BASE
    wrmsr

    mov dword [world], WORLD_NATIVE
    mov edi, ebp                  ; a 32-bit move clears the upper half
    mov esi, ebx
    xor ebp, ebp                  ; where frame pointers end
    call start_native
    ud2

section .rodata progbits alloc noexec nowrite align=8
boot_descriptors:
    dq 0
    dq 0x00af9b000000ffff         ; 64-bit code
    dq 0x00cf93000000ffff         ; data
boot_descriptors_end:
boot_descriptors_pointer:
    dw boot_descriptors_end - boot_descriptors - 1
    dd physical(boot_descriptors)

section .bss nobits alloc noexec write align=4096
boot_top_table: resb 4096
kernel_top_table: resb 4096
low_pointers: resb 4096
high_pointers: resb 4096
direct_pointers: resb 4096
kernel_directory: resb 4096
kernel_tables: resb KERNEL_TABLES * 4096
direct_directories: resb DIRECT_DIRECTORIES * 4096
boot_stack: resb BOOT_STACK_SIZE
boot_stack_top:

section .note.GNU-stack noalloc noexec nowrite progbits
