; SPDX-License-Identifier: MIT
; A stub for each vector of the IDT, 16 bytes apart, and `syscall`.

%include "entry.inc"

global native_stubs
global native_syscall

extern pv_ops
extern exception_common
extern syscall_common
extern user_code_selector
extern user_data_selector
extern handle_exception

%define VECTOR_DEBUG 1
%define VECTOR_NMI 2
%define VECTOR_DOUBLE_FAULT 8
%define VECTOR_MACHINE_CHECK 18

bits 64
default rel
section .text

align 16
native_stubs:
%assign vector 0
%rep 256
    align 16
    %if vector == VECTOR_DEBUG
    TP_HINT_WORDS 0
    jmp near debug_entry
    %elif vector == VECTOR_NMI
    TP_HINT_WORDS 0
    jmp near nmi_entry
    %elif vector == VECTOR_DOUBLE_FAULT
    TP_HINT_WORDS 8               ; an error code lies below them
    jmp near double_fault_entry
    %elif vector == VECTOR_MACHINE_CHECK
    TP_HINT_WORDS 0
    jmp near machine_check_entry
    %else
    TP_VECTOR vector
    jmp near exception_common
    %endif
    %assign vector vector + 1
%endrep

; May come at any instruction, so each has a stack of its own (IST) and trusts nothing.
; No hooks and no sites on their way.
%macro paranoid_entry 1
    TP_VECTOR %1
    TP_ENTER_PARANOID exception_common
    mov rdi, rsp
    call handle_exception
    TP_LEAVE_PARANOID
%endmacro

    align 16
debug_entry:
    paranoid_entry VECTOR_DEBUG

    align 16
double_fault_entry:
    paranoid_entry VECTOR_DOUBLE_FAULT

    align 16
machine_check_entry:
    paranoid_entry VECTOR_MACHINE_CHECK

    align 16
nmi_entry:
    TP_NMI_ENTRY handle_exception, exception_common

    align 16
native_syscall:
    TP_ENTER_SYSCALL
    jmp syscall_common

section .note.GNU-stack noalloc noexec nowrite progbits
