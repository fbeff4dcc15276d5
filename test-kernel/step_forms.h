/* SPDX-License-Identifier: MIT */
/*
 * What single steps have in common, whoever takes the traps: the trap flag, and what the instruction that was foreseen
 * (shadow.h) is to a site.
 */
#ifndef STEP_FORMS_H
#define STEP_FORMS_H

#include "shadow.h"

enum { STEP_FLAG = 1 << 8 }; /* TF: Intel SDM vol. 1 section 3.4.3.3 */

/* What a site may hold, by its first instruction. */
enum step_form { STEP_INDIRECT, STEP_CALL, STEP_JMP, STEP_JCC, STEP_NOP, STEP_RET, STEP_INT3, STEP_INLINE, STEP_FORMS };

enum step_form step_form_at(const struct tp_regs *regs);
const char *step_form_text(enum step_form form);

/* Flags that the last instruction stored, or the next one loads by popf: for the code there is no TF. */
void hide_step_flag(const struct tp_regs *regs, enum tp_insn_kind last);

/* In its caller, whose frame is where stepping begins. */
static inline __attribute__((always_inline)) void set_step_flag(void) {
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq; nop" : : "i"(STEP_FLAG) : "memory", "cc");
}

#endif
