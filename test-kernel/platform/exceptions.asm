; SPDX-License-Identifier: MIT
; A stub for each vector, 16 bytes apart, and the two ways through
; handle_exception(). Both build the same struct tp_regs.

%include "platform.inc"

global native_stubs
global xen_stubs
global xen_event_callback
global xen_failsafe_callback
global xen_nmi_callback

extern handle_exception
extern hypercall_page

HYPERCALL_IRET equ 23

; Vectors with an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX
; (Intel SDM volume 3A, table 6-1; AMD APM volume 2, table 8-1).
WITH_ERROR_CODE equ (1 << 8) | (0x1f << 10) | (1 << 17) | (1 << 21) | (1 << 29) | (1 << 30)

; The frame on entry ends with the error code, or with rip.
%macro begin_frame 2              ; vector, where to go on
%if %1 >= 32 || ((WITH_ERROR_CODE >> (%1 & 31)) & 1) == 0
    push 0
%endif
    push dword %1
    jmp near %2
%endmacro

; Xen puts rcx and r11, which syscall and sysret clobber, below the frame.
%macro drop_xen_words 0
    pop rcx
    pop r11
%endmacro

%macro save_registers 0
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
%endmacro

%macro restore_registers 0
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 16                   ; vector and error code
%endmacro

bits 64
default rel
section .text progbits alloc exec nowrite align=16

; The CPU and Xen both align the stack to 16 before they push a frame, and
; struct tp_regs is a multiple of 16: calls below need no alignment.
native_stubs:
%assign vector 0
%rep 256
    align 16
    begin_frame vector, native_common
%assign vector vector + 1
%endrep

    align 16
native_common:
    save_registers
    cld
    test byte [rsp + PT_REGS_CS], 3
    jz .from_kernel
    swapgs
.from_kernel:
    mov rdi, rsp
    call handle_exception
    test byte [rsp + PT_REGS_CS], 3
    jz .to_kernel
    swapgs
.to_kernel:
    restore_registers
    iretq

    align 16
xen_stubs:
%assign vector 0
%rep 32
    align 16
    drop_xen_words
    begin_frame vector, xen_common
%assign vector vector + 1
%endrep

    align 16
xen_nmi_callback:
    drop_xen_words
    begin_frame 2, xen_common

    align 16
xen_event_callback:
    drop_xen_words
    begin_frame VECTOR_EVENT, xen_common

; Xen couldn't load a segment while returning: ds, es, fs, gs come before rip.
    align 16
xen_failsafe_callback:
    drop_xen_words
    add rsp, 4 * 8
    begin_frame VECTOR_FAILSAFE, xen_common

    align 16
xen_common:
    save_registers
    cld
    ; Xen keeps the saved upcall mask beside cs; IF in rflags says the same.
    mov dword [rsp + PT_REGS_CS + 4], 0
    mov rdi, rsp
    call handle_exception
    restore_registers
    ; The hypercall restores the upcall mask from the frame's IF and delivers
    ; what became pending meanwhile; iretq alone would do neither.
    push 0
    jmp hypercall_page + HYPERCALL_IRET * 32

section .note.GNU-stack noalloc noexec nowrite progbits
