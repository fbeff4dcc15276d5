; SPDX-License-Identifier: MIT
; Entry as a Xen PV guest: 64-bit, paging on, at CPL 3, upcalls masked, rsi =
; start_info (xen/xen.h). The notes are described in xen/elfnote.h.

%include "platform.inc"
%include "textpatch/hints.inc"

global start_xen_pv
global hypercall_page
global tp_xen_hypercall_page          ; textpatch/ops.h asks for it under this name
global tp_xen_vcpu_info

extern world
extern cpus
extern boot_stack_top
extern start_xen

; Where struct cpu holds Xen's vcpu_info: an offset from %gs.
tp_xen_vcpu_info equ 64

HYPERCALL_SET_SEGMENT_BASE equ 25
SEGBASE_GS_KERNEL equ 2

%macro note_number 2              ; type, value
    dd 4, 8, %1
    db "Xen", 0
    dq %2
%endmacro

%macro note_text 2                ; type, string
    dd 4, %%end - %%start, %1
    db "Xen", 0
%%start:
    db %2, 0
%%end:
    align 4, db 0
%endmacro

section .note.Xen note alloc noexec nowrite align=4
    note_number 1, start_xen_pv            ; ENTRY
    note_number 2, hypercall_page          ; HYPERCALL_PAGE
    note_number 3, KERNEL_VIRTUAL_BASE     ; VIRT_BASE
    note_number 4, 0                       ; PADDR_OFFSET
    note_text 5, "xen-3.0"                 ; XEN_VERSION
    note_text 6, "textpatch test kernel"   ; GUEST_OS
    note_text 7, "1"                       ; GUEST_VERSION
    note_text 8, "generic"                 ; LOADER
    note_text 9, "yes"                     ; PAE_MODE
    note_text 10, "!writable_page_tables|pae_pgdir_above_4gb" ; FEATURES

section .text.entry progbits alloc exec nowrite align=16
bits 64
default rel
start_xen_pv:
    TP_HINT_END
    cld
    mov rsp, boot_stack_top
    mov rbx, rsi
    mov dword [world], WORLD_XEN_PV

    ; Loading the selector would clear the base, so it comes first.
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov edi, SEGBASE_GS_KERNEL
    mov rsi, cpus
    call hypercall_page + HYPERCALL_SET_SEGMENT_BASE * 32

    mov rdi, rbx
    xor ebp, ebp                  ; where frame pointers end
    call start_xen
    ud2

; int3 shows a hypercall made in the native world at its place.
section .text.hypercall_page progbits alloc exec nowrite align=4096
    TP_HINT_HYPERCALL_PAGE hypercall_page
tp_xen_hypercall_page:
hypercall_page:
    times 4096 int3

section .note.GNU-stack noalloc noexec nowrite progbits
