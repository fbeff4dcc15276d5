/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: the instruction floor on arbitrary bytes.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Ilib -Iinclude \
 *       tests/fuzz/insn_fuzz.c lib/insn/{decode,classify,encode,relocate}.c
 *
 * Held against each other
 *   decode    the length is 1 to 15 and within the input; cut shorter, it is truncated; more input changes nothing
 *   walk      as many boundaries as counted, each where decoding goes on
 *   relocate  there and back gives the same bytes; an error changes none; what needs none is the same elsewhere
 *   nop run   is a walk without an operand that points outside
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "insn/decode.h"
#include "insn/encode.h"
#include "insn/relocate.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

/* A copy of just these bytes, so that the sanitizer sees any read beyond them. */
static uint8_t *copy_of(const uint8_t *bytes, size_t length) {
    uint8_t *copy = malloc(length ? length : 1);
    require(copy);
    return memcpy(copy, bytes, length);
}

static void check_decode(const uint8_t *data, size_t size) {
    struct tp_insn insn, again;
    if (tp_insn_decode(data, data + size, &insn) != TP_OK)
        return;
    require(insn.length >= 1 && insn.length <= TP_INSN_LONGEST && insn.length <= size);
    require(insn.operand_offset + insn.operand_size <= insn.length);
    require(insn.prefix_bytes < insn.length);
    for (size_t kept = 0; kept <= insn.length; kept++) {
        uint8_t *bytes = copy_of(data, kept);
        enum tp_status status = tp_insn_decode(bytes, bytes + kept, &again);
        require(status == (kept == insn.length ? TP_OK : TP_ERR_TRUNCATED_INSN));
        free(bytes);
    }
    require(insn.kind == again.kind && insn.flags == again.flags && insn.stack == again.stack);
    require(insn.operand_offset == again.operand_offset && insn.operand_size == again.operand_size);
}

static void check_walk(const uint8_t *data, unsigned size) {
    uint8_t boundaries[TP_INSN_WALK_MAX / 8];
    unsigned count, found = 0, next = 0;
    enum tp_status status = tp_insn_walk(data, size, boundaries, &count);
    for (unsigned offset = 0; offset < TP_INSN_WALK_MAX; offset++) {
        struct tp_insn insn;
        if (!(boundaries[offset / 8] >> offset % 8 & 1))
            continue;
        require(offset == next);
        require(tp_insn_decode(data + offset, data + size, &insn) == TP_OK);
        next = offset + insn.length;
        found++;
    }
    require(found == count);
    require((status == TP_OK) == (next == size) || size > TP_INSN_WALK_MAX);
}

static void check_relocate(const uint8_t *data, unsigned size, uintptr_t from, uintptr_t to) {
    uint8_t *bytes = copy_of(data, size);
    struct tp_relocate_culprit culprit;
    bool needed = false;
    enum tp_status status = tp_relocate(bytes, size, from, to, &culprit);
    enum tp_status asked = tp_needs_relocation(data, size, &needed);
    if (status != TP_OK) {
        require(memcmp(bytes, data, size) == 0);
        /*
         * The first fault in the text is the one that is told: behind an operand out of reach there may be
         * more.
         */
        require(status == TP_ERR_OUT_OF_REACH ? asked != TP_OK || needed : asked == status);
        require(culprit.offset < size);
    } else {
        require(asked == TP_OK);
        require((memcmp(bytes, data, size) != 0) == (needed && from != to));
    }
    free(bytes);
}

static unsigned count_outside(const uint8_t *bytes, unsigned size) {
    struct tp_insn insn;
    unsigned count = 0;
    for (unsigned offset = 0; offset < size; offset += insn.length) {
        require(tp_insn_decode(bytes + offset, bytes + size, &insn) == TP_OK);
        int64_t target = (int64_t)tp_insn_target(&insn, bytes + offset, offset);
        count += insn.operand_size && (target < 0 || target > size);
    }
    return count;
}

/* Unless an operand comes to point inside by the move, which it then doesn't undo. */
static void check_back_again(const uint8_t *data, unsigned size, uintptr_t from, uintptr_t to) {
    uint8_t *bytes = copy_of(data, size);
    if (tp_relocate(bytes, size, from, to, NULL) == TP_OK &&
        count_outside(bytes, size) == count_outside(data, size)) {
        require(tp_relocate(bytes, size, to, from, NULL) == TP_OK);
        require(memcmp(bytes, data, size) == 0);
    }
    free(bytes);
}

static void check_nop_run(const uint8_t *data, unsigned size) {
    bool needed = true;
    uint8_t boundaries[TP_INSN_WALK_MAX / 8];
    unsigned count;
    if (size > TP_INSN_WALK_MAX || !tp_is_nop_run(data, size))
        return;
    require(tp_insn_walk(data, size, boundaries, &count) == TP_OK);
    require(tp_needs_relocation(data, size, &needed) == TP_OK && !needed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t from = 0xffffffff80000000, distance = 0;
    if (size < sizeof distance || size > 4096)
        return 0;
    memcpy(&distance, data, sizeof distance);
    data += sizeof distance;
    size -= sizeof distance;
    /* Half of the time a distance that most operands can take. */
    if (distance & 1)
        distance = (uint64_t)(int64_t)(int32_t)distance;
    check_decode(data, size);
    check_walk(data, (unsigned)size);
    check_relocate(data, (unsigned)size, from, from + distance);
    check_back_again(data, (unsigned)size, from, from + distance);
    check_nop_run(data, (unsigned)size);
    return 0;
}
