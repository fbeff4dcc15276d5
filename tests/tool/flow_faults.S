/* SPDX-License-Identifier: MIT */
/* A kernel with one fault, by number: flow_test.c has the messages. */
#include "flow_macros.h"

#define FAULT_DEEP_RETURN 1
#define FAULT_LOST_BP 2
#define FAULT_TAKES_RETURN_ADDRESS 3
#define FAULT_CALLED_AND_REACHED 4
#define FAULT_WRONG_HINT 5
#define FAULT_UNBALANCED_INLINE 6
#define FAULT_JUMP_IN_FORM 7
#define FAULT_LEAVING_FORM 8
#define FAULT_WAY_TO_COMPILED 9
#define FAULT_NO_FRAMES 10

    .text
    begin compiled
    .cfi_startproc
    ret
    .cfi_endproc
    end compiled

    begin faulty
.if FAULT == FAULT_DEEP_RETURN
    push %rbx
    call compiled
    ret
.elseif FAULT == FAULT_LOST_BP
    xor %ebp, %ebp
    ret
.elseif FAULT == FAULT_TAKES_RETURN_ADDRESS
    pop %rax
    jmp *%rax
.elseif FAULT == FAULT_CALLED_AND_REACHED
    push %rbx
called_too:
    call compiled
    pop %rbx
    ret
.elseif FAULT == FAULT_WRONG_HINT
    push %rbx
    push %r12
    hint 16, ORC_CALL
    call compiled
    ud2
.elseif FAULT == FAULT_UNBALANCED_INLINE
    .cfi_startproc
    test %edi, %edi
    jz 1f
    pushf
1:  call compiled
    ud2
    .cfi_endproc
.elseif FAULT == FAULT_JUMP_IN_FORM
    .cfi_startproc
    TP_ALTERNATIVE "nop; nop; nop; nop; nop; nop", "jmp 1f; nop; 1: pushf; pop %rax; nop", TP_FEATURE_KERNEL(0)
    ret
    .cfi_endproc
.elseif FAULT == FAULT_LEAVING_FORM
    .cfi_startproc
    TP_ALTERNATIVE "{disp32} jmp 9f", "push %rax; jz 9f; pop %rax", TP_FEATURE_KERNEL(0)
    ret
9:  ret
    .cfi_endproc
.elseif FAULT == FAULT_WAY_TO_COMPILED
    push %rbx
    jmp compiled
.else
    ret
.endif
    end faulty

    begin other
.if FAULT == FAULT_CALLED_AND_REACHED
    call called_too
.endif
    TP_OP_CALL 6, slot
    ret
    end other

.if FAULT == FAULT_NO_FRAMES
    .file "compiled.c"
    .type undescribed, @function
undescribed:
    nop
    ret
    end undescribed
.endif

    .data
    .balign 8
slot: .quad compiled
    TP_OP_KEY slot, "slot"
    .section .note.GNU-stack, "", @progbits
