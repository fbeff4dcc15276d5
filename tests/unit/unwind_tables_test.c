/* SPDX-License-Identifier: MIT */
/*
 * Tables: reading, checking, looking up, adding and removing.
 *
 * Cases
 *   every_offset        random tables, at every offset of the text, against a search from the first entry on
 *   edges               the bytes beside the text; one entry; blocks without an entry of their own; text of every size
 *                       around a block's
 *   wrong_is_noticed    negative control: a block's entry that is one too high or too low brings another answer
 *   read                head and arrays; each shorter size is refused; versions, empty ones, text that wraps around
 *   linked_without      this program has no table
 *   refused             each thing that tp_unwind_add() refuses, and that it is the only one
 *   several             three tables, each found; removed in any order; one that stays
 *   while_read          one thread adds, removes and then overwrites a table, others look it up: right or not there
 */
#include "unwind.h"

#include <pthread.h>

#include <textpatch/engine.h>

static const struct tp_orc_entry call = {8, 0, TP_ORC_BASE_SP | TP_ORC_BP_SAME, TP_ORC_CALL};

static const struct tp_orc_entry *search_slowly(const struct tp_unwind_table *table, uint32_t offset) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->ips[i] <= offset)
            found = i;
    return &table->entries[found];
}

/* Entries that tell which they are. */
static struct tp_unwind_table make_numbered(const uint32_t *ips, uint32_t count, uint32_t text_size) {
    struct tp_orc_entry *entries = allocate(count * sizeof *entries);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = call;
        entries[i].sp_offset = (int16_t)(8 * i);
    }
    struct tp_unwind_table table = make_table(entries, ips, count, text_size);
    free(entries);
    return table;
}

static struct tp_unwind_table make_random(uint32_t text_size) {
    uint32_t *ips = allocate(text_size * sizeof *ips), count = 0, step = 1 + random_number(40);
    for (uint32_t ip = 0; ip < text_size && count < 4000; ip += 1 + random_number(random_number(20) ? step : 2000))
        ips[count++] = ip;
    struct tp_unwind_table table = make_numbered(ips, count, text_size);
    free(ips);
    return table;
}

/* The first offset with a wrong answer; text_size if there is none. */
static uint32_t find_wrong(const struct tp_unwind_table *table) {
    struct tp_orc_entry entry;
    uint32_t offset = 0;
    while (offset < table->text_size && tp_orc_find(table->text_start + offset, &entry) &&
           !memcmp(&entry, search_slowly(table, offset), sizeof entry))
        offset++;
    return offset;
}

static void check_table(struct tp_unwind_table *table) {
    struct tp_orc_entry entry;
    assert_int_equal(tp_unwind_add(table), TP_OK);
    assert_int_equal(find_wrong(table), table->text_size);
    assert_false(tp_orc_find(table->text_start - 1, &entry));
    assert_false(tp_orc_find(table->text_start + table->text_size, &entry));
    assert_false(tp_orc_find(0, &entry));
    assert_false(tp_orc_find(UINTPTR_MAX, &entry));
    assert_int_equal(tp_unwind_remove(table), TP_OK);
    assert_false(tp_orc_find(table->text_start, &entry));
}

static void every_offset(void **state) {
    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        struct tp_unwind_table table = make_random(1 + random_number(9000));
        check_table(&table);
        free_table(&table);
    }
}

static void edges(void **state) {
    (void)state;
    const uint32_t sparse[] = {0, 255, 256, 257, 511, 512, 3000, 4095};
    for (uint32_t size = 1; size < 3 * TP_ORC_BLOCK; size += size < 250 ? 50 : 1) {
        struct tp_unwind_table table = make_numbered((const uint32_t[]){0}, 1, size);
        check_table(&table);
        free_table(&table);
    }
    for (uint32_t size = 4096; size < 4096 + 600; size++) {
        struct tp_unwind_table table = make_numbered(sparse, 8, size);
        check_table(&table);
        free_table(&table);
    }
    struct tp_unwind_table last = make_numbered(sparse, 8, 4096);
    last.text_start = UINTPTR_MAX - 4095;
    struct tp_orc_entry entry;
    assert_int_equal(tp_unwind_add(&last), TP_OK);
    assert_true(tp_orc_find(UINTPTR_MAX, &entry));
    assert_int_equal(entry.sp_offset, 8 * 7);
    assert_false(tp_orc_find(0, &entry));
    assert_int_equal(tp_unwind_remove(&last), TP_OK);
    free_table(&last);
}

static void wrong_is_noticed(void **state) {
    (void)state;
    uint32_t ips[600];
    for (unsigned i = 0; i < 600; i++)
        ips[i] = 10 * i;
    struct tp_unwind_table table = make_numbered(ips, 600, 6000);
    assert_int_equal(tp_unwind_add(&table), TP_OK);
    uint32_t *blocks = (uint32_t *)table.blocks;
    for (int change = -1; change <= 1; change++) {
        blocks[7] += (uint32_t)change;
        assert_int_equal(find_wrong(&table) == table.text_size, change == 0);
        blocks[7] -= (uint32_t)change;
    }
    assert_int_equal(tp_unwind_remove(&table), TP_OK);
    free_table(&table);
}

static void read_tables(void **state) {
    (void)state;
    const uint32_t ips[] = {0, 10, 300};
    enum { SIZE = 16 + 3 * 4 + 2 * 4 + 3 * 6 };
    struct tp_orc_head *head = allocate(SIZE);
    *head = (struct tp_orc_head){TP_ORC_VERSION, 64, 301, 3};
    uint32_t *words = (uint32_t *)(head + 1);
    memcpy(words, ips, sizeof ips);
    words[3] = 0;
    words[4] = 1;
    const struct tp_orc_entry entries[] = {call, call, call};
    memcpy(words + 5, entries, sizeof entries);
    struct tp_unwind_table table;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_OK);
    assert_int_equal(table.text_start, (uintptr_t)&head->text + 64);
    assert_int_equal(table.text_size, 301);
    assert_int_equal(table.count, 3);
    assert_false(table.stays);
    assert_int_equal(tp_unwind_add(&table), TP_OK);
    assert_int_equal(tp_unwind_remove(&table), TP_OK);
    for (unsigned size = 0; size < SIZE; size++)
        assert_int_equal(tp_read_unwind_table(&table, head, size), size ? TP_ERR_BAD_ARGUMENT : TP_ERR_EMPTY_TABLE);
    assert_int_equal(tp_read_unwind_table(&table, NULL, SIZE), TP_ERR_EMPTY_TABLE);
    head->version++;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_ERR_RECORD_VERSION);
    head->version--;
    head->entry_count = 0;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_ERR_EMPTY_TABLE);
    head->entry_count = UINT32_MAX;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_ERR_BAD_ARGUMENT);
    head->entry_count = 3;
    head->text_size = 0;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_ERR_BAD_ARGUMENT);
    head->text_size = UINT32_MAX;
    assert_int_equal(tp_read_unwind_table(&table, head, SIZE), TP_ERR_BAD_ARGUMENT);
    free(head);
}

static void linked_without(void **state) {
    (void)state;
    struct tp_unwind_table table;
    assert_int_equal(tp_kernel_unwind_table(&table), TP_ERR_EMPTY_TABLE);
}

static void refuse(struct tp_unwind_table *table, enum tp_status status, uint64_t value) {
    struct tp_orc_entry entry;
    assert_int_equal(tp_unwind_add(table), status);
    assert_int_equal(tp_last_error()->status, status);
    assert_int_equal(tp_last_error()->value, value);
    assert_false(tp_orc_find(TEXT, &entry));
}

static void refuse_entry(unsigned number, struct tp_orc_entry bad) {
    struct tp_unwind_table table = make_numbered((const uint32_t[]){0, 1, 2, 700}, 4, 800);
    ((struct tp_orc_entry *)table.entries)[number] = bad;
    refuse(&table, TP_ERR_BAD_ARGUMENT, number);
    free_table(&table);
}

static void refuse_ips(uint32_t first, uint32_t second, uint32_t third, uint32_t number) {
    struct tp_unwind_table table = make_numbered((const uint32_t[]){first, second, third}, 3, 800);
    refuse(&table, TP_ERR_BAD_ARGUMENT, number);
    free_table(&table);
}

static void refused(void **state) {
    (void)state;
    for (unsigned number = 0; number < 4; number++) {
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP, TP_ORC_TYPES});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASES, TP_ORC_CALL});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP | (TP_ORC_BP_UNKNOWN + 0x10), TP_ORC_CALL});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP, TP_ORC_CALL | 0x10});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP, TP_ORC_CALL | TP_ORC_TRAP});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP, TP_ORC_REGS | TP_ORC_SIGNAL});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_NONE, TP_ORC_WORDS});
        refuse_entry(number, (struct tp_orc_entry){0, 0, TP_ORC_BASE_SP, TP_ORC_END});
    }
    refuse_ips(1, 2, 3, 0);
    refuse_ips(0, 0, 3, 1);
    refuse_ips(0, 7, 6, 2);
    refuse_ips(0, 7, 800, 2);
    struct tp_unwind_table table = make_numbered((const uint32_t[]){0, 256, 300}, 3, 800), none = table, odd = table;
    for (unsigned block = 0; block < 4; block++) {
        ((uint32_t *)table.blocks)[block] ^= 1;
        refuse(&table, TP_ERR_BAD_ARGUMENT, block);
        ((uint32_t *)table.blocks)[block] ^= 1;
    }
    none.count = 0;
    refuse(&none, TP_ERR_EMPTY_TABLE, 0);
    odd.text_size = 0;
    refuse(&odd, TP_ERR_BAD_ARGUMENT, 0);
    odd.text_size = 800;
    odd.text_start = UINTPTR_MAX - 700;
    refuse(&odd, TP_ERR_BAD_ARGUMENT, 800);
    assert_int_equal(tp_unwind_remove(&table), TP_ERR_IMAGE_UNKNOWN);
    assert_int_equal(tp_unwind_add(&table), TP_OK);
    assert_int_equal(tp_unwind_add(&table), TP_ERR_IMAGE_KNOWN);
    odd.text_start = TEXT + 799;
    assert_int_equal(tp_unwind_add(&odd), TP_ERR_IMAGE_OVERLAP);
    odd.text_start = TEXT - 799;
    assert_int_equal(tp_unwind_add(&odd), TP_ERR_IMAGE_OVERLAP);
    odd.text_start = TEXT - 800;
    assert_int_equal(tp_unwind_add(&odd), TP_OK);
    assert_int_equal(tp_unwind_remove(&odd), TP_OK);
    assert_int_equal(tp_unwind_remove(&table), TP_OK);
    free_table(&table);
}

static bool is_found(const struct tp_unwind_table *table) {
    struct tp_orc_entry entry;
    return tp_orc_find(table->text_start + 300, &entry) && entry.sp_offset == 16;
}

static void several(void **state) {
    (void)state;
    static struct tp_unwind_table tables[3]; /* one of them stays for good: the last case */
    for (unsigned i = 0; i < 3; i++) {
        tables[i] = make_numbered((const uint32_t[]){0, 256, 300}, 3, 800);
        tables[i].text_start += i * 0x1000;
    }
    for (unsigned first = 0; first < 3; first++) {
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(tp_unwind_add(&tables[i]), TP_OK);
        for (unsigned gone = 0; gone < 3; gone++) {
            for (unsigned i = 0; i < 3; i++)
                assert_int_equal(is_found(&tables[(first + i) % 3]), i >= gone);
            assert_int_equal(tp_unwind_remove(&tables[(first + gone) % 3]), TP_OK);
        }
    }
    tables[0].stays = true;
    assert_int_equal(tp_unwind_add(&tables[1]), TP_OK);
    assert_int_equal(tp_unwind_add(&tables[0]), TP_OK);
    assert_int_equal(tp_unwind_add(&tables[0]), TP_ERR_IMAGE_KNOWN);
    assert_int_equal(tp_unwind_remove(&tables[0]), TP_ERR_IMAGE_IN_USE);
    assert_true(is_found(&tables[0]) && is_found(&tables[1]));
    assert_int_equal(tp_unwind_remove(&tables[1]), TP_OK);
    free_table(&tables[1]);
    free_table(&tables[2]);
}

static unsigned stop, wrong, found_count;

static void *look_up(void *argument) {
    struct tp_orc_entry entry;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (!tp_orc_find((uintptr_t)argument, &entry))
            continue;
        __atomic_fetch_add(&found_count, 1, __ATOMIC_RELAXED);
        if (entry.sp_offset != 16)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Until one of the others has found it; they may not run yet, or not at the same time. */
static void wait_until_found(void) {
    unsigned before = __atomic_load_n(&found_count, __ATOMIC_RELAXED);
    for (unsigned patience = 10000000; __atomic_load_n(&found_count, __ATOMIC_RELAXED) == before; patience--) {
        assert_int_not_equal(patience, 0);
        sched_yield();
    }
}

static void while_read(void **state) {
    (void)state;
    enum { THREADS = 3, ENOUGH = 3000 };
    const uintptr_t elsewhere = TEXT + 0x100000;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up, (void *)(elsewhere + 300)), 0);
    for (unsigned round = 0; round < ENOUGH; round++) {
        struct tp_unwind_table table = make_numbered((const uint32_t[]){0, 256, 300}, 3, 800);
        table.text_start = elsewhere;
        assert_int_equal(tp_unwind_add(&table), TP_OK);
        if (round % 100 == 0)
            wait_until_found();
        assert_int_equal(tp_unwind_remove(&table), TP_OK);
        memset((void *)table.entries, 0x55, 3 * sizeof *table.entries);
        free_table(&table);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offset),     cmocka_unit_test(edges),   cmocka_unit_test(wrong_is_noticed),
        cmocka_unit_test(read_tables),      cmocka_unit_test(linked_without), cmocka_unit_test(refused),
        cmocka_unit_test(while_read),       cmocka_unit_test(several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
