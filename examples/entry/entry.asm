; SPDX-License-Identifier: MIT
; Every way into this kernel and out of it.
%include "layout.inc"

%define TP_CPU_KERNEL_STACK CPU_KERNEL_STACK
%define TP_CPU_SCRATCH CPU_SCRATCH
%define TP_ENTRY_OPS pv_ops             ; without this line there are no sites here, and all else stays as it is
%include "textpatch/entry.inc"

extern pv_ops
extern handle_exception                 ; void handle_exception(struct tp_regs *)
extern handle_syscall                   ; void handle_syscall(struct tp_regs *)

global stubs, gate_entry, syscall_entry
global debug_entry, nmi_entry, double_fault_entry, machine_check_entry
global run_user, end_user

section .text
bits 64
default rel

TP_DEFINE_RETURN

; Exceptions and interrupts: one stub a vector, 16 bytes apart.
%assign vector 0
align 16
stubs:
%rep 48
    align 16
    TP_VECTOR vector
    jmp near ordinary
    %assign vector vector + 1
%endrep

gate_entry:                             ; int 0x80
    TP_VECTOR VECTOR_GATE
ordinary:
    TP_ENTER
    mov rdi, rsp
    call handle_exception
    TP_LEAVE

; What comes at any instruction, on stacks of their own.
%macro paranoid 1
    TP_VECTOR %1
    TP_ENTER_PARANOID ordinary
    mov rdi, rsp
    call handle_exception
    TP_LEAVE_PARANOID
%endmacro

debug_entry:
    paranoid VECTOR_DEBUG
double_fault_entry:
    paranoid VECTOR_DOUBLE_FAULT
machine_check_entry:
    paranoid VECTOR_MACHINE_CHECK
nmi_entry:
    TP_NMI_ENTRY handle_exception, ordinary

; rbx, rbp, r12 to r15 stay where they are; calls that want to see or change them have numbers from 64 on.
syscall_entry:
    TP_ENTER_SYSCALL
    mov rdi, rsp
    cmp rax, FIRST_COMPLETE_CALL
    jae .complete
    call handle_syscall
    TP_LEAVE_SYSCALL
.complete:
    TP_REGS_SAVE_EXTRA
    call handle_syscall
    TP_LEAVE_SYSCALL_COMPLETE

; unsigned long run_user(struct tp_regs *first): to user mode, until somebody calls end_user(). Interrupts are off; the
; frame lies where an entry from user mode would have left it, so that the way out is every entry's.
run_user:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [gs:CPU_RESUME], rsp
    mov rsp, rdi
    TP_LEAVE

; void end_user(unsigned long result): run_user() returns it. From a handler; its stack is left as it is.
end_user:
    mov rax, rdi
    mov rsp, [gs:CPU_RESUME]
    TP_HINT_CALL 7 * 8, 4 * 8           ; for stack traces: seven words, rbp the fifth
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
