; SPDX-License-Identifier: MIT
; The entry for vector 3 of a Xen PV guest's trap table: tp_breakpoint_entry of asm/breakpoint.asm on the frame that Xen
; makes. Its trap_info has the flag that masks events (xen/arch-x86/xen.h, TI_SET_IF), like an interrupt gate.
;
; What differs from the CPU's frame (xen/arch-x86/xen-x86_64.h): rcx and r11 lie below it, beside cs lies the upcall
; mask as it was, and the low bits of cs are 0 where the kernel was interrupted. Xen has changed GS already, aligns the
; kernel's stack to 16 as a CPU does, and has no IST.

%include "textpatch/entry.inc"

section .note.GNU-stack noalloc noexec nowrite progbits

global tp_breakpoint_entry_xen_pv:function hidden (tp_breakpoint_entry_xen_pv.end - tp_breakpoint_entry_xen_pv)

extern tp_breakpoint_dispatch
extern tp_xen_hypercall_page

%define VECTOR_BREAKPOINT 3
HYPERVISOR_IRET equ 23

; Each hypercall's entry in the page is 32 bytes long.
%define HYPERCALL(number) tp_xen_hypercall_page + (number) * 32

section .text
bits 64
default rel

; tp_breakpoint_entry_xen_pv: a gap.
;
;   as interrupted       as Xen leaves it         as C sees it
;                        (rsp was even by 16)
;   +0   canary          +0   canary              +0   canary
;                        -8   ss                  -8   free: here an emulated call pushes
;                        -16  rsp                 -16  free
;                        -24  rflags              -24  ss
;                        -32  mask, cs            -32  rsp
;                        -40  rip                 -40  rflags
;                        -48  r11                 -48  0, cs
;                        -56  rcx                 -56  rip
;                                                 -64  error_code, vector, rax … r15
;                                                 -192 r15: rdi, and rsp at the call, which is even by 16
;
; The way back is the hypercall, which takes the mask from the frame's IF and delivers what has become pending: iretq
; alone would do neither. The page's code expects its flags on top of the frame.
;   59 41 5b c7 44 24 0c 00 00 00 00 48 83 ec 10 50 …
align 16, int3
tp_breakpoint_entry_xen_pv:
    TP_HINT_TRAP_WORDS 2 * 8
    pop rcx
    pop r11
    mov dword [rsp + 8 + 4], 0    ; the mask beside cs; IF in rflags says the same
    TP_MAKE_GAP
    TP_VECTOR VECTOR_BREAKPOINT
    TP_PUSH_REGS
    mov rdi, rsp
    call tp_breakpoint_dispatch
    TP_POP_REGS
    push 0
    jmp HYPERCALL(HYPERVISOR_IRET)
.end:
