; SPDX-License-Identifier: MIT
; The ops of a Xen PV guest (textpatch/ops.h). A PV kernel runs at CPL 3: its interrupt flag is a byte that Xen looks
; at, and what the flag's instructions would do is done by hypercalls.
;
; A hypercall changes rax and the registers that hold its arguments, no others (xen/arch-x86/xen-x86_64.h,
; "Hypercall interface"): rdi, rsi, rdx, r10. Those are kept here, since all ops are callee-save.

%include "textpatch/textpatch.inc"
%include "textpatch/hints.inc"

section .note.GNU-stack noalloc noexec nowrite progbits

extern tp_xen_hypercall_page
extern tp_xen_vcpu_info

; struct vcpu_info (xen/xen.h), as seen through %gs
%define VCPU_UPCALL_PENDING gs:tp_xen_vcpu_info
%define VCPU_UPCALL_MASK gs:tp_xen_vcpu_info + 1
%define VCPU_CR2 gs:tp_xen_vcpu_info + 16

RFLAGS_IF equ 0x200

HYPERVISOR_XEN_VERSION equ 17
HYPERVISOR_IRET equ 23
HYPERVISOR_SET_SEGMENT_BASE equ 25
HYPERVISOR_MMUEXT_OP equ 26
HYPERVISOR_SCHED_OP equ 29
SEGBASE_GS_USER_SEL equ 3
SCHEDOP_YIELD equ 0
SCHEDOP_BLOCK equ 1
SCHEDOP_POLL equ 3
MMUEXT_NEW_BASEPTR equ 5
MMUEXT_FLUSH_CACHE equ 12
DOMID_SELF equ 0x7ff0

; Each hypercall's entry in the page is 32 bytes long.
%define HYPERCALL(number) tp_xen_hypercall_page + (number) * 32

section .text
bits 64
default rel

; unsigned long tp_xen_pv_save_fl(void)      65 0f b6 04 25 xx xx xx xx 34 01 c1 e0 09
; The mask is 1 where the flag would be 0.
TP_PATCHLET_FUNCTION tp_xen_pv_save_fl, tp_xen_pv_patchlet_save_fl, \
    {movzx eax, byte [VCPU_UPCALL_MASK]}, {xor al, 1}, {shl eax, 9}

; void tp_xen_pv_irq_disable(void)           65 c6 04 25 xx xx xx xx 01
TP_PATCHLET_FUNCTION tp_xen_pv_irq_disable, tp_xen_pv_patchlet_irq_disable, \
    {mov byte [VCPU_UPCALL_MASK], 1}

; unsigned long tp_xen_pv_read_cr2(void)     65 48 8b 04 25 xx xx xx xx
; Xen stores the faulting address there with each page fault it passes on.
TP_PATCHLET_FUNCTION tp_xen_pv_read_cr2, tp_xen_pv_patchlet_read_cr2, \
    {mov rax, [VCPU_CR2]}

; void tp_xen_pv_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]), C ABI
; The five bytes in front have Xen emulate the instruction by the guest's policy (xen/arch-x86/xen.h, XEN_EMULATE_PREFIX).
global tp_xen_pv_cpuid:function hidden
tp_xen_pv_cpuid:
    push rbx
    mov r8, rdx
    mov eax, edi
    mov ecx, esi
    ud2
    db "xen"
    cpuid
    mov [r8], eax
    mov [r8 + 4], ebx
    mov [r8 + 8], ecx
    mov [r8 + 12], edx
    pop rbx
    ret

; void tp_xen_pv_restore_fl(unsigned long flags)
;   0f ba e7 09 72 0a 65 c6 04 25 xx xx xx xx 01 c3, then tp_xen_pv_irq_enable
global tp_xen_pv_restore_fl:function hidden (tp_xen_pv_restore_fl.end - tp_xen_pv_restore_fl)
align 16, int3
tp_xen_pv_restore_fl:
    bt edi, 9                     ; RFLAGS_IF
    jc tp_xen_pv_irq_enable
    mov byte [VCPU_UPCALL_MASK], 1
    ret
.end:

; void tp_xen_pv_irq_enable(void)
; Clearing the mask delivers nothing: an event that came while it was set is delivered when Xen next returns to the
; guest, so where one is pending a hypercall is made that does nothing else. In this order: an event that comes
; after the test finds the mask clear, and one before it is seen by the test.
;   65 c6 04 25 xx xx xx xx 00 65 80 3c 25 xx xx xx xx 00 75 01 c3
;   57 56 31 ff 31 f6 e8 xx xx xx xx 5e 5f c3
global tp_xen_pv_irq_enable:function hidden (tp_xen_pv_irq_enable.end - tp_xen_pv_irq_enable)
align 16, int3
tp_xen_pv_irq_enable:
    mov byte [VCPU_UPCALL_MASK], 0
    cmp byte [VCPU_UPCALL_PENDING], 0
    jne .deliver
    ret
.deliver:
    push rdi
    push rsi
    xor edi, edi                  ; XENVER_version
    xor esi, esi
    call HYPERCALL(HYPERVISOR_XEN_VERSION)
    pop rsi
    pop rdi
    ret
.end:

; void tp_xen_pv_safe_halt(void)
; SCHEDOP_block clears the mask itself, and returns at once if an event is pending (xen/sched.h).
;   57 56 bf 01 00 00 00 31 f6 e8 xx xx xx xx 5e 5f c3
global tp_xen_pv_safe_halt:function hidden (tp_xen_pv_safe_halt.end - tp_xen_pv_safe_halt)
align 16, int3
tp_xen_pv_safe_halt:
    push rdi
    push rsi
    mov edi, SCHEDOP_BLOCK
    xor esi, esi
    call HYPERCALL(HYPERVISOR_SCHED_OP)
    pop rsi
    pop rdi
    ret
.end:

; void tp_xen_pv_halt(void)
; With the mask set, only SCHEDOP_poll sleeps and leaves it so; on no ports and without a time-out it ends at any
; event, and hlt with interrupts off does not: hence the loop.
;   65 80 3c 25 xx xx xx xx 00 74 xx 6a 00 6a 00 6a 00 bf 03 00 00 00 48 89 e6 e8 xx xx xx xx eb f1
global tp_xen_pv_halt:function hidden (tp_xen_pv_halt.end - tp_xen_pv_halt)
align 16, int3
tp_xen_pv_halt:
    cmp byte [VCPU_UPCALL_MASK], 0
    je tp_xen_pv_safe_halt
    push 0                        ; struct sched_poll: timeout
    push 0                        ; nr_ports
    push 0                        ; ports
.sleep:
    mov edi, SCHEDOP_POLL
    mov rsi, rsp
    call HYPERCALL(HYPERVISOR_SCHED_OP)
    jmp .sleep
.end:

; void tp_xen_pv_wait(void)
;   57 56 31 ff 31 f6 e8 xx xx xx xx 5e 5f c3
global tp_xen_pv_wait:function hidden (tp_xen_pv_wait.end - tp_xen_pv_wait)
align 16, int3
tp_xen_pv_wait:
    push rdi
    push rsi
    xor edi, edi                  ; SCHEDOP_yield
    xor esi, esi
    call HYPERCALL(HYPERVISOR_SCHED_OP)
    pop rsi
    pop rdi
    ret
.end:

; One MMUEXT operation, its command in eax and its frame in rdi; Xen's answer in rax.
;   56 52 41 52 57 6a 00 57 50 48 89 e7 be 01 00 00 00 31 d2 41 ba f0 7f 00 00 e8 xx xx xx xx
;   48 83 c4 18 5f 41 5a 5a 5e c3
align 16, int3
mmuext_operation:
    push rsi
    push rdx
    push r10
    push rdi
    push 0                        ; struct mmuext_op: arg2
    push rdi                      ; arg1.mfn
    push rax                      ; cmd
    mov rdi, rsp
    mov esi, 1                    ; operations
    xor edx, edx                  ; no count of those done
    mov r10d, DOMID_SELF
    call HYPERCALL(HYPERVISOR_MMUEXT_OP)
    add rsp, 24
    pop rdi
    pop r10
    pop rdx
    pop rsi
    ret

; void tp_xen_pv_wbinvd(void)
; Xen refuses a domain that has no device: its memory is never uncached, so nothing was to be flushed.
;   b8 0c 00 00 00 eb xx
global tp_xen_pv_wbinvd:function hidden (tp_xen_pv_wbinvd.end - tp_xen_pv_wbinvd)
align 16, int3
tp_xen_pv_wbinvd:
    mov eax, MMUEXT_FLUSH_CACHE
    jmp mmuext_operation
.end:

; void tp_xen_pv_write_cr3(unsigned long value)
; A kernel can't go on with page tables that it doesn't have: natively it would not have come back either.
;   57 48 c1 ef 0c b8 05 00 00 00 e8 xx xx xx xx 5f 85 c0 75 01 c3 0f 0b
global tp_xen_pv_write_cr3:function hidden (tp_xen_pv_write_cr3.end - tp_xen_pv_write_cr3)
align 16, int3
tp_xen_pv_write_cr3:
    push rdi
    shr rdi, 12
    mov eax, MMUEXT_NEW_BASEPTR
    call mmuext_operation
    pop rdi
    test eax, eax
    jnz .refused
    ret
.refused:
    ud2
.end:

; Jumped to, rsp at rip, cs, rflags, rsp, ss. The page's own code pushes rcx, r11 and rax on top of the flags of
; the call, which makes struct iret_context (xen/arch-x86/xen-x86_64.h). Xen sets the mask from the frame's IF.
;   6a 00 e9 xx xx xx xx
global tp_xen_pv_iret:function hidden (tp_xen_pv_iret.end - tp_xen_pv_iret)
align 16, int3
tp_xen_pv_iret:
    TP_HINT_WORDS 0
    push 0
    jmp HYPERCALL(HYPERVISOR_IRET)
.end:

; Jumped to, rsp at rip, cs, rflags, rsp, ss, with rcx = rip and r11 = rflags. Nothing runs here with the user's stack: an
; event that Xen delivered then would go to memory that the program has chosen. VGCF_in_syscall, which has Xen return by
; sysret, is not asked for: Xen then leaves rcx and r11 as the hypercall has made them, and only sysret itself mends that.
; Where an event or an NMI is pending it comes first, and the program finds an address of the kernel in rcx afterwards.
;   6a 00 e9 xx xx xx xx
global tp_xen_pv_usergs_sysret64:function hidden (tp_xen_pv_usergs_sysret64.end - tp_xen_pv_usergs_sysret64)
align 16, int3
tp_xen_pv_usergs_sysret64:
    TP_HINT_WORDS 0
    push 0
    jmp HYPERCALL(HYPERVISOR_IRET)
.end:

; void tp_xen_pv_load_gs(unsigned selector)
; Xen loads 0 instead of a selector that the CPU refuses (xen/arch-x86/xen-x86_64.h, SEGBASE_GS_USER_SEL).
;   57 56 89 fe bf 03 00 00 00 e8 xx xx xx xx 5e 5f c3
global tp_xen_pv_load_gs:function hidden (tp_xen_pv_load_gs.end - tp_xen_pv_load_gs)
align 16, int3
tp_xen_pv_load_gs:
    push rdi
    push rsi
    mov esi, edi
    mov edi, SEGBASE_GS_USER_SEL
    call HYPERCALL(HYPERVISOR_SET_SEGMENT_BASE)
    pop rsi
    pop rdi
    ret
.end:
