/* SPDX-License-Identifier: MIT */
/*
 * What the flow through assembler has found, held against what it must have come to: a function returns with its return
 * address at rsp and rbp in place, so a push without its pop, or a jump to the wrong place, is told, and no wrong table made.
 *
 * Edge cases
 *   - An instruction with a hint in front of it does what it does on purpose: it is not judged. Nor is one that takes the
 *     return address away, with a hint behind it.
 *   - Nothing is asked of code whose state isn't known.
 */
#include "flow_state.h"
#include "report.h"

static bool is_known(const struct orc_state *state) {
    return (state->type & TP_ORC_TYPE) >= TP_ORC_CALL;
}

static bool is_at_return_address(const struct orc_state *state) {
    return is_call_at_rsp(state) && state->sp_offset == called_state.sp_offset;
}

static bool has_callers_bp(const struct orc_state *state) {
    return (state->registers & TP_ORC_BP) == TP_ORC_BP_SAME || state->bp_is_kept;
}

static void check_return(const struct orc_text *text, uint64_t address, const struct orc_state *state) {
    if (is_known(state) && (!is_at_return_address(state) || !has_callers_bp(state)))
        complain("%s: this returns with %s, not with a call, frame at rsp+8, rbp in place; a hint in front of it must say so "
                 "if that is meant (textpatch/hints.inc)",
                 describe_address(text->kernel, address), describe_state(state));
}

static void check_pop(const struct orc_text *text, uint64_t address, const struct tp_insn *insn,
                      const struct orc_state *before, const struct orc_state *after) {
    bool moves = (insn->flags & TP_INSN_STACK_CHANGES) && (insn->flags & TP_INSN_STACK_KNOWN) &&
                 !(insn->flags & TP_INSN_ENDS_FLOW);
    uint64_t next = address + insn->length;
    if (moves && is_call_at_rsp(before) && after->type == TP_ORC_UNDEFINED &&
        !(lies_in_text(text, next) && has_mark(text, next, MARK_HINT)))
        complain("%s: this takes the return address off the stack (%s); a hint behind it must say what holds then if that is "
                 "meant (textpatch/hints.inc)",
                 describe_address(text->kernel, address), describe_state(before));
}

/* To the compiler's code: .eh_frame knows how deep the stack is there. */
static void check_way(const struct orc_text *text, uint64_t from, uint64_t to, const struct orc_state *state) {
    if (!lies_in_text(text, to) || !has_mark(text, to, MARK_FRAME) || !is_call_at_rsp(state))
        return;
    struct orc_state there = state_at(text, to);
    const char *place = describe_address(text->kernel, from);
    if (is_call_at_rsp(&there) && there.sp_offset != state->sp_offset)
        complain("%s: from here %s is reached with %s, where .eh_frame says %s", place,
                 describe_address(text->kernel, to), describe_state(state), describe_state(&there));
}

static void check_called(const struct orc_text *text, uint64_t address) {
    struct orc_state state = state_at(text, address);
    if (is_known(&state) && !is_at_return_address(&state))
        complain("%s: this is called, and otherwise reached with %s: a hint must say which holds (textpatch/hints.inc); if the "
                 "call in front of it doesn't return, it wants to be a function (%s:function)",
                 describe_address(text->kernel, address), describe_state(&state), name_address(text->kernel, address));
}

static void check_instruction(const struct orc_text *text, uint64_t address) {
    uint64_t size;
    const uint8_t *bytes = code_at(text, address, &size);
    struct orc_state state = state_at(text, address), after = state;
    struct tp_insn insn;
    if (!bytes || !is_known(&state) || !decode_code(bytes, size, address, &insn))
        return;
    step_state(&after, &insn, bytes);
    if (insn.kind == TP_INSN_RET)
        check_return(text, address, &state);
    check_pop(text, address, &insn, &state, &after);
    if (is_branch(&insn))
        check_way(text, address, tp_insn_target(&insn, bytes, address), &state);
    if (!(insn.flags & TP_INSN_ENDS_FLOW) && insn.kind != TP_INSN_UD && !is_call(&insn))
        check_way(text, address, address + insn.length, &after);
}

void check_flow(const struct orc_text *text) {
    for (uint64_t at = text->start; at < text->end; at++) {
        if (!has_mark(text, at, MARK_BEGIN) || has_mark(text, at, MARK_FRAME) || has_mark(text, at, MARK_HINT))
            continue;
        if (has_mark(text, at, MARK_CALLED))
            check_called(text, at);
        check_instruction(text, at);
    }
}
