# SPDX-License-Identifier: MIT
# Data between instructions: jumped over, behind a return, behind a jump through a table. All are calls all the same.
    .text
    .type jumped_over, @function
jumped_over:
    jmp 1f
    .byte 0x48, 0xb8                # would swallow the call
1:  call trampoline
    jne 2f
    ret
    .byte 0xe8                      # would, too
2:  jne trampoline
    ret
    .size jumped_over, . - jumped_over
    .type cases, @function
cases:
    jmp *%rax
    call trampoline                 # a case: nothing says that it is reached
    ret
    .byte 0xde, 0xad, 0xbe, 0xef
    .size cases, . - cases
    .type swallowed, @function
swallowed:
    jmp *%rax
    .byte 0x48, 0xb8                # nothing leads behind it: left alone
    call trampoline
    ret
    .size swallowed, . - swallowed
    .type taken, @function
taken:
    movq $trampoline, %rax          # an address
    .byte 0x66                      # a prefix that no site can have
    call trampoline
    ret
    .size taken, . - taken
    .type ops, @function
ops:
    jmp 1f
    .byte 0x48, 0xb8
1:  call *op(%rip)                  # a site, by its own record
op_end:
    ret
    .size ops, . - ops
    .section .init.text, "ax", @progbits
    .type boot, @function
boot:
    call trampoline                 # a site, unless its section is excepted
    ret
    .size boot, . - boot
    .section .text.trampolines, "ax", @progbits
    .type trampoline, @function
    .balign 8, 0xcc
    .globl trampoline
trampoline: jmp *pick(%rip)
end: .byte 0xcc, 0xcc
    .size trampoline, . - trampoline
    .type other, @function
other: ret
    .size other, . - other

    .section .textpatch.sites, "aw", @progbits
    .long trampoline - ., pick - ., 0
    .byte end - trampoline, 1 << 4 | 4
    .short 1
    .long 1b - ., op - ., 0
    .byte op_end - 1b, 1 << 4 | 2
    .short 0
    .section .textpatch.keys, "aw", @progbits
    .long pick - ., name - .
    .short 2, 0
    .long 0
    .quad 0, 0
    .long op - ., op_name - .
    .short 1, 0
    .long 0
    .quad 0, 0
    .section .textpatch.names, "aw", @progbits
name: .asciz "pick"
op_name: .asciz "op"
    .data
    .balign 8
    .globl pick
pick: .quad other
    .globl op
op: .quad other
    .section .note.GNU-stack, "", @progbits
