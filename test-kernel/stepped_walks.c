/* SPDX-License-Identifier: MIT */
#include "stepped_walks.h"

#include "user.h"

enum { WORD = 8 };

static uintptr_t jumped_to; /* by the last instruction; 0 unless it is a jump */

static bool is_start(const struct tp_regs *regs, const struct step_plan *plan, unsigned number) {
    return plan->starts[number] && regs->rip == plan->starts[number] && regs->rip != jumped_to;
}

static void foresee_jump(const struct tp_regs *regs) {
    struct tp_insn insn;
    const uint8_t *at = (const uint8_t *)regs->rip;
    bool jumps = tp_insn_decode(at, text_end, &insn) == TP_OK && insn.kind == TP_INSN_JMP_RELATIVE;
    jumped_to = jumps ? tp_insn_target(&insn, at, regs->rip) : 0;
}

/* What was interrupted, unless it was user mode, had been called: from where to where is known by a walk. */
static void begin_at_words(const struct tp_regs *regs, unsigned offset) {
    const uint64_t *words = (const uint64_t *)(regs->rsp + offset);
    if ((words[1] & 3) == 0)
        begin_shadow(words[0], words[3], regs->rbp);
}

static void start(const struct tp_regs *regs, enum start_kind kind) {
    unsigned offset = kind == START_ENTRY_WITH_CODE ? WORD : 0;
    if (kind == START_SYSCALL) {
        shadow_syscall();
    } else if (kind == START_FUNCTION) {
        begin_shadow(regs->rip, regs->rsp, regs->rbp);
    } else {
        if (shadow_records() == 0)
            begin_at_words(regs, offset);
        shadow_entry(regs, offset, kind == START_BREAKPOINT);
    }
}

void walk_from_step(const struct tp_regs *regs, const struct step_plan *plan) {
    if (is_start(regs, plan, 0))
        start(regs, plan->kinds[0]);
    else if (is_start(regs, plan, 1))
        start(regs, plan->kinds[1]);
    else
        shadow_step(regs);
    foresee(regs);
    foresee_jump(regs);
    compare_walk(regs);
    compare_walk_from_here(regs);
}

void walk_from_nmi(const struct tp_regs *regs) {
    compare_walk(regs);
    compare_walk_from_here(regs);
}
