; SPDX-License-Identifier: MIT
; What Xen's trap table and callbacks lead to: a stub for each exception, 32 bytes apart,
; and the others.

%include "entry.inc"

global xen_stubs
global xen_syscall_gate
global xen_event_callback
global xen_failsafe_callback
global xen_nmi_callback
global xen_syscall_callback

extern exception_common
extern syscall_common
extern handle_exception
extern hypercall_page

%define VECTOR_NMI 2
HYPERCALL_IRET equ 23

bits 64
default rel
section .text

align 32
xen_stubs:
%assign vector 0
%rep 32
    align 32
    TP_VECTOR_XEN_PV vector
    jmp near exception_common
    %assign vector vector + 1
%endrep

    align 16
xen_syscall_gate:
    TP_VECTOR_XEN_PV VECTOR_SYSCALL_GATE
    jmp exception_common

    align 16
xen_event_callback:
    TP_VECTOR_XEN_PV VECTOR_EVENT
    jmp exception_common

; Xen couldn't load a segment while returning: ds, es, fs, gs come before rip.
    align 16
xen_failsafe_callback:
    TP_HINT_WORDS 6 * 8
    pop rcx
    pop r11
    lea rsp, [rsp + 4 * 8]
    mov dword [rsp + 8 + 4], 0
    TP_VECTOR VECTOR_FAILSAFE
    jmp exception_common

; May come where a site is being exchanged, so its way holds none. The hypercall restores
; the upcall mask from the frame's IF; iretq alone would not.
    align 16
xen_nmi_callback:
    TP_VECTOR_XEN_PV VECTOR_NMI
    TP_PUSH_AND_CLEAR_REGS
    mov rdi, rsp
    call handle_exception
    TP_POP_REGS
    push 0
    jmp hypercall_page + HYPERCALL_IRET * 32

    align 16
xen_syscall_callback:
    TP_ENTER_SYSCALL_XEN_PV
    jmp syscall_common

section .note.GNU-stack noalloc noexec nowrite progbits
