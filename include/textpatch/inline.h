/* SPDX-License-Identifier: MIT */
/*
 * textpatch/inline.h: functions that have an inline form.
 *
 * What it is for
 *   `native_save_fl` does no more than `pushf; pop %rax`. Registered as that function's inline form, the two
 *   instructions take the place of every op call and static call of it, wherever the site is long enough.
 *
 * The calls
 *   TP_INLINES(name) { TP_INLINE(function, patchlet); … }   registers inline forms, in any C file
 *   TP_PATCHLET … TP_PATCHLET_END in NASM (textpatch.inc)    writes a patchlet; TP_INLINE there registers it
 *   The library's own patchlets are declared below.
 *
 * Example
 *   TP_INLINES(kernel) { TP_INLINE(kernel_read_pmu, kernel_patchlet_rdpmc); }   with, in NASM,
 *   TP_PATCHLET kernel_patchlet_rdpmc
 *       mov ecx, edi
 *       rdpmc
 *   TP_PATCHLET_END
 *
 * How it works
 *   A patchlet is a run of instructions between the labels `name` and `name_end`; its length and its instruction
 *   boundaries come from there. An empty patchlet (start = end) makes calls of the function vanish into NOPs.
 *   A single instruction is padded to the site's length with CS prefixes, so that the site stays one instruction;
 *   anything else is followed by one NOP. At most one operand may be relative to the instruction pointer.
 *
 * Edge cases
 *   - An inline form must change no more registers than the ABI of the slots that its function is put into allows.
 *   - Two registrations of one function, in whatever images, a patchlet that is no run of whole instructions, or one
 *     that does not lie in .textpatch.replacements: TP_ERR_BAD_INLINE.
 */
#ifndef TEXTPATCH_INLINE_H
#define TEXTPATCH_INLINE_H

#include <textpatch/record.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `patchlet` is declared by TP_DECLARE_PATCHLET. */
#define TP_INLINES(name) TP_TABLE_FUNCTION(tp_inlines_##name)
#define TP_INLINE(function, patchlet)                                                                          \
    __asm__ volatile(".pushsection .textpatch.inlines,\"aw\",@progbits\n\t"                                     \
                     ".balign 4\n\t.long %c0 - ., %c1 - ., %c2 - .\n\t.popsection\n\t"                          \
                     :                                                                                         \
                     : "i"(function), "i"(&(patchlet)[0]), "i"(&(patchlet##_end)[0]))

#define TP_DECLARE_PATCHLET(name)                                                                              \
    extern const unsigned char name[] __attribute__((visibility("hidden")));                                   \
    extern const unsigned char name##_end[] __attribute__((visibility("hidden")))

/* The standard set, asm/patchlets.asm. */
TP_DECLARE_PATCHLET(tp_patchlet_nop);            /* nothing */
TP_DECLARE_PATCHLET(tp_patchlet_ret0);           /* xor eax, eax */
TP_DECLARE_PATCHLET(tp_patchlet_mov64);          /* mov rax, rdi */
TP_DECLARE_PATCHLET(tp_patchlet_irq_disable);    /* cli */
TP_DECLARE_PATCHLET(tp_patchlet_irq_enable);     /* sti */
TP_DECLARE_PATCHLET(tp_patchlet_save_fl);        /* pushf; pop rax */
TP_DECLARE_PATCHLET(tp_patchlet_restore_fl);     /* push rdi; popf */
TP_DECLARE_PATCHLET(tp_patchlet_read_cr2);       /* mov rax, cr2 */
TP_DECLARE_PATCHLET(tp_patchlet_read_cr3);       /* mov rax, cr3 */
TP_DECLARE_PATCHLET(tp_patchlet_write_cr3);      /* mov cr3, rdi */
TP_DECLARE_PATCHLET(tp_patchlet_wbinvd);         /* wbinvd */
TP_DECLARE_PATCHLET(tp_patchlet_swapgs);         /* swapgs */
TP_DECLARE_PATCHLET(tp_patchlet_usergs_sysret64); /* swapgs; sysretq */
TP_DECLARE_PATCHLET(tp_patchlet_iret);           /* iretq */
TP_DECLARE_PATCHLET(tp_patchlet_unlock);         /* mov byte [rdi], 0 */
TP_DECLARE_PATCHLET(tp_patchlet_pause);          /* pause */
TP_DECLARE_PATCHLET(tp_patchlet_safe_halt);      /* sti; hlt */
TP_DECLARE_PATCHLET(tp_patchlet_halt);           /* hlt */

/* Functions whose inline forms are registered by the library; each keeps all registers but rax. */
void tp_nop_function(void) __attribute__((visibility("hidden")));                  /* does nothing */
unsigned long tp_return0(void) __attribute__((visibility("hidden")));              /* returns 0 */
unsigned long tp_identity64(unsigned long) __attribute__((visibility("hidden"))); /* returns its argument */

#ifdef __cplusplus
}
#endif
#endif
