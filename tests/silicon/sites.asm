; SPDX-License-Identifier: MIT
;
; What the tests patch: functions with one site each, at a chosen offset in a cache line, and what they call.
;
;   value_N       return N: 1, 2 and 9 have no inline form, 3 and 4 one of one instruction, 5 to 7 one of several;
;                 3 and 4 do it in each of four bytes, so that mixtures show
;   NAME          a function that holds a site and returns what the site makes of it; its cell is NAME_cell
;   NAME_site     the site's first byte, NAME_end its end
%include "textpatch/textpatch.inc"

section .data
section .text.silicon progbits alloc exec nowrite align=4096


; name, offset of the site in its line, bytes of code before it
%macro function 3
    align 64, int3
    times %2 - %3 int3
    global %1:function
    global %1_site
    global %1_end
%1:
%endmacro

%macro epilogue 0
    add rsp, 8
    ret
%endmacro

; name, offset, width
%macro op_call 3
    %defstr %%name %1
    op_cell %1, %%name
    function %1, %2, 4
    sub rsp, 8
%1_site:
    TP_OP_CALL %3, %1_cell
%1_end:
    epilogue
%endmacro

; name, the same in quotes
%macro op_cell 2
    global %1_cell
    section .data
    align 8, db 0
%1_cell:
    dq value_1
    TP_OP_KEY %1_cell, %2
    section .text.silicon
%endmacro

; name, the same in quotes
%macro key_cell 2
    global %1_cell
    section .data
    align 8, db 0
%1_cell:
    dq 0
    tp_emit_key TP_KEY_KIND_STATIC_KEY, %1_cell, %2
    section .text.silicon
%endmacro

; name, offset, macro: 1 while the key is off, 2 while it is on. The jump's displacement is 11, so that its first byte
; behind the NOP's makes 0f 0b, ud2.
%macro branch 3
    %defstr %%name %1
    key_cell %1, %%name
    function %1, %2, 0
%1_site:
    %3 %1_cell, 0, 1, %%taken
%1_end:
    mov eax, 1
    ret
    times 11 - ($ - %1_end) int3
%%taken:
    mov eax, 2
    ret
%endmacro

; name, offset, CS prefixes, opcode, branch, bytes of code before it: a call site of the static call as the host tool
; will record it
%macro static_site 6
    function %1, %2, %6
    times (%6 != 0) sub rsp, 8
%1_site:
    times %3 db 0x2e
    db %4
    dd tp_static_call_trampoline_%1 - $ - 4
%1_end:
    tp_emit_site %1_site, %1_end, tp_static_call_%1, tp_static_call_trampoline_%1, TP_KIND_STATIC_CALL, %5
    times (%6 != 0) add rsp, 8
    ret
%endmacro

%macro plain 2
    align 16, int3
    global %1:function
%1:
    mov eax, %2
    ret
%endmacro

; As far apart as this, so that displacements of calls of 1 and of 2 differ in three bytes: what is not one or the other
; leads into int3.
plain value_1, 1
plain value_9, 9
    times 0x11110 - ($ - value_1) int3
plain value_2, 2
TP_PATCHLET_FUNCTION value_3, patchlet_3, {mov eax, 0x03030303}
TP_PATCHLET_FUNCTION value_4, patchlet_4, {mov eax, 0x04040404}
TP_PATCHLET_FUNCTION value_5, patchlet_5, {push 5}, {pop rax}
TP_PATCHLET_FUNCTION value_7, patchlet_7, {xor eax, eax}, {or al, 7}
TP_PATCHLET_FUNCTION value_6, patchlet_6, {pause}, {push 6}, {pop rax} ; an interrupt most likely lands behind the first

; In one aligned quadword, and across a line.
op_call op_whole, 8, 6
op_call op_across, 61, 6
op_call op_prefix, 8, 7 ; behind the first prefix it is one quadword's
op_call op_many, 61, 6

%macro op_jump 2
    %defstr %%name %1
    op_cell %1, %%name
    function %1, %2, 0
%1_site:
    TP_OP_JMP 6, %1_cell
%1_end:
%endmacro
op_jump op_jump_whole, 8
op_jump op_jump_across, 61

branch key_long, 8, TP_STATIC_BRANCH
branch key_long_across, 62, TP_STATIC_BRANCH
branch key_short, 8, TP_STATIC_BRANCH_SHORT
branch key_short_across, 63, TP_STATIC_BRANCH_SHORT

TP_STATIC_CALL_DEFINE call_whole, value_1
TP_STATIC_CALL_DEFINE call_across, value_1
TP_STATIC_CALL_DEFINE call_prefix, value_1
TP_STATIC_CALL_DEFINE call_jump, value_1
section .text.silicon
static_site call_whole, 8, 0, 0xe8, TP_BRANCH_CALL, 4
static_site call_across, 61, 0, 0xe8, TP_BRANCH_CALL, 4
static_site call_prefix, 9, 1, 0xe8, TP_BRANCH_CALL, 4
static_site call_jump, 61, 0, 0xe9, TP_BRANCH_JMP, 0

; All sixteen conditions: jumps_N(flags) returns what the static call does if the condition holds, 9 if not.
TP_STATIC_CALL_DEFINE jumps, value_1
section .text.silicon
%assign condition 0
%rep 16
    align 64, int3
    times 40 int3
    global jumps_%[condition]:function
    global jumps_%[condition]_site
    global jumps_%[condition]_end
jumps_%[condition]:
    push rdi
    popfq
jumps_%[condition]_site:
    db 0x0f, 0x80 | condition
    dd tp_static_call_trampoline_jumps - $ - 4
jumps_%[condition]_end:
    tp_emit_site jumps_%[condition]_site, jumps_%[condition]_end, tp_static_call_jumps, \
        tp_static_call_trampoline_jumps, TP_KIND_STATIC_CALL, TP_BRANCH_JCC | condition
    mov eax, 9
    ret
%assign condition condition + 1
%endrep

; An alternative that one store changes, and one that is across a line.
%macro alternative 3
    function %1, %2, 0
%1_site:
    TP_ALTERNATIVE {mov eax, 1}, {mov eax, 2}, %3
%1_end:
    ret
%endmacro
alternative alternative_whole, 8, TP_FEATURE_KERNEL(20)
alternative alternative_across, 62, TP_FEATURE_KERNEL(21)

; For the tests that take a defence away: see torn_test.c. The call's target is 1's value, and the inline form's operand
; read as a displacement leads to torn_pad.
TP_STATIC_CALL_DEFINE torn, value_1
section .text.silicon
static_site torn, 61, 0, 0xe8, TP_BRANCH_CALL, 4
TP_PATCHLET_FUNCTION value_torn, patchlet_torn, {mov eax, torn_pad - torn_end}
section .text.silicon
    align 64, int3
    times 4096 int3
    global torn_pad:function
torn_pad:
    mov eax, 60
    ret

; An int3 that is a debugger's.
    align 16, int3
    global foreign:function
    global foreign_site
foreign:
    mov eax, 7
foreign_site:
    int3
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
