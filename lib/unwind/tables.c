/* SPDX-License-Identifier: MIT */
/*
 * The tables that walks know.
 *
 * How it works
 *   Two lists: tables that stay, which are read as they are, and tables that may be removed. Who reads the second list
 *   counts itself in before and out behind, on one of two counters: the one that `turn` names. Who removes unlinks the
 *   table, and then sees each counter at 0 once; turned away from first, so that it gets there. An increment that comes
 *   after that sight is a locked instruction, and what it then reads of the list is the list without the table.
 */
#include "../unwind/tables.h"

#include "../report.h"

static struct tp_unwind_table *staying, *removable;

static struct {
    unsigned turn;
    unsigned counts[2];
} readers;

/* ---- Reading ---- */

static bool has_place(const struct tp_unwind_table *table, uintptr_t place) {
    return place - table->text_start < table->text_size;
}

static bool find_in(struct tp_unwind_table *const *list, uintptr_t place, struct tp_orc_entry *entry) {
    const struct tp_unwind_table *table = __atomic_load_n(list, __ATOMIC_ACQUIRE);
    while (table && !has_place(table, place))
        table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE);
    if (!table)
        return false;
    *entry = *tp_orc_search(table, (uint32_t)(place - table->text_start));
    return true;
}

bool tp_orc_find(uintptr_t place, struct tp_orc_entry *entry) {
    if (find_in(&staying, place, entry))
        return true;
    if (!__atomic_load_n(&removable, __ATOMIC_RELAXED))
        return false;
    unsigned *count = &readers.counts[__atomic_load_n(&readers.turn, __ATOMIC_RELAXED) & 1];
    __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
    bool found = find_in(&removable, place, entry);
    __atomic_fetch_sub(count, 1, __ATOMIC_SEQ_CST);
    return found;
}

TP_COLD static void wait_for_readers(void) {
    for (unsigned i = 0; i < 2; i++) {
        const unsigned *count = &readers.counts[__atomic_fetch_add(&readers.turn, 1, __ATOMIC_SEQ_CST) & 1];
        while (__atomic_load_n(count, __ATOMIC_SEQ_CST))
            __asm__ volatile("pause");
    }
}

/* ---- Checking ---- */

TP_COLD static enum tp_status refuse(const struct tp_unwind_table *table, enum tp_status status, uint64_t value) {
    return tp_fail(&(struct tp_error){.status = status, .site = table->text_start, .value = value});
}

TP_COLD static bool needs_frame(unsigned type) {
    return type == TP_ORC_CALL || type == TP_ORC_REGS || type == TP_ORC_WORDS;
}

TP_COLD static bool is_sound(const struct tp_orc_entry *entry) {
    const unsigned type = entry->type & TP_ORC_TYPE, base = entry->registers & TP_ORC_BASE;
    const unsigned flags = entry->type & ~TP_ORC_TYPE;
    if (type >= TP_ORC_TYPES || base >= TP_ORC_BASES || (entry->registers & TP_ORC_BP) > TP_ORC_BP_UNKNOWN)
        return false;
    if (flags && !(type == TP_ORC_CALL && flags == TP_ORC_SIGNAL) &&
        !(type == TP_ORC_WORDS && (flags == TP_ORC_TRAP || flags == TP_ORC_VECTOR)))
        return false;
    return needs_frame(type) == (base != TP_ORC_BASE_NONE);
}

TP_COLD static enum tp_status check_entries(const struct tp_unwind_table *table) {
    for (uint32_t i = 0; i < table->count; i++) {
        bool in_order = i ? table->ips[i - 1] < table->ips[i] : table->ips[i] == 0;
        if (!in_order || table->ips[i] >= table->text_size || !is_sound(&table->entries[i]))
            return refuse(table, TP_ERR_BAD_ARGUMENT, i);
    }
    return TP_OK;
}

TP_COLD static enum tp_status check_blocks(const struct tp_unwind_table *table) {
    uint32_t entry = 0;
    for (uint32_t block = 0; block < tp_orc_blocks(table->text_size); block++) {
        while (entry + 1 < table->count && table->ips[entry + 1] <= block * TP_ORC_BLOCK)
            entry++;
        if (table->blocks[block] != entry)
            return refuse(table, TP_ERR_BAD_ARGUMENT, block);
    }
    return TP_OK;
}

TP_COLD static enum tp_status check_against(const struct tp_unwind_table *table, const struct tp_unwind_table *other) {
    for (; other; other = other->next) {
        if (other == table)
            return refuse(table, TP_ERR_IMAGE_KNOWN, 0);
        if (table->text_start - other->text_start < other->text_size ||
            other->text_start - table->text_start < table->text_size)
            return refuse(table, TP_ERR_IMAGE_OVERLAP, other->text_start);
    }
    return TP_OK;
}

/* ---- Adding and removing ---- */

TP_COLD enum tp_status tp_unwind_add(struct tp_unwind_table *table) {
    if (!table->count)
        return refuse(table, TP_ERR_EMPTY_TABLE, 0);
    if (!table->text_size || table->text_start + (table->text_size - 1) < table->text_start)
        return refuse(table, TP_ERR_BAD_ARGUMENT, table->text_size);
    enum tp_status status = check_against(table, staying);
    if (status == TP_OK)
        status = check_against(table, removable);
    if (status == TP_OK)
        status = check_entries(table);
    if (status == TP_OK)
        status = check_blocks(table);
    if (status != TP_OK)
        return status;
    struct tp_unwind_table **list = table->stays ? &staying : &removable;
    table->next = *list;
    __atomic_store_n(list, table, __ATOMIC_RELEASE);
    return TP_OK;
}

TP_COLD static struct tp_unwind_table **find_link(struct tp_unwind_table **list, const struct tp_unwind_table *table) {
    while (*list && *list != table)
        list = &(*list)->next;
    return *list ? list : NULL;
}

/* Its own link stays: who is reading it now goes on by it. */
TP_COLD enum tp_status tp_unwind_remove(struct tp_unwind_table *table) {
    if (find_link(&staying, table))
        return refuse(table, TP_ERR_IMAGE_IN_USE, 0);
    struct tp_unwind_table **link = find_link(&removable, table);
    if (!link)
        return refuse(table, TP_ERR_IMAGE_UNKNOWN, 0);
    __atomic_store_n(link, table->next, __ATOMIC_RELEASE);
    wait_for_readers();
    return TP_OK;
}
