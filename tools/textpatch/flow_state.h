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

/* `bytes` are the instruction's. What can't be followed becomes TP_ORC_UNDEFINED. */
void step_state(struct orc_state *state, const struct tp_insn *insn, const uint8_t *bytes);

#endif
