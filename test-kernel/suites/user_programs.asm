; SPDX-License-Identifier: MIT
; Programs for user mode: user_programs.h says what each does. They run elsewhere than they are linked, so nothing
; here has an address but by rip.

bits 64
default rel

CALL_ADD equ 1
CALL_SET_GS equ 2
CALL_EXIT equ 64
CALL_SWITCH equ 65
CALL_FORK equ 66
CALL_ADD_COMPLETE equ 67
CALL_GO equ 68
ROUNDS equ 50
WRONG equ 0xbad

USER_TEXT equ 0x400000
USER_DATA equ 0x600000
KERNEL equ 0xffffffff80100000

; struct program_data, from rbp, which all keep at USER_DATA
%define SEED rbp
%define ROUNDS_DONE rbp + 8
%define STOP rbp + 16
%define GIVEN rbp + 24
%define TAKEN rbp + 32
%define STACK rbp + 40
%define GS_BASE rbp + 48
%define GS_VALUE rbp + 56

; Does something with each register that holds a number made of the seed, and with the number's difference to it.
; Calls take rax, rcx and r11 for themselves, and two arguments; interrupts take nothing.
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

%macro each_other 1
    %1 rcx, 0x8888
    %1 r11, 0x19990000
    %1 rsi, 0xaaaa
    %1 rdi, 0x1bbb0000
%endmacro

%macro load_register 2
    mov %1, [SEED]
    lea %1, [%1 + %2]
%endmacro

%macro check_register 2
    mov rax, [SEED]
    lea rax, [rax + %2]
    cmp rax, %1
    jne wrong
%endmacro

; rdi: the seed
%macro begin_program 1
global %1:data hidden
%1:
    mov ebp, USER_DATA
    mov [SEED], rdi
%endmacro

%macro system_call 1
    mov eax, %1
    syscall
%endmacro

%macro exit_with 1
    mov rdi, %1
    system_call CALL_EXIT
    ud2
%endmacro

section .user_text progbits alloc noexec nowrite align=16

wrong:
    exit_with WRONG

begin_program program_returns
    lea rdi, [rdi + rdi + 1]
    system_call CALL_EXIT
    ud2

begin_program program_works
    mov [STACK], rsp
    push rdi
    mov rax, [GIVEN]
    lea rcx, [rax + rax * 2]
    mov [TAKEN], rcx
    pop rdi
    add rdi, [GIVEN]
    system_call CALL_EXIT
    ud2

begin_program program_takes_turns
    each_kept load_register
.again:
    system_call CALL_SWITCH
    each_kept check_register
    inc qword [ROUNDS_DONE]
    cmp qword [ROUNDS_DONE], ROUNDS
    jb .again
    exit_with [SEED]

begin_program program_spins
    each_kept load_register
    each_other load_register
.again:
    each_kept check_register
    each_other check_register
    inc qword [ROUNDS_DONE]
    cmp qword [STOP], 0
    je .again
    exit_with [SEED]

; rcx and r11 are what the instruction leaves there, or what int 0x80 keeps.
begin_program program_calls
    each_kept load_register
    xor edi, edi
.again:
    mov esi, 3
    mov eax, CALL_ADD
    syscall
.first_end:
    lea rdi, [.first_end]
    cmp rcx, rdi
    jne wrong
    pushfq
    pop rcx
    xor rcx, r11
    test ecx, 0x200
    jnz wrong
    mov rdi, rax
    mov esi, 5
    mov eax, CALL_ADD_COMPLETE
    syscall
.second_end:
    lea rdi, [.second_end]
    cmp rcx, rdi
    jne wrong
    mov rdi, rax
    mov esi, 7
    mov ecx, 0x1234
    mov r11d, 0x5678
    mov eax, CALL_ADD
    int 0x80
    mov rdi, rax
    mov esi, 11
    mov eax, CALL_ADD_COMPLETE
    int 0x80
    cmp ecx, 0x1234
    jne wrong
    cmp r11d, 0x5678
    jne wrong
    mov rdi, rax
    each_kept check_register
    inc qword [ROUNDS_DONE]
    cmp qword [ROUNDS_DONE], ROUNDS
    jb .again
    system_call CALL_EXIT
    ud2

; Two processes have theirs at different addresses of the same page, by their seed.
%macro take_gs 0
    mov rdi, [SEED]
    and edi, 3
    lea rdi, [rbp + rdi * 8 + 0x100]
    mov [GS_BASE], rdi
    mov rax, [SEED]
    mov [rdi], rax
    system_call CALL_SET_GS
%endmacro

%macro check_gs 0
    mov rax, [gs:0]
    cmp rax, [SEED]
    jne wrong
%endmacro

begin_program program_uses_gs
    take_gs
    each_kept load_register
.again:
    check_gs
    system_call CALL_SWITCH
    check_gs
    ud2
    check_gs
    system_call CALL_ADD
    check_gs
    mov eax, CALL_ADD
    int 0x80
    check_gs
    mov eax, CALL_SWITCH
    int 0x80
    each_kept check_register
    inc qword [ROUNDS_DONE]
    cmp qword [ROUNDS_DONE], ROUNDS
    jb .again
    exit_with [SEED]

begin_program program_spins_with_gs
    take_gs
    each_kept load_register
.again:
    check_gs
    each_kept check_register
    inc qword [ROUNDS_DONE]
    test qword [ROUNDS_DONE], 0xff
    jnz .go_on
    system_call CALL_ADD
.go_on:
    cmp qword [STOP], 0
    je .again
    exit_with [SEED]

; rdx comes back with the rest; rcx is the parent's 1 or the child's 0.
begin_program program_forks
    each_kept load_register
    mov qword [GIVEN], 5
    system_call CALL_FORK
    mov rcx, rax
    each_kept check_register
    cmp ecx, 1
    ja wrong
    je .parent
    add qword [GIVEN], 2
    mov ebx, 2000
    jmp .end
.parent:
    system_call CALL_SWITCH       ; the child writes to its data meanwhile
    add qword [GIVEN], 1
    mov ebx, 1000
.end:
    add rbx, [GIVEN]
    exit_with rbx

; ---- What isn't theirs ----

begin_program program_divides
    xor ecx, ecx
    xor edx, edx
    mov eax, 1
global program_divides_at:data hidden
program_divides_at:
    div ecx
    jmp wrong

begin_program program_debugs
    pushfq
    or qword [rsp], 0x100         ; TF
    popfq
    nop
    jmp wrong

begin_program program_breaks
    int3
    jmp wrong

begin_program program_is_invalid
    ud2
    jmp wrong

begin_program program_halts
    hlt
    jmp wrong

begin_program program_masks
    cli
    jmp wrong

begin_program program_writes_port
    mov al, 0
    out 0x80, al
    jmp wrong

begin_program program_writes_msr
    mov ecx, 0xc0000101
    xor eax, eax
    xor edx, edx
    wrmsr
    jmp wrong

begin_program program_writes_cr3
    mov rax, 0x1000
    mov cr3, rax
    jmp wrong

begin_program program_interrupts
global program_interrupts_at:data hidden
program_interrupts_at:
    int 0x21
    jmp wrong

begin_program program_reads_nothing
    mov rax, [abs dword 0x1000]
    jmp wrong

begin_program program_writes_text
    lea rax, [wrong]
    mov byte [rax], 0x90
    jmp wrong

begin_program program_runs_data
    mov byte [rbp + 0x200], 0xc3
    lea rax, [rbp + 0x200]
    call rax
    jmp wrong

begin_program program_reads_kernel
    mov rax, KERNEL
    mov rax, [rax]
    jmp wrong

begin_program program_leaves_canonical
    mov rax, 0x800000000000
    mov rax, [rax]
    jmp wrong

; The kernel changes the frame on its way back.
begin_program program_goes_astray
    system_call CALL_GO
global program_goes_astray_end:data hidden
program_goes_astray_end:
    jmp wrong

begin_program program_calls_lazily
    system_call CALL_ADD
    jmp wrong

begin_program program_calls_completely
    system_call CALL_SWITCH
    jmp wrong

; A call in the last two bytes of user mode's addresses: there is nothing to return to.
section .user_last progbits alloc noexec nowrite align=4096
last_page:
    times 4096 - 7 int3
global program_calls_at_end:data hidden
program_calls_at_end:
    mov eax, CALL_ADD
    syscall

section .note.GNU-stack noalloc noexec nowrite progbits
