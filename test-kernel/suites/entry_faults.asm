; SPDX-License-Identifier: MIT
; Programs that do what user mode may not, and the table of what each comes to (entry_faults.c); and programs that do
; what they may, with flags and segments that the kernel must not go on with.

bits 64
default rel

global offences:data hidden
global offences_end:data hidden
global program_interrupts_all:data hidden
global program_keeps_flags:data hidden
global program_shadows:data hidden

CALL_ADD equ 1
CALL_RAISE equ 3
CALL_EXIT equ 64
CALL_ADD_COMPLETE equ 67
CALL_CHANGE equ 100
RESULT equ 7
WRONG equ 0xbad
ROUNDS equ 3

%define DEBUG 1
%define BREAKPOINT 3
%define OVERFLOW 4
%define INVALID 6
%define STACK 12
%define PROTECTION 13
%define PAGE_FAULT 14

FLAG_TF equ 1 << 8
; TF, IF, DF, IOPL, NT, AC, ID
FLAGS_COMPARED equ 0x100 | 0x200 | 0x400 | 0x3000 | 0x4000 | 0x40000 | 0x200000

USER_TEXT equ 0x400000
USER_DATA equ 0x600000
KERNEL equ 0xffffffff80100000
HIGH_HALF equ 0xffff800000000000
LAST_BYTES equ 0x7ffffffffffc
NOT_CANONICAL equ 0x800000000000
NOBODY equ 0x1000

; struct program_data
%define DONE abs dword USER_DATA + 8
%define GIVEN abs dword USER_DATA + 24
%define CODE USER_DATA + 0x200

%macro exit_with 1
    mov edi, %1
    mov eax, CALL_EXIT
    syscall
    ud2
%endmacro

section .rodata progbits alloc noexec nowrite align=8
align 8
offences:

section .user_text progbits alloc noexec nowrite align=16

wrong:
    exit_with WRONG

%assign offence_number 0

; name, vector, error code, and if these differ under Xen: vector, error code. What follows is the program, and AT
; stands before the instruction that its rip is to show. Where CPUs differ, OR_VECTOR in front says what else it may
; come to.
%macro OR_VECTOR 1
    %assign other_vector %1
%endmacro
%assign other_vector 0

%macro OFFENCE 3-5
    %assign offence_number offence_number + 1
section .rodata
    dq %%name, offence_%[offence_number], offence_%[offence_number]_at
    %if %0 == 5
    dd %2, %3, %4, %5
    %else
    dd %2, %3, %2, %3
    %endif
    dq other_vector
    %assign other_vector 0
section .rodata.names progbits alloc noexec nowrite align=1
%%name: db %1, 0
section .user_text
offence_%[offence_number]:
%endmacro

%macro AT 0
offence_%[offence_number]_at:
%endmacro

; The rip is where the program has jumped to.
%macro AT_ADDRESS 1
offence_%[offence_number]_at equ %1
%endmacro

; ---- Privileged instructions ----

%macro PRIVILEGED 2+ ; name, instruction
    OFFENCE %1, PROTECTION, 0
    mov ecx, 0xc0000101           ; an MSR; a port is dx
    mov edx, 0x80
    mov rax, USER_DATA
    AT
    %2
    jmp wrong
%endmacro

PRIVILEGED "hlt", hlt
PRIVILEGED "cli", cli
PRIVILEGED "sti", sti
PRIVILEGED "in", in al, dx
PRIVILEGED "out", out dx, al
PRIVILEGED "mov from cr0", mov rbx, cr0
PRIVILEGED "mov to cr0", mov cr0, rax
PRIVILEGED "mov from cr2", mov rbx, cr2
PRIVILEGED "mov to cr2", mov cr2, rax
PRIVILEGED "mov from cr3", mov rbx, cr3
PRIVILEGED "mov to cr3", mov cr3, rax
PRIVILEGED "mov from cr4", mov rbx, cr4
PRIVILEGED "mov to cr4", mov cr4, rax
PRIVILEGED "mov from cr8", mov rbx, cr8
PRIVILEGED "mov to cr8", mov cr8, rax
PRIVILEGED "mov from dr7", mov rbx, dr7
PRIVILEGED "mov to dr7", mov dr7, rax
PRIVILEGED "rdmsr", rdmsr
PRIVILEGED "wrmsr", wrmsr
PRIVILEGED "clts", clts
PRIVILEGED "lmsw", lmsw ax
PRIVILEGED "invd", invd
PRIVILEGED "wbinvd", wbinvd
PRIVILEGED "invlpg", invlpg [rax]
PRIVILEGED "lgdt", lgdt [rax]
PRIVILEGED "lidt", lidt [rax]
PRIVILEGED "lldt", lldt cx
PRIVILEGED "ltr", ltr cx
PRIVILEGED "swapgs", swapgs
PRIVILEGED "sysret", o64 sysret

; Back to the kernel, by its own selectors. Xen's kernel has others, and to change to these is refused too.
OFFENCE "iretq to the kernel", PROTECTION, 0x08
    push 0x10
    push rsp
    push 2
    push 0x08
    lea rax, [wrong]
    push rax
    AT
    iretq

OFFENCE "a far return to the kernel", PROTECTION, 0x08
    push 0x08
    lea rax, [wrong]
    push rax
    AT
    o64 retf

OFFENCE "a raised IOPL, and cli", PROTECTION, 0
    push 0x3002
    popfq
    AT
    cli
    jmp wrong

; ---- Exceptions that are asked for ----

OFFENCE "int3", BREAKPOINT, 0
    int3
    AT
    jmp wrong

OFFENCE "int 3 in two bytes", BREAKPOINT, 0
    db 0xcd, 3
    AT
    jmp wrong

OFFENCE "int 4", OVERFLOW, 0
    db 0xcd, 4
    AT
    jmp wrong

OFFENCE "into, which is none any more", INVALID, 0
    AT
    db 0xce
    jmp wrong

OFFENCE "ud2", INVALID, 0
    AT
    ud2
    jmp wrong

; QEMU's TCG knows no such instruction.
OR_VECTOR INVALID
OFFENCE "icebp", DEBUG, 0
    AT_ADDRESS 0
    db 0xf1
    jmp wrong

; ---- Selectors ----

%macro SELECTOR 3 ; name, register, selector
    OFFENCE {%1}, PROTECTION, (%3) & ~3
    mov eax, %3
    AT
    mov %2, eax
    jmp wrong
%endmacro

%macro BAD_SELECTORS 2 ; register, its name
    SELECTOR {%2, ": the kernel's code"}, %1, 0x0b
    SELECTOR {%2, ": the kernel's data"}, %1, 0x10
    SELECTOR {%2, ": a task's"}, %1, 0x33
    SELECTOR {%2, ": beyond the table"}, %1, 0xfff3
    SELECTOR {%2, ": of a local table"}, %1, 0x0f
%endmacro

BAD_SELECTORS ds, "ds"
BAD_SELECTORS es, "es"
BAD_SELECTORS fs, "fs"
BAD_SELECTORS gs, "gs"
BAD_SELECTORS ss, "ss"
SELECTOR "ss: null", ss, 0
SELECTOR "ss: null, for user mode", ss, 3
SELECTOR "ss: code", ss, 0x2b

; ---- Memory ----

%macro TOUCH 4-5 ; name, address, error code natively, under Xen, instruction
    OFFENCE %1, PAGE_FAULT, %3, PAGE_FAULT, %4
    mov rax, %2
    AT
    %5
    jmp wrong
%endmacro

%macro GO 4 ; name, address, error code natively, under Xen
    OFFENCE %1, PAGE_FAULT, %3, PAGE_FAULT, %4
    mov rax, %2
    AT_ADDRESS %2
    jmp rax
%endmacro

; 1 it is there, 2 a write, 4 user mode, 16 a fetch. Under Xen the kernel isn't there in user mode's tables.
TOUCH "reads the kernel's text", KERNEL, 5, 4, {mov rbx, [rax]}
TOUCH "writes the kernel's text", KERNEL, 7, 6, {mov [rax], rbx}
TOUCH "reads the direct map", HIGH_HALF, 5, 4, {mov rbx, [rax]}
TOUCH "writes the direct map", HIGH_HALF, 7, 6, {mov [rax], rbx}
TOUCH "reads the last byte", -1, 4, 4, {mov bl, [rax]}
TOUCH "writes its text", USER_TEXT, 7, 7, {mov [rax], rbx}
TOUCH "reads nothing", NOBODY, 4, 4, {mov rbx, [rax]}
TOUCH "locks nothing", NOBODY, 6, 6, {lock inc qword [rax]}
GO "goes to the kernel's text", KERNEL, 0x15, 0x14
GO "goes to the direct map", HIGH_HALF, 0x15, 0x14
GO "goes to 0", 0, 0x14, 0x14

OFFENCE "goes to data", PAGE_FAULT, 0x15
    mov byte [abs dword CODE], 0xc3
    mov eax, CODE
    AT_ADDRESS CODE
    call rax
    jmp wrong

%macro TOUCH_NO_ADDRESS 2+ ; name, instruction
    OFFENCE %1, PROTECTION, 0
    mov rax, NOT_CANONICAL
    AT
    %2
    jmp wrong
%endmacro

TOUCH_NO_ADDRESS "reads no address", mov rbx, [rax]
TOUCH_NO_ADDRESS "writes no address", mov [rax], rbx
TOUCH_NO_ADDRESS "reads across the end of addresses", mov rbx, [rax - 4]

; Where the CPU notices is its own business (Intel SDM vol. 2, JMP; AMD APM vol. 3, JMP).
OFFENCE "goes to no address", PROTECTION, 0
    mov rax, NOT_CANONICAL
    AT_ADDRESS 0
    jmp rax

; QEMU's TCG has one vector for all of them.
OR_VECTOR PROTECTION
OFFENCE "pushes to no address", STACK, 0
    mov rsp, NOT_CANONICAL + 0x1000
    AT
    push rax
    jmp wrong

section .rodata
offences_end:

section .user_text

; ---- All vectors ----

; 16 bytes each
align 16
program_interrupts_all:
%assign vector 0
%rep 256
    align 16
    db 0xcd, vector
    jmp near wrong
    %assign vector vector + 1
%endrep

; ---- Flags ----

%macro flags_are_kept 0
    pushfq
    pop rax
    and eax, FLAGS_COMPARED
    cmp rax, [GIVEN]
    jne wrong
%endmacro

; rdi: the flags; GIVEN: those that are to be there. In and out in every way; what isn't a call is skipped for it.
program_keeps_flags:
    push rdi
    popfq
.again:
    flags_are_kept
    mov eax, CALL_ADD
    syscall
    flags_are_kept
    mov eax, CALL_ADD_COMPLETE
    syscall
    flags_are_kept
    mov eax, CALL_ADD
    int 0x80
    flags_are_kept
    mov eax, CALL_CHANGE
    syscall
    flags_are_kept
    mov eax, CALL_RAISE
    syscall
    flags_are_kept
    int3
    flags_are_kept
    ud2
    flags_are_kept
    mov rax, [abs dword NOBODY]   ; 8 bytes
    flags_are_kept
    inc qword [DONE]
    cmp qword [DONE], ROUNDS
    jb .again
    push 2
    popfq
    exit_with RESULT

; ---- A shadow of mov ss ----

; rdi: flags; GIVEN: the selector, and perhaps a breakpoint for its readers. What the CPU notices at a mov ss it tells
; behind the next instruction, and that is the kernel's first.
program_shadows:
    push rdi
    popfq
.again:
    mov ss, [GIVEN]
    int3
    mov eax, CALL_ADD
    mov ss, [GIVEN]
    syscall
    mov eax, CALL_ADD_COMPLETE
    mov ss, [GIVEN]
    syscall
    mov eax, CALL_ADD
    mov ss, [GIVEN]
    int 0x80
    mov ss, [GIVEN]
    ud2
    mov ss, [GIVEN]
    mov rax, [abs dword NOBODY]
    inc qword [DONE]
    cmp qword [DONE], ROUNDS
    jb .again
    push 2
    popfq
    exit_with RESULT

section .note.GNU-stack noalloc noexec nowrite progbits
