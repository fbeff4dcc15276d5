; SPDX-License-Identifier: MIT
; Ways into the kernel, and entries that are wrong on purpose: entry_steps.h says what each is.

%include "entry.inc"

global raise_invalid:function
global raise_invalid_at:data hidden
global raise_invalid_end:data hidden
global raise_breakpoint:function
global raise_breakpoint_end:data hidden
global paranoid_breakpoint:data hidden
global ordinary_debug:data hidden
global ordinary_nmi:data hidden
global paranoid_nmi:data hidden
global lost_nmi:data hidden

extern stepped_given
extern stepped_found
extern pv_ops
extern handle_exception
extern exception_common

%define VECTOR_DEBUG 1
%define VECTOR_NMI 2
%define VECTOR_BREAKPOINT 3
CALL_EXIT equ 64
USER_DATA equ 0x600000
ABSENT_FOR_KERNEL equ 0x600000
ABSENT_FOR_USER equ 0x1000
ABSENT_SELECTOR equ 0x1230
AT_GS equ TP_REGS_SIZE

bits 64
default rel

%macro each_register 1
    %1 rax, TP_REGS_RAX
    %1 rbx, TP_REGS_RBX
    %1 rcx, TP_REGS_RCX
    %1 rdx, TP_REGS_RDX
    %1 rsi, TP_REGS_RSI
    %1 rdi, TP_REGS_RDI
    %1 rbp, TP_REGS_RBP
    %1 r8, TP_REGS_R8
    %1 r9, TP_REGS_R9
    %1 r10, TP_REGS_R10
    %1 r11, TP_REGS_R11
    %1 r12, TP_REGS_R12
    %1 r13, TP_REGS_R13
    %1 r14, TP_REGS_R14
    %1 r15, TP_REGS_R15
%endmacro

; ---- In user mode ----

%macro store_at_user_data 2
    mov [abs USER_DATA + %2], %1
%endmacro

%macro begin_program 1
global %1:data hidden
global %1_at:data hidden
global %1_end:data hidden
%1:
%1_at:
%endmacro

%macro end_program 1
%1_end:
    jmp store_and_exit
%endmacro

section .user_text progbits alloc noexec nowrite align=16

store_and_exit:
    each_register store_at_user_data
    mov [abs USER_DATA + TP_REGS_RSP], rsp
    pushfq
    pop qword [abs USER_DATA + TP_REGS_RFLAGS]
    mov rax, [gs:0]
    mov [abs USER_DATA + AT_GS], rax
    xor edi, edi
    mov eax, CALL_EXIT
    syscall
    ud2

begin_program user_calls
    syscall
end_program user_calls

begin_program user_gates
    int 0x80
end_program user_gates

begin_program user_invalid
    ud2
end_program user_invalid

begin_program user_protection
    hlt
end_program user_protection

begin_program user_page_fault
    mov byte [abs ABSENT_FOR_USER], 1
end_program user_page_fault

begin_program user_breakpoint
    int3
end_program user_breakpoint

begin_program user_nothing
end_program user_nothing

; ---- In the kernel ----

%macro load_given 2
    mov %1, [stepped_given + %2]
%endmacro

%macro store_found 2
    mov [stepped_found + %2], %1
%endmacro

%macro begin_function 1
global %1:function
global %1_at:data hidden
global %1_end:data hidden
align 16
%1:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [stepped_given + TP_REGS_RSP], rsp
    push qword [stepped_given + TP_REGS_RFLAGS]
    popfq
    each_register load_given
%endmacro

%macro end_function 1
    jmp store_and_return
%endmacro

section .rodata progbits alloc noexec nowrite align=8
absent_selector: dw ABSENT_SELECTOR

section .text

align 16
store_and_return:
    each_register store_found
    mov [stepped_found + TP_REGS_RSP], rsp
    pushfq
    pop qword [stepped_found + TP_REGS_RFLAGS]
    cld
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

begin_function kernel_invalid
kernel_invalid_at:
    ud2
kernel_invalid_end:
    TP_HINT_CALL 7 * 8, 4 * 8     ; only a handler leads here
    end_function kernel_invalid

begin_function kernel_protection
kernel_protection_at:
    mov ds, [absent_selector]
kernel_protection_end:
    end_function kernel_protection

begin_function kernel_page_fault
kernel_page_fault_at:
    mov byte [abs ABSENT_FOR_KERNEL], 1
kernel_page_fault_end:
    end_function kernel_page_fault

begin_function kernel_breakpoint
kernel_breakpoint_at:
    int3
kernel_breakpoint_end:
    end_function kernel_breakpoint

; Interrupts come behind the instruction that follows sti (Intel SDM vol. 2 STI).
begin_function kernel_interrupt
    sti
kernel_interrupt_at:
    nop
kernel_interrupt_end:
    cli
    end_function kernel_interrupt

; INT n enters as the CPU would, but for NMIs, which it leaves as they were.
begin_function kernel_nmi
kernel_nmi_at:
    int VECTOR_NMI
kernel_nmi_end:
    end_function kernel_nmi

begin_function kernel_machine_check
kernel_machine_check_at:
    int 18
kernel_machine_check_end:
    end_function kernel_machine_check

begin_function kernel_nmi_with_user_gs
    swapgs
kernel_nmi_with_user_gs_at:
    int VECTOR_NMI
kernel_nmi_with_user_gs_end:
    swapgs
    end_function kernel_nmi_with_user_gs

begin_function kernel_machine_check_with_user_gs
    swapgs
kernel_machine_check_with_user_gs_at:
    int 18
kernel_machine_check_with_user_gs_end:
    swapgs
    end_function kernel_machine_check_with_user_gs

begin_function kernel_breakpoint_with_user_gs
    swapgs
kernel_breakpoint_with_user_gs_at:
    int3
kernel_breakpoint_with_user_gs_end:
    swapgs
    end_function kernel_breakpoint_with_user_gs

; rdi: the selector
begin_function kernel_loads_gs
kernel_loads_gs_at:
    TP_OP_CALL TP_WIDTH_LOAD_GS, pv_ops + TP_OPS_LOAD_GS
kernel_loads_gs_end:
    end_function kernel_loads_gs

; ---- Nested ----

raise_invalid:
raise_invalid_at:
    ud2
raise_invalid_end:
    ret

raise_breakpoint:
    int3
raise_breakpoint_end:
    ret

; ---- Entries ----

align 16
paranoid_breakpoint:
    TP_VECTOR VECTOR_BREAKPOINT
    TP_ENTER_PARANOID exception_common
    mov rdi, rsp
    call handle_exception
    TP_LEAVE_PARANOID

%macro ordinary_entry 1
    TP_VECTOR %1
    TP_ENTER
    mov rdi, rsp
    call handle_exception
    TP_LEAVE
%endmacro

align 16
ordinary_debug:
    ordinary_entry VECTOR_DEBUG

align 16
ordinary_nmi:
    ordinary_entry VECTOR_NMI

align 16
paranoid_nmi:
    TP_VECTOR VECTOR_NMI
    TP_ENTER_PARANOID exception_common
    mov rdi, rsp
    call handle_exception
    TP_LEAVE_PARANOID

align 16
lost_nmi:
    iretq

section .note.GNU-stack noalloc noexec nowrite progbits
