; SPDX-License-Identifier: MIT
; NASM parts of the suite static_calls.

%include "textpatch/textpatch.inc"
%include "textpatch/hints.inc"

bits 64
default rel

global call_nasm_first:function hidden
global call_nasm_number:function hidden
global call_nasm_number_tail:function hidden
global call_nasm_of_nasm:function hidden
global call_site_plain:function hidden
global call_site_tail:function hidden
global call_site_conditional:function hidden
extern tp_static_call_call_site
extern tp_static_call_trampoline_call_site
extern tp_static_call_trampoline_call_number

section .text

; unsigned long call_nasm_first(void)
call_nasm_first:
    mov eax, 41
    ret

; unsigned long call_nasm_second(void)
TP_PATCHLET_FUNCTION call_nasm_second, call_nasm_second_patchlet, {mov eax, 42}

; int call_nasm_number(int value)
call_nasm_number:
    sub rsp, 8
    TP_STATIC_CALL call_number
    add rsp, 8
    ret

; int call_nasm_number_tail(int value)
call_nasm_number_tail:
    jmp tp_static_call_trampoline_call_number

TP_STATIC_CALL_DEFINE call_of_nasm, call_nasm_first

; unsigned long call_nasm_of_nasm(void)
call_nasm_of_nasm:
    sub rsp, 8
    TP_STATIC_CALL call_of_nasm
    add rsp, 8
    ret

; What a tool that finds call sites in a linked kernel would emit (textpatch/record.h).
%macro call_site 2+               ; TP_BRANCH_…, the instruction
%%site:
    %2
%%end:
    tp_emit_site %%site, %%end, tp_static_call_call_site, tp_static_call_trampoline_call_site, \
        TP_KIND_STATIC_CALL, %1
%endmacro

; unsigned long call_site_plain(void)
call_site_plain:
    sub rsp, 8
    mov eax, 9
    call_site TP_BRANCH_CALL, call tp_static_call_trampoline_call_site
    add rsp, 8
    ret

; unsigned long call_site_tail(void)
call_site_tail:
    mov eax, 9
    call_site TP_BRANCH_JMP, jmp tp_static_call_trampoline_call_site

; Flags, as popf takes them, with which each condition holds; the odd ones are the even ones negated.
CF equ 1 << 0
PF equ 1 << 2
ZF equ 1 << 6
SF equ 1 << 7
OF equ 1 << 11
section .rodata
align 8
conditions:
    dd OF, 0, CF, 0, ZF, 0, ZF, 0, SF, 0, PF, 0, SF, 0, SF, 0
opposites:
    dd 0, OF, 0, CF, 0, ZF, 0, CF, 0, SF, 0, PF, SF | OF, OF, SF | OF, ZF
jumps:
%assign condition 0
%rep 16
    dq jump_%[condition]
    %assign condition condition + 1
%endrep

; unsigned long call_site_conditional(unsigned condition): + 16 for flags with which it doesn't hold
section .text
call_site_conditional:
    mov edx, edi
    and edx, 15
    lea rcx, [conditions]
    test edi, 16
    jz .holds
    lea rcx, [opposites]
.holds:
    mov ecx, [rcx + rdx * 4]
    lea rsi, [jumps]
    mov rsi, [rsi + rdx * 8]
    mov eax, 9
    pushfq
    and qword [rsp], ~(CF | PF | ZF | SF | OF)
    or [rsp], rcx
    popfq
    jmp rsi

; The jump's opcode is written out: the site is 6 bytes whatever an assembler would choose.
%assign condition 0
%rep 16
jump_%[condition]:
    TP_HINT_CALL 8
    db 0x0f, 0x80 | condition
    dd tp_static_call_trampoline_call_site - $ - 4
    tp_emit_site jump_%[condition], jump_end_%[condition], tp_static_call_call_site, \
        tp_static_call_trampoline_call_site, TP_KIND_STATIC_CALL, TP_BRANCH_JCC | condition
jump_end_%[condition]:
    mov eax, 7
    ret
    %assign condition condition + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
