; SPDX-License-Identifier: MIT
; What all entries of both worlds have in common: from a frame to handle_exception() or
; handle_syscall(), and out again. exceptions_native.asm and exceptions_xen.asm make
; the frames.

%include "entry.inc"

global exception_common
global syscall_common
global return_from_exception

extern pv_ops
extern handle_exception
extern handle_syscall
extern exit_hook
extern user_code_selector
extern user_data_selector

RFLAGS_IF equ 1 << 9

section .text

bits 64
default rel

TP_DEFINE_RETURN

; Behind an entry from wherever interrupts may have been on: a static call.
%macro call_entry_hook 0
    TP_STATIC_CALL_HOOK trace_entry
%endmacro

; Before leaving to where they are on, a static call; before leaving to user mode, a
; function that is called through a pointer unless that is 0.
%macro call_exit_hooks 0
    test dword [rsp + TP_REGS_RFLAGS], RFLAGS_IF
    jz %%masked
    TP_STATIC_CALL_HOOK trace_exit
%%masked:
    test byte [rsp + TP_REGS_CS], 3
    jz %%done
    mov rax, [exit_hook]          ; once: another CPU may be taking it away
    test rax, rax
    jz %%done
    TP_CALL_HOOK rax
%%done:
%endmacro

; rsp at a vector and an error code.
align 16
exception_common:
    TP_ENTER
    call_entry_hook
    mov rdi, rsp
    call handle_exception
; rsp at a struct tp_regs whose every slot is filled, interrupts masked.
return_from_exception:
    TP_HINT_REGS 0
    call_exit_hooks
    TP_LEAVE

; rsp at a struct tp_regs, rbx, rbp, r12 to r15 still in the registers.
align 16
syscall_common:
    call_entry_hook
    cmp qword [rsp + TP_REGS_ERROR_CODE], FIRST_COMPLETE_SYSCALL
    jae .complete
    mov rdi, rsp
    call handle_syscall
    call_exit_hooks
    TP_LEAVE_SYSCALL

.complete:
    TP_REGS_SAVE_EXTRA
    TP_REGS_CLEAR_EXTRA
    mov rdi, rsp
    call handle_syscall
    call_exit_hooks
    TP_LEAVE_SYSCALL_COMPLETE

section .note.GNU-stack noalloc noexec nowrite progbits
