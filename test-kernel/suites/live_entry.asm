; SPDX-License-Identifier: MIT
; #BP, on its way to the entry that is tried: what an emulator needs, and no CPU (live_port.h).
;
; An int3 that was hit, and isn't in memory any more, may have been hit in a stale translation of it. The entry will
; resume at the site, and with interrupts off the CPU would be there for ever: no sync gets through. So the byte is
; stored once more, which drops the translation: as a locked `or` of nothing, since the patching CPU may be about to
; write there.

%include "textpatch/hints.inc"

bits 64
default rel

extern text_start
extern text_end
extern live_entry_target
extern live_text_alias
extern live_stale_hits
global live_entry:function hidden
global live_entry_xen_pv:function hidden

BREAKPOINT_BYTE equ 0xcc

section .text

%macro pass_on 1                  ; where rip is in the frame, in bytes
    TP_HINT_TRAP_WORDS %1
    push rax
    push rcx
    mov rax, [rsp + 16 + %1]
    dec rax
    cmp byte [rax], BREAKPOINT_BYTE
    je %%pass
    lock inc qword [live_stale_hits]
    lea rcx, [text_start]
    cmp rax, rcx
    jb %%store                    ; text of a module, which this kernel has in its data
    lea rcx, [text_end]
    cmp rax, rcx
    jae %%store
    add rax, [live_text_alias]
%%store:
    lock or byte [rax], 0
%%pass:
    pop rcx
    pop rax
    jmp [live_entry_target]
%endmacro

align 16, int3
live_entry:
    pass_on 0

; rcx and r11 lie below Xen's frame.
align 16, int3
live_entry_xen_pv:
    pass_on 16

section .note.GNU-stack noalloc noexec nowrite progbits
