/* SPDX-License-Identifier: MIT */
/*
 * What one instruction does to a state: where the frame is, counted from the registers, and where rbp is.
 */
#ifndef TOOL_FLOW_STATE_H
#define TOOL_FLOW_STATE_H

#include "orc.h"

#include "../../lib/insn/decode.h"

/* An instruction in the text or in a form; false if there is none. */
bool decode_at(const uint8_t *bytes, uint64_t size, struct tp_insn *insn);

/* The same in code that runs at an address: a call of the next instruction is a push there. */
bool decode_code(const uint8_t *bytes, uint64_t size, uint64_t address, struct tp_insn *insn);

/* Code of the text up to its section's end; NULL: there is none. */
const uint8_t *code_at(const struct orc_text *text, uint64_t address, uint64_t *size);

static inline bool is_call(const struct tp_insn *insn) {
    return insn->kind == TP_INSN_CALL_RELATIVE || insn->kind == TP_INSN_CALL_INDIRECT;
}

/* Within a function, and to what may be another one. */
static inline bool is_branch(const struct tp_insn *insn) {
    return insn->kind == TP_INSN_JMP_RELATIVE || insn->kind == TP_INSN_JCC_RELATIVE || insn->kind == TP_INSN_LOOP;
}

/* A function that was called, by its distance from rsp. */
static inline bool is_call_at_rsp(const struct orc_state *state) {
    return (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP && (state->type & TP_ORC_TYPE) == TP_ORC_CALL;
}

/* `bytes` are the instruction's. What can't be followed becomes TP_ORC_UNDEFINED. */
void step_state(struct orc_state *state, const struct tp_insn *insn, const uint8_t *bytes);

#endif
