/* SPDX-License-Identifier: MIT */
/*
 * Tables and stacks made by hand, for tests of lib/unwind.
 *
 *   make_table()   a table of `count` entries, ips and blocks filled in
 *   add_table()    …, added; it is the only one
 *   find_test_stack()   the hook: stacks[], each allocated by itself, so that a sanitizer sees a read beside it
 */
#ifndef TP_TEST_UNWIND_H
#define TP_TEST_UNWIND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <textpatch/unwind.h>

#include "unwind/tables.h"

static uint64_t random_state = 1;

static inline uint32_t random_number(uint32_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return below ? (uint32_t)(random_state >> 16) % below : 0;
}

/* ---- Tables ---- */

#define TEXT ((uintptr_t)0xffffffff80100000)

static inline void fill_blocks(struct tp_unwind_table *table) {
    uint32_t *blocks = (uint32_t *)table->blocks, entry = 0;
    for (uint32_t block = 0; block < tp_orc_blocks(table->text_size); block++) {
        while (entry + 1 < table->count && table->ips[entry + 1] <= block * TP_ORC_BLOCK)
            entry++;
        blocks[block] = entry;
    }
}

static inline void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    assert_non_null(memory);
    return memory;
}

/* ips, or every 16 bytes if NULL */
static inline struct tp_unwind_table make_table(const struct tp_orc_entry *entries, const uint32_t *ips, uint32_t count,
                                                uint32_t text_size) {
    uint32_t *own_ips = allocate(count * sizeof *own_ips);
    struct tp_orc_entry *own_entries = allocate(count * sizeof *own_entries);
    for (uint32_t i = 0; i < count; i++) {
        own_ips[i] = ips ? ips[i] : 16 * i;
        own_entries[i] = entries[i];
    }
    struct tp_unwind_table table = {
        .text_start = TEXT,
        .text_size = text_size,
        .count = count,
        .ips = own_ips,
        .blocks = allocate(tp_orc_blocks(text_size) * sizeof(uint32_t)),
        .entries = own_entries,
    };
    fill_blocks(&table);
    return table;
}

static inline void free_table(struct tp_unwind_table *table) {
    free((void *)table->ips);
    free((void *)table->blocks);
    free((void *)table->entries);
}

/* ---- Stacks ---- */

enum { STACKS = 4, STACK_WORDS = 96 };

static uint64_t *stacks[STACKS];

static inline void make_stacks(void) {
    for (unsigned i = 0; i < STACKS; i++) {
        stacks[i] = allocate(STACK_WORDS * sizeof(uint64_t));
        memset(stacks[i], 0, STACK_WORDS * sizeof(uint64_t));
    }
}

static inline void free_stacks(void) {
    for (unsigned i = 0; i < STACKS; i++)
        free(stacks[i]);
}

static inline uintptr_t at(unsigned stack, unsigned word) {
    return (uintptr_t)&stacks[stack][word];
}

static unsigned hook_calls;

static inline bool find_test_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    assert_ptr_equal(argument, stacks);
    hook_calls++;
    for (unsigned i = 0; i < STACKS; i++) {
        stack->start = at(i, 0);
        stack->end = at(i, STACK_WORDS);
        if (sp >= stack->start && sp <= stack->end)
            return true;
    }
    return false;
}

#endif
