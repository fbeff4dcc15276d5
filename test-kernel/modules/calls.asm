; SPDX-License-Identifier: MIT
; NASM parts of the module calls.c.

%include "textpatch/textpatch.inc"

bits 64
default rel

extern tp_static_call_trampoline_kernel_value

section .text

; long module_value_called(long value)
global module_value_called:function hidden
module_value_called:
    sub rsp, 8
    call tp_static_call_trampoline_kernel_value
    add rsp, 8
    ret

; long module_value_jumped(long value)
global module_value_jumped:function hidden
module_value_jumped:
    add rdi, 1
    jmp near tp_static_call_trampoline_kernel_value

; long module_value_if_zero(long value, long selector)
global module_value_if_zero:function hidden
module_value_if_zero:
    test rsi, rsi
    jz near tp_static_call_trampoline_kernel_value
    mov rax, -1
    ret

; long module_alternative(void)
global module_alternative:function hidden
module_alternative:
    TP_ALTERNATIVE {mov eax, 1}, {mov eax, 2}, TP_FEATURE_ALWAYS
    ret

; long module_plus_seven(long value)
TP_PATCHLET_FUNCTION module_plus_seven, module_plus_seven_patchlet, {lea rax, [rdi + 7]}

section .note.GNU-stack noalloc noexec nowrite progbits
