/* SPDX-License-Identifier: MIT */
#include "step_forms.h"

enum step_form step_form_at(const struct tp_regs *regs) {
    switch (foreseen_kind()) {
    case TP_INSN_CALL_INDIRECT:
    case TP_INSN_JMP_INDIRECT: return STEP_INDIRECT;
    case TP_INSN_CALL_RELATIVE: return STEP_CALL;
    case TP_INSN_JMP_RELATIVE: return STEP_JMP;
    case TP_INSN_JCC_RELATIVE: return STEP_JCC;
    case TP_INSN_RET: return STEP_RET;
    case TP_INSN_NOP: return STEP_NOP;
    case TP_INSN_INT3: return STEP_INT3;
    default: return *(const volatile uint8_t *)regs->rip == 0xcc ? STEP_INT3 : STEP_INLINE;
    }
}

const char *step_form_text(enum step_form form) {
    static const char *const texts[STEP_FORMS] = {"an indirect call or jump", "call", "jmp", "jcc", "NOP", "ret", "int3",
                                                  "an inline form"};
    return texts[form];
}

void hide_step_flag(const struct tp_regs *regs, enum tp_insn_kind last) {
    uint64_t *words = (uint64_t *)regs->rsp;
    if (last == TP_INSN_PUSHF)
        words[0] &= ~(uint64_t)STEP_FLAG;
    if (foreseen_kind() == TP_INSN_POPF)
        words[0] |= STEP_FLAG;
}
