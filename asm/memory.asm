; SPDX-License-Identifier: MIT
; memory.asm: memcpy, memmove, memset and memcmp, which GCC and clang may call from any C code, freestanding too
; (GCC manual, "Language Standards Supported by GCC"). All are weak: a kernel that has its own keeps them.

bits 64
default rel

section .text.textpatch_memory progbits alloc exec nowrite align=16

global memcpy:function weak
global memmove:function weak
global memset:function weak
global memcmp:function weak

; void *memcpy(void *to, const void *from, size_t count)
memcpy:
    mov rax, rdi
    mov rcx, rdx
    rep movsb
    ret

; void *memmove(void *to, const void *from, size_t count)
memmove:
    mov rax, rdi
    mov rcx, rdx
    mov r8, rdi
    sub r8, rsi
    cmp r8, rdx ; unsigned: below only if `to` lies inside the source
    jb .backwards
    rep movsb
    ret
.backwards:
    lea rdi, [rdi + rdx - 1]
    lea rsi, [rsi + rdx - 1]
    std
    rep movsb
    cld
    ret

; void *memset(void *to, int byte, size_t count)
memset:
    mov r8, rdi
    mov eax, esi
    mov rcx, rdx
    rep stosb
    mov rax, r8
    ret

; int memcmp(const void *left, const void *right, size_t count)
memcmp:
    mov rcx, rdx
    xor eax, eax
    cmp rcx, rcx ; an empty comparison is equal
    repe cmpsb
    je .equal
    movzx eax, byte [rdi - 1]
    movzx ecx, byte [rsi - 1]
    sub eax, ecx
.equal:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
