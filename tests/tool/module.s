# SPDX-License-Identifier: MIT
# A module for the kernel of sites.s: calls of the kernel's static call, and of one of its own.
    .text
    .type first, @function
    .globl first
first:
    call trampoline                 # a site: call, of the kernel's
    call own_trampoline             # a site: call, of the module's
    lea trampoline(%rip), %rax      # an address that is taken
    call *%rax
    je trampoline                   # a site: jcc, condition 4
    jmp trampoline                  # a site: jmp
    .size first, . - first
    .type excepted, @function
excepted:
    push %rbx
    call trampoline                 # a site, unless it is excepted
    pop %rbx
    ret
    .size excepted, . - excepted
    .type own_target, @function
own_target: ret
    .size own_target, . - own_target
    .section .text.trampolines, "ax", @progbits
    .type own_trampoline, @function
    .balign 8, 0xcc
own_trampoline: jmp *own_pick(%rip)
own_end: .byte 0xcc, 0xcc
    .size own_trampoline, . - own_trampoline

    .section .textpatch.sites, "aw", @progbits
    .long own_trampoline - ., own_pick - ., 0
    .byte own_end - own_trampoline, 1 << 4 | 4
    .short 1
    .section .textpatch.keys, "aw", @progbits
    .long own_pick - ., name - .
    .short 2, 0
    .long 0
    .quad 0, 0
    .section .textpatch.names, "aw", @progbits
name: .asciz "own_pick"
    .data
    .balign 8
    .globl own_pick
own_pick: .quad own_target
    .section .note.GNU-stack, "", @progbits
