/* SPDX-License-Identifier: MIT */
#include "../insn/relocate.h"

#include <stddef.h>

#include "../insn/decode.h"

static bool points_outside(const struct tp_insn *insn, const uint8_t *bytes, unsigned offset,
                           unsigned length) {
    int64_t target = (int64_t)offset + insn->length + tp_insn_displacement(insn, bytes);
    return insn->operand_size && (target < 0 || target > length);
}

/* See the edge cases in the header. */
static bool can_be_moved(const struct tp_insn *insn) {
    bool cuts_target =
        (insn->flags & TP_INSN_RIP_RELATIVE) && (insn->flags & TP_INSN_HAS_ADDRESS_SIZE_PREFIX);
    return !cuts_target && !(insn->flags & TP_INSN_VENDOR_DEPENDENT);
}

static bool holds(unsigned size, int64_t displacement) {
    int64_t limit = (int64_t)1 << (8 * size - 1);
    return displacement >= -limit && displacement < limit;
}

static void write_field(uint8_t *field, unsigned size, int64_t displacement) {
    for (unsigned byte = 0; byte < size; byte++)
        field[byte] = (uint8_t)((uint64_t)displacement >> 8 * byte);
}

static enum tp_status blame(enum tp_status status, unsigned offset, int64_t distance,
                            struct tp_relocate_culprit *culprit) {
    if (culprit)
        *culprit = (struct tp_relocate_culprit){.offset = offset, .distance = distance};
    return status;
}

/*
 * One pass over the operands that point outside, each to be increased by `delta`; `out` is NULL in a pass
 * that only checks. *found says if there was any.
 */
static enum tp_status pass(const uint8_t *bytes, unsigned length, uint64_t delta, uint8_t *out, bool *found,
                           struct tp_relocate_culprit *culprit) {
    struct tp_insn insn;
    *found = false;
    for (unsigned offset = 0; offset < length; offset += insn.length) {
        const uint8_t *start = bytes + offset;
        enum tp_status status = tp_insn_decode(start, bytes + length, &insn);
        if (status == TP_OK && !can_be_moved(&insn))
            status = TP_ERR_BAD_INSN;
        if (status != TP_OK)
            return blame(status, offset, 0, culprit);
        if (!points_outside(&insn, start, offset, length))
            continue;
        unsigned field = offset + insn.operand_offset;
        int64_t displacement = (int64_t)((uint64_t)(int64_t)tp_insn_displacement(&insn, start) + delta);
        *found = true;
        if (!holds(insn.operand_size, displacement))
            return blame(TP_ERR_OUT_OF_REACH, field, displacement, culprit);
        if (out)
            write_field(out + field, insn.operand_size, displacement);
    }
    return TP_OK;
}

enum tp_status tp_relocate(uint8_t *bytes, unsigned length, uintptr_t from, uintptr_t to,
                           struct tp_relocate_culprit *culprit) {
    bool found;
    enum tp_status status = pass(bytes, length, from - to, NULL, &found, culprit);
    if (status != TP_OK || !found)
        return status;
    /* An operand is looked at before it is written, so this pass sees what the first one saw. */
    return pass(bytes, length, from - to, bytes, &found, culprit);
}

enum tp_status tp_needs_relocation(const uint8_t *bytes, unsigned length, bool *needed) {
    return pass(bytes, length, 0, NULL, needed, NULL);
}
