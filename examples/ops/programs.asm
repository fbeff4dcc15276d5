; SPDX-License-Identifier: MIT
; The program that two processes run (programs.h): each round goes into the kernel and out of it in every way there is,
; and looks at what should have been kept. It runs elsewhere than it is linked.

bits 64
default rel

CALL_ADD equ 1
CALL_RAISE equ 2
CALL_SWITCH equ 64
CALL_EXIT equ 65

USER_DATA equ 0x600000
NOBODY equ 0x10000                ; no page is there

; struct program_data, from rbp
%define SEED rbp
%define ROUNDS rbp + 8
%define SELECTOR rbp + 16
%define EVENTS rbp + 24
%define GS_WORD rbp + 32
%define BY_SYSRET rbp + 40
%define BY_IRET rbp + 48
%define GS_KEPT rbp + 56
%define SELECTOR_LOADED rbp + 64
%define ROUNDS_WANTED rbp + 72

; Does something with each register and a number that is its own. System calls take rax, rcx, r11, and rdi and rsi for
; their arguments; all else takes nothing.
%macro each_kept 1
    %1 rbx, 0x1111
    %1 rdx, 0x22220000
    %1 r8, 0x3333
    %1 r9, 0x44440000
    %1 r10, 0x5555
    %1 r12, 0x66660000
    %1 r13, 0x7777
    %1 r14, 0x12340000
    %1 r15, 0x4321
%endmacro

%macro load_register 2
    mov %1, [SEED]
    lea %1, [%1 + %2]
%endmacro

%macro check_register 2
    mov rax, [SEED]
    lea rax, [rax + %2]
    cmp rax, %1
    jne .end
%endmacro

section .user_text progbits alloc noexec nowrite align=16

; rdi: the seed
global program_goes_round:data hidden
program_goes_round:
    mov ebp, USER_DATA
    mov [SEED], rdi
    each_kept load_register
.again:
    mov rdi, [ROUNDS]
    mov rsi, [SEED]
    lea rdx, [rdi + rsi]
    mov eax, CALL_ADD
    syscall                       ; by sysret, with what it has computed
.behind_add:
    cmp rax, rdx
    jne .end_of_add
    load_register rdx, 0x22220000
    lea rax, [.behind_add]
    call check_sysret
    call check_gs
.end_of_add:
    load_register rdx, 0x22220000

    mov eax, CALL_SWITCH
    syscall                       ; the other process runs, and then this one by sysret
.behind_switch:
    lea rax, [.behind_switch]
    call check_sysret
    call check_gs
    call check_selector

    mov eax, CALL_RAISE
    syscall                       ; an interrupt comes as soon as this program runs; Xen delivers it before
.behind_raise:
    lea rax, [.behind_raise]
    call check_sysret
    call load_others
.wait:
    pause
    mov rax, [EVENTS]
    cmp rax, [ROUNDS]
    jbe .wait
    call check_iret
    call check_gs

    call load_others
    mov rsi, [ROUNDS]
    lea rsi, [rsi * 8 + NOBODY]
    mov byte [rsi], 0             ; a page fault, which the kernel skips
    load_register rsi, 0xaaaa
    call check_iret
    call check_gs

    call load_others
    mov rdi, [ROUNDS]
    mov rsi, [SEED]
    mov eax, CALL_ADD
    int 0x80                      ; by iret, with what it has computed
    sub rax, rdi
    cmp rax, rsi
    jne .not_added
    load_register rdi, 0x1bbb0000
    load_register rsi, 0xaaaa
    call check_iret
    call check_gs
.not_added:

    inc qword [ROUNDS]
    mov rax, [ROUNDS]
    cmp rax, [ROUNDS_WANTED]
    jb .again
    mov eax, CALL_EXIT
    syscall
    ud2

; What only an interrupt keeps.
load_others:
    load_register rcx, 0x8888
    load_register r11, 0x19990000
    load_register rsi, 0xaaaa
    load_register rdi, 0x1bbb0000
    ret

; rax: the address behind the syscall
check_sysret:
    cmp rax, rcx
    jne .end
    pushfq
    pop rax
    xor rax, r11
    test eax, 0x200
    jnz .end
    each_kept check_register
    inc qword [BY_SYSRET]
.end:
    ret

check_iret:
    each_kept check_register
    check_register rcx, 0x8888
    check_register r11, 0x19990000
    check_register rsi, 0xaaaa
    check_register rdi, 0x1bbb0000
    inc qword [BY_IRET]
.end:
    ret

check_gs:
    mov rax, [gs:0]
    cmp rax, [SEED]
    jne .end
    inc qword [GS_KEPT]
.end:
    ret

check_selector:
    mov eax, gs
    cmp rax, [SELECTOR]
    jne .end
    inc qword [SELECTOR_LOADED]
.end:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
