; SPDX-License-Identifier: MIT
; The standard set of patchlets (textpatch/inline.h), and the functions whose inline forms they are. Each function
; keeps every register but rax, so all of them fit callee-save slots.

%include "textpatch/textpatch.inc"
%include "textpatch/hints.inc"

section .note.GNU-stack noalloc noexec nowrite progbits

section .text
bits 64
default rel

; What any kernel may put into a slot.

; (nothing)
TP_PATCHLET_FUNCTION tp_nop_function, tp_patchlet_nop

; 31 c0
TP_PATCHLET_FUNCTION tp_return0, tp_patchlet_ret0, {xor eax, eax}

; 48 89 f8
TP_PATCHLET_FUNCTION tp_identity64, tp_patchlet_mov64, {mov rax, rdi}

; The bare machine's ops (textpatch/ops.h).

; 9c 58: the length is that of the flags image and rax, both 64 bits (Intel SDM vol. 2 PUSHF, POP)
TP_PATCHLET_FUNCTION tp_native_save_fl, tp_patchlet_save_fl, {pushfq}, {pop rax}

; 57 9d
TP_PATCHLET_FUNCTION tp_native_restore_fl, tp_patchlet_restore_fl, {push rdi}, {popfq}

; fa
TP_PATCHLET_FUNCTION tp_native_irq_disable, tp_patchlet_irq_disable, {cli}

; fb
TP_PATCHLET_FUNCTION tp_native_irq_enable, tp_patchlet_irq_enable, {sti}

; fb f4: interrupts stay blocked until after hlt has begun (Intel SDM vol. 2 STI), so none is slept through
TP_PATCHLET_FUNCTION tp_native_safe_halt, tp_patchlet_safe_halt, {sti}, {hlt}

; f4
TP_PATCHLET_FUNCTION tp_native_halt, tp_patchlet_halt, {hlt}

; 0f 09
TP_PATCHLET_FUNCTION tp_native_wbinvd, tp_patchlet_wbinvd, {wbinvd}

; 0f 01 f8
TP_PATCHLET_FUNCTION tp_native_swapgs, tp_patchlet_swapgs, {swapgs}

; 48 8b 64 24 18 0f 01 f8 48 0f 07: the stack is given up last but two, and nothing is pushed behind that
TP_PATCHLET_FUNCTION tp_native_usergs_sysret64, tp_patchlet_usergs_sysret64, \
    {mov rsp, [rsp + 3 * 8]}, {swapgs}, {o64 sysret}
TP_HINT_WORDS_OF tp_native_usergs_sysret64, 0

; 48 cf
TP_PATCHLET_FUNCTION tp_native_iret, tp_patchlet_iret, {iretq}
TP_HINT_WORDS_OF tp_native_iret, 0

; void tp_native_load_gs(unsigned selector)
; Loads the selector where user mode's GS is active: the base that comes with it is user mode's, and the kernel's is
; left alone. A selector that the CPU refuses faults with that GS active (Intel SDM vol. 2 MOV): TP_ENTER's mender
; (textpatch/entry.inc) knows the instruction, puts the kernel's GS back and resumes at tp_native_load_gs_failed.
;   9c fa 0f 01 f8 8e ef 0f 01 f8 9d c3
;   0f 01 f8 31 c0 8e e8 eb f3
global tp_native_load_gs:function hidden (tp_native_load_gs_end - tp_native_load_gs)
global tp_native_load_gs_at:function hidden
global tp_native_load_gs_failed:function hidden
align 16, int3
tp_native_load_gs:
    pushfq
    cli
    swapgs
tp_native_load_gs_at:
    mov gs, edi
tp_native_load_gs_done:
    swapgs
    popfq
    ret
tp_native_load_gs_failed:
    TP_HINT_CALL 16
    swapgs
    xor eax, eax
    mov gs, eax
    jmp tp_native_load_gs_done
tp_native_load_gs_end:

; 0f 20 d0
TP_PATCHLET_FUNCTION tp_native_read_cr2, tp_patchlet_read_cr2, {mov rax, cr2}

; 0f 20 d8
TP_PATCHLET_FUNCTION tp_native_read_cr3, tp_patchlet_read_cr3, {mov rax, cr3}

; 0f 22 df
TP_PATCHLET_FUNCTION tp_native_write_cr3, tp_patchlet_write_cr3, {mov cr3, rdi}

; c6 07 00: a plain store releases, since stores are seen in order (Intel SDM vol. 3 section 9.2.2)
TP_PATCHLET_FUNCTION tp_native_unlock, tp_patchlet_unlock, {mov byte [rdi], 0}

; f3 90
TP_PATCHLET_FUNCTION tp_native_wait, tp_patchlet_pause, {pause}
