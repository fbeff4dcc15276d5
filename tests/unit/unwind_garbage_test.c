/* SPDX-License-Identifier: MIT */
/*
 * Walks over garbage: each ends, and reads nothing but the stacks' words. Each stack and table is allocated by itself, so
 * that the sanitizer sees what is read beside it; without one the counts alone are checked.
 *
 * Cases
 *   garbage_stacks   random entries of all kinds, and stacks full of what leads astray: addresses of stacks and of
 *                    text, frames of registers, numbers
 *   garbage_tables   random bytes as a table: refused, or walks over it end
 *   long_enough      negative control: the walks of the first case do go far, and end in all ways
 */
#include "unwind.h"

enum { ENTRIES = 200, TEXT_SIZE = 4096, ROUNDS = 20000, STEPS_MAX = 2 * STACKS * STACK_WORDS };

static unsigned ends[4], longest, unreliable, switched;

static struct tp_orc_entry make_entry(void) {
    static const uint8_t rules[] = {TP_ORC_BP_SAME, TP_ORC_BP_SAVED, TP_ORC_BP_AT_BP, TP_ORC_BP_AT_SP, TP_ORC_BP_UNKNOWN};
    struct tp_orc_entry entry = {0, 0, 0, (uint8_t)random_number(TP_ORC_TYPES)};
    if (random_number(4))
        entry.type = TP_ORC_CALL;
    if (entry.type < TP_ORC_CALL)
        return entry;
    unsigned base = random_number(4) ? TP_ORC_BASE_SP : 1 + random_number(TP_ORC_BASES - 1);
    entry.registers = (uint8_t)(base | rules[random_number(5)]);
    entry.sp_offset = (int16_t)(random_number(20) ? 8 * random_number(8) : random_number(65536));
    entry.bp_offset = (int16_t)(random_number(8) ? -8 * (int)random_number(8) : (int)random_number(65536));
    if (entry.type == TP_ORC_CALL && !random_number(8))
        entry.type |= TP_ORC_SIGNAL;
    if (entry.type == TP_ORC_WORDS && !random_number(8))
        entry.type |= random_number(2) ? TP_ORC_TRAP : TP_ORC_VECTOR;
    return entry;
}

static uint64_t make_word(void) {
    switch (random_number(30)) {
    case 0:
        return 8;
    case 1:
        return random_number(UINT32_MAX);
    case 2:
        return random_state;
    case 3:
    case 4:
        return at(random_number(STACKS), random_number(STACK_WORDS)) + (random_number(20) ? 0 : random_number(64));
    default: /* most of all */
        return TEXT + random_number(TEXT_SIZE);
    }
}

static void fill_garbage(void) {
    for (unsigned stack = 0; stack < STACKS; stack++)
        for (unsigned word = 0; word < STACK_WORDS; word++)
            stacks[stack][word] = make_word();
}

static void count_walk(struct tp_unwind *frame) {
    unsigned steps = 0;
    uintptr_t start = frame->stack.start;
    while (tp_unwind_next(frame)) {
        steps++;
        switched += frame->stack.start != start;
        start = frame->stack.start;
        assert_true(steps <= STEPS_MAX);
    }
    ends[frame->end]++;
    unreliable += !frame->reliable;
    if (steps > longest)
        longest = steps;
}

static void walk_garbage(void) {
    struct tp_unwind frame;
    struct tp_regs regs;
    uint64_t *words = (uint64_t *)&regs;
    for (unsigned i = 0; i < sizeof regs / sizeof *words; i++)
        words[i] = make_word();
    regs.rip = TEXT + random_number(TEXT_SIZE);
    regs.cs = random_number(20) ? 8 : 0x2b;
    if (random_number(10))
        regs.rsp = at(random_number(STACKS), random_number(STACK_WORDS / 4));
    tp_unwind_start(&frame, &regs, find_test_stack, stacks);
    count_walk(&frame);
}

static void garbage_stacks(void **state) {
    (void)state;
    make_stacks();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct tp_orc_entry entries[ENTRIES];
        uint32_t ips[ENTRIES];
        for (unsigned i = 0; i < ENTRIES; i++) {
            entries[i] = make_entry();
            ips[i] = 20 * i;
        }
        struct tp_unwind_table table = make_table(entries, ips, ENTRIES, TEXT_SIZE);
        assert_int_equal(tp_unwind_add(&table), TP_OK);
        fill_garbage();
        for (unsigned i = 0; i < 10; i++)
            walk_garbage();
        assert_int_equal(tp_unwind_remove(&table), TP_OK);
        free_table(&table);
    }
    free_stacks();
}

static void garbage_tables(void **state) {
    (void)state;
    make_stacks();
    unsigned read = 0, added = 0;
    for (unsigned round = 0; round < 20 * ROUNDS; round++) {
        uint32_t size = 16 + random_number(60), count = 1 + random_number(3), text_size = 1 + random_number(600);
        uint8_t *bytes = allocate(size);
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = random_number(3) ? (uint8_t)random_number(5) : (uint8_t)random_number(256);
        struct tp_orc_head head = {TP_ORC_VERSION, (int32_t)random_number(1000), text_size, count};
        if (random_number(10))
            memcpy(bytes, &head, sizeof head);
        if (size >= 20 && random_number(4))
            memset(bytes + 16, 0, 4);
        struct tp_unwind_table table;
        if (tp_read_unwind_table(&table, bytes, size) == TP_OK) {
            read++;
            table.text_start = TEXT;
            if (random_number(3))
                fill_blocks(&table);
            if (tp_unwind_add(&table) == TP_OK) {
                added++;
                fill_garbage();
                for (unsigned i = 0; i < 20; i++)
                    walk_garbage();
                assert_int_equal(tp_unwind_remove(&table), TP_OK);
            }
        }
        free(bytes);
    }
    assert_true(read > 1000);
    assert_true(added > 100);
    assert_true(added < read);
    free_stacks();
}

static void long_enough(void **state) {
    (void)state;
    assert_true(longest > 12);
    assert_true(switched > ROUNDS / 2);
    assert_true(unreliable > 0);
    for (unsigned end = TP_UNWIND_OUTERMOST; end <= TP_UNWIND_LOST; end++)
        assert_true(ends[end] > ROUNDS / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_stacks),
        cmocka_unit_test(garbage_tables),
        cmocka_unit_test(long_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
