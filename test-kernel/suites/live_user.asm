; SPDX-License-Identifier: MIT
; A table of ops that count each for itself and do what the kernel's own do; and an op that does what none must.

bits 64
default rel

%include "textpatch/ops.inc"

extern live_own_ops
global live_counting_ops:data hidden
global live_op_calls:data hidden
global lose_r13_at_sysret:function hidden

OPS equ 19

section .bss
align 8
live_op_calls: resq OPS

; Callee-save, and not even rax is changed: usergs_sysret64 and iret are jumped to with user mode's registers.
section .text
%assign op 0
%rep OPS
align 16, int3
counting_%[op]:
    lock inc qword [live_op_calls + op * 8]
    jmp [live_own_ops + op * 8]
    %assign op op + 1
%endrep

align 16, int3
lose_r13_at_sysret:
    not r13
    jmp [live_own_ops + TP_OPS_USERGS_SYSRET64]

section .rodata progbits alloc noexec nowrite align=8
live_counting_ops:
%assign op 0
%rep OPS
    dq counting_%[op]
    %assign op op + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
