; SPDX-License-Identifier: MIT
; The places that live_sites.h declares.

%include "textpatch/textpatch.inc"

bits 64
default rel

extern live_ops
extern live_key
extern tp_static_call_live_call
extern tp_static_call_trampoline_live_call

LIVE_NONE equ 9
LIVE_FELL equ 21
LIVE_JUMPED equ 22

; Targets

section .text

%macro target 2                   ; name, value
global %1:function hidden
align 16, int3
%1:
    mov eax, %2
    ret
%endmacro

target live_one, 1001
target live_two, 1002
target live_three, 1003

global live_damage_stack:function hidden
global live_damage_register:function hidden
align 16, int3
live_damage_stack:
    mov eax, 1002
    inc qword [rsp + 8]
    ret
live_damage_register:
    mov eax, 1002
    inc ecx
    ret

TP_PATCHLET_FUNCTION live_inline_one, live_inline_one_patchlet, {mov eax, 1011}
TP_PATCHLET_FUNCTION live_inline_two, live_inline_two_patchlet, {mov eax, 1012}

; Interrupts land behind the pause: an emulator looks for them there, and nowhere else in straight code. Whoever is
; there when the bytes change gets half of one value and half of the other.
TP_PATCHLET_FUNCTION live_several_one, live_several_one_patchlet, {mov al, 0x11}, {pause}, {mov ah, 0x11}
TP_PATCHLET_FUNCTION live_several_two, live_several_two_patchlet, {mov al, 0x22}, {pause}, {mov ah, 0x22}
TP_PATCHLET_FUNCTION live_stack, live_stack_patchlet, {push rax}, {pop rax}, {mov al, 0x55}

; Visits

; struct live_visit
VISIT_SKEW equ 0
VISIT_DAMAGE equ 8

CANARY equ 0x5ca1ab00
CANARIES equ 8

; Everything has a known value: eax LIVE_NONE, rdi the visit, the words at rsp canaries.
%macro open_visit 0
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    push rdi
    mov rbp, rsp
    and rsp, -16
    sub rsp, [rdi + VISIT_SKEW]
%assign canary CANARIES
%rep CANARIES
    %assign canary canary - 1
    push CANARY + canary
%endrep
    mov ebx, CANARY + 0x11
    mov ecx, CANARY + 0x12
    mov edx, CANARY + 0x13
    mov esi, CANARY + 0x14
%assign register 8
%rep 8
    mov r%[register]d, CANARY + 0x20 + register
    %assign register register + 1
%endrep
    mov eax, LIVE_NONE
%endmacro

section .text
global live_visits_start:data hidden
global live_visits_end:data hidden

align 16, int3
live_visits_start:
close_visit:
%assign canary 0
%rep CANARIES
    cmp qword [rsp + canary * 8], CANARY + canary
    jne near .damaged
    %assign canary canary + 1
%endrep
    cmp rbx, CANARY + 0x11
    jne near .damaged
    cmp rcx, CANARY + 0x12
    jne near .damaged
    cmp rdx, CANARY + 0x13
    jne near .damaged
    cmp rsi, CANARY + 0x14
    jne near .damaged
%assign register 8
%rep 8
    cmp r%[register], CANARY + 0x20 + register
    jne near .damaged
    %assign register register + 1
%endrep
    cmp rdi, [rbp]
    je .whole
.damaged:
    mov rdi, [rbp]
    inc qword [rdi + VISIT_DAMAGE]
.whole:
    mov rsp, rbp
    pop rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

; A visit whose site, the macro's last argument, begins at such an offset from a multiple of a power of 2.
%macro visit 4+                   ; name, offset, alignment, site
global %1:function hidden
align %3, int3
%1:
    open_visit
    times ((%2) - ($ - %1)) & ((%3) - 1) nop
    %4
    jmp close_visit
%endmacro

visit visit_op_store, 2, 8, TP_OP_CALL 6, live_ops + 0
visit visit_op_quadword, 5, 8, TP_OP_CALL 6, live_ops + 0
visit visit_op_line, 61, 64, TP_OP_CALL 6, live_ops + 0
visit visit_op_wide, 0, 8, TP_OP_CALL 14, live_ops + 0
visit visit_mixed_store, 0, 8, TP_OP_CALL 6, live_ops + 8
visit visit_mixed_line, 63, 64, TP_OP_CALL 6, live_ops + 8
visit visit_companion, 5, 8, TP_OP_CALL 6, live_ops + 16

visit visit_int3, 0, 8, int3

; The site's last three bytes lie in the next page.
section .text.live_page progbits alloc exec nowrite align=4096
global visit_op_page:function hidden
    times 4096 - 5 - (open_visit_end - open_visit_start) int3
visit_op_page:
open_visit_start:
    open_visit
open_visit_end:
    times 5 - 3 nop
    TP_OP_CALL 6, live_ops + 0
    jmp close_visit

section .text

visit visit_trampoline, 0, 8, call tp_static_call_trampoline_live_call

; What a tool that finds call sites in a linked kernel would emit (textpatch/record.h).
%macro call_site 2                ; TP_BRANCH_…, bytes of the opcode
%%site:
    %2
    dd tp_static_call_trampoline_live_call - $ - 4
%%end:
    tp_emit_site %%site, %%end, tp_static_call_live_call, tp_static_call_trampoline_live_call, \
        TP_KIND_STATIC_CALL, %1
%endmacro

visit visit_call_store, 1, 8, call_site TP_BRANCH_CALL, {db 0xe8}
visit visit_call_line, 62, 64, call_site TP_BRANCH_CALL, {db 0xe8}
visit visit_tail, 0, 8, call tail_site
visit visit_taken, 0, 8, call taken_site
visit visit_not_taken, 0, 8, call not_taken_site

align 64, int3
    times 62 nop
tail_site:
    call_site TP_BRANCH_JMP, {db 0xe9}

align 8, int3
taken_site:
    cmp esp, esp
    call_site TP_BRANCH_JCC | 4, {db 0x0f, 0x84}
    mov eax, LIVE_FELL
    ret

align 8, int3
not_taken_site:
    test esp, esp
    call_site TP_BRANCH_JCC | 4, {db 0x0f, 0x84}
    mov eax, LIVE_FELL
    ret

LIVE_FEATURE equ 13 * 32 + 40

%macro call_and_go_on 0
    call live_one
    xchg ecx, ecx
%endmacro
global live_calls_inside:function hidden
live_calls_inside:
    TP_ALTERNATIVE {call_and_go_on}, {mov eax, LIVE_NONE}, LIVE_FEATURE
    ret

; The branch leaves eax as it is where it falls through: that is told from what follows.
%macro branch_visit 6             ; name, offset, alignment, TP_STATIC_BRANCH…, starts, jumps_if_enabled
global %1:function hidden
align %3, int3
%1:
    open_visit
    times ((%2) - ($ - %1)) & ((%3) - 1) nop
    %4 live_key, %5, %6, %%jumped
    mov eax, LIVE_FELL
    jmp close_visit
%%jumped:
    mov eax, LIVE_JUMPED
    jmp close_visit
%endmacro

branch_visit visit_key_store, 3, 8, TP_STATIC_BRANCH, 0, 1
branch_visit visit_key_line, 61, 64, TP_STATIC_BRANCH, 0, 1
branch_visit visit_key_short, 2, 8, TP_STATIC_BRANCH_SHORT, 0, 1
branch_visit visit_key_short_line, 63, 64, TP_STATIC_BRANCH_SHORT, 0, 1
branch_visit visit_key_inverse, 0, 8, TP_STATIC_BRANCH, 1, 0
branch_visit visit_key_inverse_line, 60, 64, TP_STATIC_BRANCH, 1, 0
live_visits_end:

section .note.GNU-stack noalloc noexec nowrite progbits
