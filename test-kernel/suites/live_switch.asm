; SPDX-License-Identifier: MIT
; A traced table of ops: each counts, and does what the kernel's own does.

bits 64
default rel

extern live_own_ops
global live_traced_ops:data hidden
global live_traced_calls:data hidden

OPS equ 19

section .bss
align 8
live_traced_calls: resq 1

; Callee-save: not even rax, which usergs_sysret64 and the like need.
section .text
%assign op 0
%rep OPS
global traced_%[op]:function hidden
align 16, int3
traced_%[op]:
    lock inc qword [live_traced_calls]
    jmp [live_own_ops + op * 8]
    %assign op op + 1
%endrep

section .rodata progbits alloc noexec nowrite align=8
live_traced_ops:
%assign op 0
%rep OPS
    dq traced_%[op]
    %assign op op + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
