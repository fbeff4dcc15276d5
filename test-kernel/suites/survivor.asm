; SPDX-License-Identifier: MIT
; The program of survivor.h. It runs elsewhere than it is linked: code is found by rip, data is at a fixed address, so that
; no register is needed for either.
;
; Outside of the moments that it watches it keeps nothing in rbx, rbp, r12 to r15: who loses these is to be counted, not to
; derail what counts.

bits 64
default abs

global survivor:data hidden

; As in survivor.h.
CALL_EXIT equ 128
CALL_REPLACE equ 129
CALL_FORK equ 130

; struct survivor_data
DATA equ 0x600000
STATE equ DATA
LIMIT equ DATA + 8
STOP equ DATA + 16
ROUNDS equ DATA + 24
WRONG equ DATA + 32
WAY equ DATA + 40
PLACE equ DATA + 48
BEHIND equ DATA + 56
ASK equ DATA + 64
ASK_VALUE equ DATA + 72
WANTED equ DATA + 0x80
EXPECTED equ DATA + 0x110
FOUND equ DATA + 0x1a0
REPLACEMENT equ DATA + 0x230
COUNTS equ DATA + 0x2c0
WRONG_OF equ DATA + 0x340
WAYS equ DATA + 0x3c0
FIRST_WAY equ DATA + 0x3d0
FIRST_VALUE equ DATA + 0x3d8
FIRST_EXPECTED equ DATA + 0x3e0
FIRST_FOUND equ DATA + 0x3e8
FIRST_ROUND equ DATA + 0x3f0
CANARY equ DATA + 0x3f8
ZERO equ DATA + 0x400
WINDOW equ DATA + 0x1000
WINDOW_WORDS equ 40
WINDOW_MIDDLE equ WINDOW + 128
STACK_TOP equ DATA + 0x4000

NOWHERE equ 0x1000

; The values: registers as struct tp_regs has them, flags, rsp, what lies at gs:0; then whether the stack was kept.
REGISTERS equ 15
VALUE_FLAGS equ 15
VALUE_RSP equ 16
VALUE_GS equ 17
COMPARED equ 18
VALUE_STACK equ 18

%define wanted(value) WANTED + (value) * 8
%define expected(value) EXPECTED + (value) * 8
%define found(value) FOUND + (value) * 8

NUMBER_R11 equ 6
NUMBER_R10 equ 7
NUMBER_R9 equ 8
NUMBER_R8 equ 9
NUMBER_RDI equ 10
NUMBER_RSI equ 11
NUMBER_RDX equ 12
NUMBER_RCX equ 13
NUMBER_RAX equ 14

; CF PF AF ZF SF DF OF NT ID, and those that are always there: 1 and IF
FREE_FLAGS equ 0x204cd5
FIXED_FLAGS equ 0x202

%macro each_register 1 ; macro of (register, number)
    %1 r15, 0
    %1 r14, 1
    %1 r13, 2
    %1 r12, 3
    %1 rbp, 4
    %1 rbx, 5
    %1 r11, 6
    %1 r10, 7
    %1 r9, 8
    %1 r8, 9
    %1 rdi, 10
    %1 rsi, 11
    %1 rdx, 12
    %1 rcx, 13
    %1 rax, 14
%endmacro

%macro load_wanted 2
    mov %1, [wanted(%2)]
%endmacro

%macro store_found 2
    mov [found(%2)], %1
%endmacro

; rax: the next number (xorshift64); changes rdx
%macro draw 0
    mov rdx, rax
    shl rdx, 13
    xor rax, rdx
    mov rdx, rax
    shr rdx, 7
    xor rax, rdx
    mov rdx, rax
    shl rdx, 17
    xor rax, rdx
%endmacro

; Into a set of values: registers, flags, rsp.
%macro draw_values 1
    mov ecx, REGISTERS
%%next:
    draw
    mov [%1 + rcx * 8 - 8], rax
    dec ecx
    jnz %%next
    draw
    mov ecx, eax
    and ecx, FREE_FLAGS
    or ecx, FIXED_FLAGS
    mov [%1 + VALUE_FLAGS * 8], rcx
    draw
    mov ecx, eax
    and ecx, 0x3f
    add ecx, WINDOW_MIDDLE
    mov [%1 + VALUE_RSP * 8], rcx
%endmacro

%macro copy_values 3 ; to, from, how many
    mov ecx, %3
%%next:
    mov rdx, [%2 + rcx * 8 - 8]
    mov [%1 + rcx * 8 - 8], rdx
    dec ecx
    jnz %%next
%endmacro

; Each canary is the one before and the same number more.
%macro each_canary 1 ; macro, with rax: the canary, rcx: its number
    mov rax, [CANARY]
    xor ecx, ecx
%%next:
    %1
    add rax, [CANARY]
    inc ecx
    cmp ecx, WINDOW_WORDS
    jb %%next
%endmacro

%macro put_canary 0
    mov [WINDOW + rcx * 8], rax
%endmacro

%macro check_canary 0
    mov rdx, [WINDOW + rcx * 8]
    cmp rdx, rax
    je %%kept
    mov r9d, VALUE_STACK
    mov r10, rax
    call note_difference
%%kept:
%endmacro

%macro set_flags 1
    push %1
    popfq
%endmacro

%macro begin_way 1
prepare_%1:
    lea rax, [rel place_%1]
    mov [PLACE], rax
    lea rax, [rel behind_%1]
    mov [BEHIND], rax
%endmacro

%macro end_way 2+
place_%1:
    %2
behind_%1:
    jmp check
%endmacro

section .user_text progbits alloc noexec nowrite align=16

survivor:
.round:
    mov rax, [STATE]
    draw_values WANTED
    draw
    mov [CANARY], rax
    draw
    mov [STATE], rax
    shr rax, 60
    movzx eax, byte [WAYS + rax]
    mov [WAY], rax
    each_canary put_canary
    copy_values EXPECTED, WANTED, COMPARED
    mov rax, [WAY]
    lea rcx, [rel preparations]
    movsxd rax, dword [rcx + rax * 4]
    add rcx, rax
    jmp rcx

align 4
preparations:
    dd prepare_lazy - preparations
    dd prepare_complete - preparations
    dd prepare_gate - preparations
    dd prepare_int3 - preparations
    dd prepare_invalid - preparations
    dd prepare_fault - preparations
    dd prepare_divide - preparations
    dd prepare_spin - preparations
    dd prepare_replace - preparations
    dd prepare_fork - preparations

; ---- What is done, and what it should leave ----

begin_way lazy
    and qword [wanted(NUMBER_RAX)], 63
    jmp expect_call
end_way lazy, syscall

begin_way complete
    and qword [wanted(NUMBER_RAX)], 63
    or qword [wanted(NUMBER_RAX)], 64
    jmp expect_call
end_way complete, syscall

begin_way gate
    and qword [wanted(NUMBER_RAX)], 127
    jmp expect_answer
end_way gate, int 0x80

begin_way int3
    jmp expect_asked
end_way int3, int3

begin_way invalid
    jmp expect_asked
end_way invalid, ud2

begin_way fault
    jmp expect_asked
end_way fault, mov rax, [abs dword NOWHERE]

begin_way divide
    jmp expect_asked
end_way divide, div qword [ZERO]

; No flag changes.
begin_way spin
    and qword [wanted(NUMBER_RCX)], 0x3ff
    inc qword [wanted(NUMBER_RCX)]
    mov qword [expected(NUMBER_RCX)], 0
    jmp load
end_way spin, loop place_spin

; Everything that the program has is replaced by what it points to, where it goes on too.
begin_way replace
    mov rax, [STATE]
    draw_values REPLACEMENT
    mov [STATE], rax
    mov rax, [BEHIND]
    mov [REPLACEMENT + VALUE_GS * 8], rax
    copy_values EXPECTED, REPLACEMENT, VALUE_GS
    mov qword [wanted(NUMBER_RDI)], REPLACEMENT
    mov qword [wanted(NUMBER_RAX)], CALL_REPLACE
    jmp load
place_replace:
    syscall
    ud2
behind_replace:
    jmp check

begin_way fork
    mov qword [wanted(NUMBER_RAX)], CALL_FORK
    mov qword [expected(NUMBER_RAX)], 1
    mov rax, [BEHIND]
    mov [expected(NUMBER_RCX)], rax
    mov rax, [wanted(VALUE_FLAGS)]
    mov [expected(NUMBER_R11)], rax
    jmp load
end_way fork, syscall

expect_call:
    mov rax, [BEHIND]
    mov [expected(NUMBER_RCX)], rax
    mov rax, [wanted(VALUE_FLAGS)]
    mov [expected(NUMBER_R11)], rax
; What survivor.c makes of number and arguments, and what it changes besides.
expect_answer:
    mov rax, [wanted(NUMBER_RAX)]
    mov r8, rax
    %macro mix_in 1
        imul rax, rax, 31
        add rax, [wanted(%1)]
    %endmacro
    mix_in NUMBER_RDI
    mix_in NUMBER_RSI
    mix_in NUMBER_RDX
    mix_in NUMBER_R10
    mix_in NUMBER_R8
    mix_in NUMBER_R9
    mov [expected(NUMBER_RAX)], rax
    shr r8d, 3
    and r8d, 7
    cmp r8d, 1
    jb load
    je .flags
    cmp r8d, 3
    ja load
    je .r11
    not rax
    mov [expected(NUMBER_RCX)], rax
    jmp load
.flags:
    xor qword [expected(VALUE_FLAGS)], 1
    jmp load
.r11:
    xor rax, [wanted(NUMBER_RDI)]
    mov [expected(NUMBER_R11)], rax
    jmp load

; An exception's handler may be asked to change one register.
expect_asked:
    mov rax, [STATE]
    draw
    mov [STATE], rax
    mov [ASK_VALUE], rax
    mov rcx, rax
    shr rcx, 60
    mov [ASK], rcx
    cmp ecx, REGISTERS
    jae load
    mov [expected(rcx)], rax

; ---- All values in place, done, all values looked at ----

load:
    mov esp, wanted(VALUE_FLAGS)
    popfq
    mov rsp, [wanted(VALUE_RSP)]
    each_register load_wanted
    jmp [PLACE]

check:
    each_register store_found
    mov [found(VALUE_RSP)], rsp
    mov esp, found(VALUE_FLAGS + 1)
    pushfq
    mov esp, STACK_TOP
    set_flags FIXED_FLAGS
    mov rax, [gs:0]
    mov [found(VALUE_GS)], rax
    xor r8d, r8d                  ; differences
    xor ecx, ecx
.compare:
    mov rdx, [found(rcx)]
    mov r10, [expected(rcx)]
    cmp rdx, r10
    je .same
    mov r9d, ecx
    call note_difference
.same:
    inc ecx
    cmp ecx, COMPARED
    jb .compare
    each_canary check_canary
    mov rcx, [WAY]
    inc qword [COUNTS + rcx * 8]
    inc qword [ROUNDS]
    test r8d, r8d
    jz .right
    inc qword [WRONG_OF + rcx * 8]
    inc qword [WRONG]
.right:
    cmp qword [STOP], 0
    jne .end
    mov rax, [ROUNDS]
    cmp rax, [LIMIT]
    jb survivor.round
.end:
    mov rdi, [WRONG]
    mov eax, CALL_EXIT
    syscall
    ud2

; r9: which value, rdx: what it is, r10: what it should be. Counts in r8, keeps the first of all rounds.
note_difference:
    inc r8d
    cmp qword [WRONG], 0
    jne .known
    cmp r8d, 1
    jne .known
    mov r11, [WAY]
    mov [FIRST_WAY], r11
    mov [FIRST_VALUE], r9
    mov [FIRST_EXPECTED], r10
    mov [FIRST_FOUND], rdx
    mov r11, [ROUNDS]
    mov [FIRST_ROUND], r11
.known:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
