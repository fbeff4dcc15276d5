; SPDX-License-Identifier: MIT
; Entries for the IDT's vector 3 (textpatch/live.h): a complete struct tp_regs (textpatch/regs.h),
; lib/commit/breakpoint.c to decide, and back. With or without a stack of their own (IST); from the kernel and from user
; mode.
;
; A call that is emulated pushes a return address 8 bytes below the interrupted rsp. Without IST, that is where the CPU
; has put its frame, unless the interrupted rsp was odd by 8: it aligns to 16 before it pushes (Intel SDM vol. 3 section
; 6.14.2). Two ways out of that, one entry for each.
;
; General registers are all that is saved: the library's C code uses no others. With an IST stack the entry must not be
; entered again before it has returned: whoever gives it one keeps int3 out of NMI handlers that may interrupt it.

%include "textpatch/entry.inc"

section .note.GNU-stack noalloc noexec nowrite progbits

global tp_breakpoint_entry:function hidden (tp_breakpoint_entry_end - tp_breakpoint_entry)
global tp_breakpoint_iret:function hidden
global tp_breakpoint_entry_copied:function hidden (tp_breakpoint_entry_copied.end - tp_breakpoint_entry_copied)

extern tp_breakpoint_dispatch
extern tp_breakpoint_dispatch_copied

%define VECTOR_BREAKPOINT 3

; Between the kernel's GS base and user mode's, where the frame at rsp is user mode's. The fence keeps a CPU that has
; guessed wrong from using the other base (Intel SDM vol. 2, LFENCE; the branch is what is guessed).
%macro swap_gs_of_user 0
    test byte [rsp + TP_REGS_CS], 3
    jz %%kernel
    swapgs
%%kernel:
    lfence
%endmacro

; For kernels with indirect-branch tracking, where an event's entry begins with it (Intel SDM vol. 1 section 17.3); NASM
; learnt endbr64 only in 2.15. To other CPUs it is a NOP.
%macro end_branch 0
    db 0xf3, 0x0f, 0x1e, 0xfa
%endmacro

section .text
bits 64
default rel

; tp_breakpoint_entry: a gap.
;
;   as interrupted       as the CPU leaves it     as C sees it
;                        (rsp was even by 16)
;   +0   canary          +0   canary              +0   canary
;                        -8   ss                  -8   free: here an emulated call pushes
;                        -16  rsp                 -16  free
;                        -24  rflags              -24  ss
;                        -32  cs                  -32  rsp
;                        -40  rip                 -40  rflags
;                                                 -48  cs
;                                                 -56  rip
;                                                 -64  error_code, vector, rax … r15
;                                                 -192 r15: rdi, and rsp at the call, which is even by 16
;
; On an IST stack, and from user mode, the gap is of no use and does no harm. An iret to user mode that fails is mended by
; the kernel's entry for its fault: TP_ENTER (textpatch/entry.inc) knows tp_breakpoint_iret.
;   f3 0f 1e fa 48 83 ec 10 50 48 8b 44 24 18 48 89 44 24 08 …
align 16, int3
tp_breakpoint_entry:
    TP_HINT_TRAP_WORDS 0
    end_branch
    TP_MAKE_GAP
    TP_VECTOR VECTOR_BREAKPOINT
    TP_PUSH_REGS
    swap_gs_of_user
    mov rdi, rsp
    call tp_breakpoint_dispatch
return:
    swap_gs_of_user
    TP_POP_REGS
tp_breakpoint_iret:
    iretq
tp_breakpoint_entry_end:

; tp_breakpoint_entry_copied: a copied frame.
;
;   as the CPU leaves it      as C sees it
;   +0   canary               +0   canary
;   -8   ss                   -8   ss: an emulated call pushes here, and the frame is lost
;   -16  rsp                  -16  rsp
;   -24  rflags               -24  rflags
;   -32  cs                   -32  cs
;   -40  rip                  -40  rip
;                             -48  error_code, vector, rax … r15
;                             -176 r15: rdi
;                             -184 ss  … the same once more, empty: what is resumed instead
;                             -352 r15: rsi, and rsp at the call, which is even by 16
;
; The C function returns which of the two is to be resumed. Nothing below the one that is resumed is needed any more.
;   f3 0f 1e fa 6a 00 6a 03 50 51 52 56 57 41 50 …
align 16, int3
tp_breakpoint_entry_copied:
    TP_HINT_TRAP_WORDS 0
    end_branch
    TP_VECTOR VECTOR_BREAKPOINT
    TP_PUSH_REGS
    swap_gs_of_user
    mov rdi, rsp
    TP_COPY_REGS
    mov rsi, rsp
    call tp_breakpoint_dispatch_copied
    mov rsp, rax
    TP_HINT_REGS 0
    jmp return
.end:
