/* SPDX-License-Identifier: MIT */
/*
 * Moving instructions to another address.
 *
 * What for
 *   A replacement is assembled in one place and runs in another. What it refers to relative to itself (branch
 *   targets, RIP-relative memory) must still be the same thing there.
 *
 * Calls
 *   tp_relocate()          make a copy of instructions right for its new address
 *   tp_needs_relocation()  ask whether moving would change anything
 *
 * Example
 *   copy(slot, replacement, length);
 *   status = tp_relocate(slot, length, (uintptr_t)replacement, site, &culprit);
 *
 * How it works
 *   Each PC-relative field (decode.h) points either into the block, which moves as a whole, so the field
 *   stays; or out of it, and then the field grows by `from - to`. All fields are checked before the first one
 *   is written.
 *
 * Edge cases
 *   - The end of the block counts as inside: a jump to the end goes on behind the block in its new place too.
 *   - Short jumps aren't made longer: one that no longer reaches is TP_ERR_OUT_OF_REACH.
 *   - TP_ERR_BAD_INSN if a field means different things to different vendors (66-prefixed branches), or if
 *     its target is cut to 32 bits (67-prefixed RIP-relative operands), as neither can be moved in good
 *     faith.
 *   - The bytes must be whole instructions, else TP_ERR_TRUNCATED_INSN.
 */
#ifndef TP_INSN_RELOCATE_H
#define TP_INSN_RELOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/status.h>

/* Which operand couldn't be moved. */
struct tp_relocate_culprit {
    unsigned offset;  /* of the PC-relative field, or of the instruction if that is at fault */
    int64_t distance; /* what the field would have to hold; 0 unless TP_ERR_OUT_OF_REACH */
};

/* `culprit` may be NULL. It is written only on an error, the bytes only if there is none. */
TP_MUST_CHECK enum tp_status tp_relocate(uint8_t *bytes, unsigned length, uintptr_t from, uintptr_t to,
                                         struct tp_relocate_culprit *culprit);

/* *needed: does any operand point outside? The errors are tp_relocate's, but for reach. */
TP_MUST_CHECK enum tp_status tp_needs_relocation(const uint8_t *bytes, unsigned length, bool *needed);

#endif
