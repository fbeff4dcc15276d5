; SPDX-License-Identifier: MIT
; Programs that are returned to by frames of somebody's making, or that have a stack which is none; and an entry that
; lacks what ours have. entry_returns.c says what is asked of them.

%include "entry.inc"

global program_asks_by_syscall:data hidden
global program_asks_by_gate:data hidden
global program_stores:data hidden
global program_calls_completely_at_end:data hidden
global program_misuses_stack:data hidden
global entry_without_mending:function hidden

extern exception_common
extern see_unmended

CALL_ADD equ 1
CALL_RAISE equ 3
CALL_EXIT equ 64
CALL_ADD_COMPLETE equ 67
CALL_CHANGE equ 100
SPINS equ 1000
RESULT equ 7
WRONG equ 0xbad

USER_DATA equ 0x600000
LAST_SYSCALL equ 0x7ffffffffffe
NOBODY equ 0x1000

; Without a register: addresses of data are below 2 GiB.
%define ROUNDS abs dword USER_DATA + 8
%define STOP abs dword USER_DATA + 16
%define GIVEN abs dword USER_DATA + 24
; struct found
%define FOUND abs dword USER_DATA + 0x100

%macro exit_with 1
    mov edi, %1
    mov eax, CALL_EXIT
    syscall
    ud2
%endmacro

bits 64
default rel
section .user_text progbits alloc noexec nowrite align=16

program_asks_by_syscall:
    mov eax, CALL_CHANGE
    syscall
    jmp program_stores

program_asks_by_gate:
    mov eax, CALL_CHANGE
    int 0x80
    jmp program_stores

%macro store_registers 1-*
    %assign slot 0
    %rep %0
    mov [FOUND + slot], %1
        %assign slot slot + 8
        %rotate 1
    %endrep
%endmacro

program_stores:
    store_registers r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax, rsp
    pushfq
    pop qword [FOUND + 16 * 8]
    push 2
    popfq
    exit_with RESULT

program_calls_completely_at_end:
    mov rdx, LAST_SYSCALL
    mov eax, CALL_ADD_COMPLETE
    jmp rdx

%macro call_is_right 0
    cmp eax, 3 + 4
    jne .wrong
    cmp rsp, r14
    jne .wrong
%endmacro

; rdi: the way it ends (entry_returns.c); GIVEN: the stack
program_misuses_stack:
    mov r15, rdi
    mov r14, [GIVEN]
    mov rsp, r14
.again:
    mov edi, 3
    mov esi, 4
    mov eax, CALL_ADD
    syscall
    call_is_right
    mov eax, CALL_ADD_COMPLETE
    syscall
    call_is_right
    mov eax, CALL_ADD
    int 0x80
    call_is_right
    mov eax, CALL_ADD_COMPLETE
    int 0x80
    call_is_right
    mov eax, CALL_RAISE
    syscall
    mov ecx, SPINS                ; most of the time is spent with this stack
.spin:
    pause
    dec ecx
    jnz .spin
    cmp rsp, r14
    jne .wrong
    inc qword [ROUNDS]
    cmp qword [STOP], 0
    je .again
    cmp r15d, 1
    jb .exit
    je .break
    cmp r15d, 3
    jb .invalid
    je .fault
    push r15
    jmp .exit
.break:
    int3
.invalid:
    ud2
.fault:
    mov rax, [abs dword NOBODY]
.exit:
    exit_with RESULT
.wrong:
    exit_with WRONG

; ---- What ours have ----

; Vector 13 as it would be without the mender: an exception whose cs is the kernel's has the kernel's GS. It only looks,
; and leaves the rest to the right way in.
section .text
align 16
entry_without_mending:
    TP_VECTOR 13
    TP_PUSH_AND_CLEAR_REGS
    mov rdi, rsp
    test byte [rsp + TP_REGS_CS], 3
    jnz .user
    call see_unmended
.user:
    TP_POP_REGS
    lea rsp, [rsp - 2 * 8]        ; vector and error code are still there
    TP_HINT_VECTOR_WORDS 2 * 8
    jmp exception_common

section .note.GNU-stack noalloc noexec nowrite progbits
