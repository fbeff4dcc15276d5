; SPDX-License-Identifier: MIT
; What is interrupted: a program in ring 3, and the same in ring 0. All registers hold values of their own, and whatever
; comes between, they are held against these values afterwards.
%include "layout.inc"
%include "textpatch/hints.inc"

global interrupt_kernel
global stack_is_back
extern text_start

bits 64
default rel

FLAG_TF equ 1 << 8
APIC_COMMAND equ 0x300
SEND_NMI equ 0x4400                     ; to the CPU that the other half of the command names: this one
TICKS equ 3

%define VALUE(number) -0x01010101 * (number)

%macro fill 2
    mov %1, VALUE(%2)
%endmacro

%macro check 2
    cmp %1, VALUE(%2)
    jne wrong_in_ %+ RING
%endmacro

%macro each_register 1
    %1 rax, 1
    %1 rcx, 2
    %1 rdx, 3
    %1 rbx, 4
    %1 rbp, 5
    %1 rsi, 6
    %1 rdi, 7
    %1 r8, 8
    %1 r9, 9
    %1 r10, 10
    %1 r11, 11
    %1 r12, 12
    %1 r13, 13
    %1 r14, 14
    %1 r15, 15
%endmacro

%macro check_all 0
    each_register check
    %if RING == 3
        cmp dword [gs:0], USER_MAGIC
        jne wrong_in_3
    %endif
%endmacro

%macro be_interrupted 0
    each_register fill
    int3
    check_all
    ud2                                 ; mended: what follows is executed
    check_all
    pushfq
    or qword [rsp], FLAG_TF
    popfq
    nop                                 ; #DB comes behind it
    check_all
    mov dword [abs USER_APIC + APIC_COMMAND], SEND_NMI
%%no_nmi:
    cmp dword [abs COUNT(RING, VECTOR_NMI)], 0
    je %%no_nmi
    check_all
%%no_ticks:
    check_all
    cmp dword [abs COUNT(RING, VECTOR_TIMER)], TICKS
    jb %%no_ticks
    check_all
%endmacro

; ---- Ring 0: unsigned interrupt_kernel(void), interrupts on; whether a register was wrong ----

%define RING 0
section .text

interrupt_kernel:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    be_interrupted
    int VECTOR_MACHINE_CHECK            ; as near as software comes to one
    check_all
    mov rbp, rsp
    xor esp, esp
    push rax                            ; #PF, for which there is no stack: #DF
stack_is_back:                          ; the handler has put rsp back, from rbp
    TP_HINT_CALL 7 * 8, 4 * 8
    fill rbp, 5
    check_all
    xor eax, eax
return_it:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
wrong_in_0:
    mov eax, 1
    jmp return_it

; ---- Ring 3: the page begins with what is executed first ----

%define RING 3
section .user_text progbits alloc exec nowrite align=16

    be_interrupted

    mov eax, CALL_ADD
    syscall
    check rax, 6 + 7                    ; rsi, rdi
    fill rax, 1
    fill rcx, 2                         ; rip and rflags, that is how `syscall` works
    fill r11, 11
    check_all

    mov eax, CALL_ADD
    int VECTOR_GATE
    check rax, 6 + 7
    fill rax, 1
    check_all

    not rbx                             ; so that it isn't what an entry before has left in the frame
    mov eax, CALL_EXCHANGE              ; rbx and r15
    syscall
    not r15
    xchg rbx, r15
    fill rax, 1
    fill rcx, 2
    fill r11, 11
    check_all

    mov eax, CALL_LEAD_ASTRAY           ; the way back fails
    syscall
    fill rax, 1
    fill rcx, 2
    fill r11, 11
    check_all

    mov eax, [abs text_start]           ; the kernel's: this ends the program
wrong_in_3:
    mov eax, CALL_END
    syscall

section .note.GNU-stack noalloc noexec nowrite progbits
