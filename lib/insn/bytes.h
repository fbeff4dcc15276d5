/* SPDX-License-Identifier: MIT */
/*
 * Whether two runs of bytes are the same: text and what it should be, a form before and after.
 */
#ifndef TP_INSN_BYTES_H
#define TP_INSN_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline bool tp_bytes_differ(const uint8_t *left, const uint8_t *right, unsigned length) {
    for (unsigned i = 0; i < length; i++)
        if (left[i] != right[i])
            return true;
    return false;
}

#endif
