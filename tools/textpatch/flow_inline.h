/* SPDX-License-Identifier: MIT */
/*
 * Inline assembler: what it has done to rsp and rbp beside what .eh_frame says, and where it keeps them meanwhile.
 *
 * Calls
 *   carry_inline()   over an instruction, or along a branch
 *   join_inline()    where two ways meet
 *   apply_inline()   to what .eh_frame says
 *
 * How it works
 *   Pushes and pops are counted. What else is done to rsp (`mov top, %rsp`, to run on another stack) loses it, until it is
 *   loaded from where it had been copied to: a register, or a word of memory whose address is a register's value plus a
 *   number. The same goes for rbp. Copies in registers that a called function may change are forgotten at a call.
 *
 * Edge cases
 *   - What is loaded from where no copy is known to be doesn't bring it back: the rest of the function is undefined then.
 *   - Where .eh_frame says that the frame or rbp's place is another, the compiler has spoken: all of this is over.
 */
#ifndef TOOL_FLOW_INLINE_H
#define TOOL_FLOW_INLINE_H

#include "flow_state.h"

/* A word of memory; base: 0 none, else a general register's number + 1, or WORD_ABSOLUTE. */
struct kept_word {
    uint8_t base;
    int32_t extra; /* of a copy of rsp */
    int64_t at;
};

struct inline_state {
    bool is_followed; /* by flow_frames.c */
    bool is_told;
    bool sp_is_lost, bp_is_lost;
    int32_t extra; /* bytes on the stack beside what .eh_frame says */
    uint16_t sp_copies, bp_copies; /* registers, a bit each */
    int32_t sp_copies_extra;
    struct kept_word sp_word, bp_word;
};

/* False: .eh_frame says otherwise than the instruction does, so this line isn't followed on. insn NULL: a branch. */
bool carry_inline(struct inline_state *state, const struct orc_state *before, const struct orc_state *after,
                  const struct tp_insn *insn, const uint8_t *bytes, uint64_t address);

enum join_result { JOIN_SAME, JOIN_CHANGED, JOIN_CONFLICT };

enum join_result join_inline(struct inline_state *known, const struct inline_state *other);

void apply_inline(const struct inline_state *state, struct orc_state *frame);

#endif
