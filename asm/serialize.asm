; SPDX-License-Identifier: MIT
; Instructions that C can't say, as C functions.

section .note.GNU-stack noalloc noexec nowrite progbits

section .text
bits 64
default rel

%include "textpatch/hints.inc"

global tp_serialize:function hidden (tp_serialize.end - tp_serialize)
global tp_cpuid:function hidden (tp_cpuid.end - tp_cpuid)
global tp_read_cr0:function hidden (tp_read_cr0.end - tp_read_cr0)
global tp_write_cr0:function hidden (tp_write_cr0.end - tp_write_cr0)
global tp_read_cr4:function hidden (tp_read_cr4.end - tp_read_cr4)
global tp_privilege_level:function hidden (tp_privilege_level.end - tp_privilege_level)
global tp_probe_breakpoint:function hidden (tp_probe_end - tp_probe_breakpoint)
global tp_probe_int3:function hidden (tp_probe_end - tp_probe_int3)
global tp_probe_answer:function hidden (tp_probe_end - tp_probe_answer)

; void tp_serialize(bool has_serialize)
; Both ways are serialising instructions, and both may be used at any privilege level (Intel SDM vol. 3 section 9.3,
; AMD APM vol. 2 section 7.6.4). CPUID traps to a hypervisor, hence the choice.
;   40 84 ff 74 04 0f 01 e8 c3 53 31 c0 31 c9 0f a2 5b c3
align 16, int3
tp_serialize:
    test dil, dil
    jz .cpuid
    db 0x0f, 0x01, 0xe8           ; serialize, which NASM learnt only in 2.16
    ret
.cpuid:
    push rbx
    xor eax, eax
    xor ecx, ecx
    cpuid
    pop rbx
    ret
.end:

; void tp_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])      out: eax, ebx, ecx, edx
;   53 49 89 d0 89 f8 89 f1 0f a2 41 89 00 41 89 58 04 41 89 48 08 41 89 50 0c 5b c3
align 16, int3
tp_cpuid:
    push rbx
    mov r8, rdx
    mov eax, edi
    mov ecx, esi
    cpuid
    mov [r8], eax
    mov [r8 + 4], ebx
    mov [r8 + 8], ecx
    mov [r8 + 12], edx
    pop rbx
    ret
.end:

; uint64_t tp_read_cr0(void)      0f 20 c0 c3
align 16, int3
tp_read_cr0:
    mov rax, cr0
    ret
.end:

; void tp_write_cr0(uint64_t)     0f 22 c7 c3
align 16, int3
tp_write_cr0:
    mov cr0, rdi
    ret
.end:

; uint64_t tp_read_cr4(void)      0f 20 e0 c3
align 16, int3
tp_read_cr4:
    mov rax, cr4
    ret
.end:

; unsigned tp_privilege_level(void)
; The low bits of CS are the current privilege level (Intel SDM vol. 3 section 5.5).
;   8c c8 83 e0 03 c3
align 16, int3
tp_privilege_level:
    mov eax, cs
    and eax, 3
    ret
.end:

; bool tp_probe_breakpoint(void)
; Whether #BP leads to tp_handle_breakpoint(), which sends this int3, and no other, to tp_probe_answer. One who passes
; over an int3 that it doesn't know returns behind it.
;   31 c0 cc c3 b8 01 00 00 00 c3
align 16, int3
tp_probe_breakpoint:
    xor eax, eax
tp_probe_int3:
    int3
    ret
tp_probe_answer:
    TP_HINT_CALL 8                ; nothing but #BP leads here
    mov eax, 1
    ret
tp_probe_end:
