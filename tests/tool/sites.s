# SPDX-License-Identifier: MIT
# Calls of a static call in all ways that there are. After the first link only `sites` knows of them.
    .text
    .type caller, @function
caller:
    call trampoline                 # a site: call
    .byte 0x2e                      # a site of 6 bytes
    call trampoline
    .byte 0xf2                      # a prefix that no site can have
    call trampoline
    jne trampoline                  # a site: jcc, condition 5
    lea trampoline(%rip), %rax      # an address that is taken
    call *%rax
    call other
    jmp trampoline                  # a site: jmp
    .size caller, . - caller
    .type excepted, @function
excepted:
    call trampoline                 # a site, unless it is excepted
    ret
    .size excepted, . - excepted
    .type other, @function
other: ret
    .size other, . - other
    .section .text.trampolines, "ax", @progbits
    .type trampoline, @function
    .balign 8, 0xcc
    .globl trampoline
trampoline: jmp *pick(%rip)
end: .byte 0xcc, 0xcc
    .size trampoline, . - trampoline

    .section .textpatch.sites, "aw", @progbits
    .long trampoline - ., pick - ., 0
    .byte end - trampoline, 1 << 4 | 4
    .short 1
    .section .textpatch.keys, "aw", @progbits
    .long pick - ., name - .
    .short 2, 0
    .long 0
    .quad 0, 0
    .section .textpatch.names, "aw", @progbits
name: .asciz "pick"
    .data
    .balign 8
    .globl pick
pick: .quad other
    .quad trampoline                # another address
    .section .note.GNU-stack, "", @progbits
