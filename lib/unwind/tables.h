/* SPDX-License-Identifier: MIT */
/*
 * From an address to what its table says.
 */
#ifndef TP_UNWIND_TABLES_H
#define TP_UNWIND_TABLES_H

#include <textpatch/unwind.h>

static inline uint32_t tp_orc_blocks(uint32_t text_size) {
    return text_size / TP_ORC_BLOCK + (text_size % TP_ORC_BLOCK != 0);
}

/* What one table says of an offset below its text_size. */
static inline const struct tp_orc_entry *tp_orc_search(const struct tp_unwind_table *table, uint32_t offset) {
    const uint32_t block = offset / TP_ORC_BLOCK;
    uint32_t low = table->blocks[block];
    uint32_t high = block + 1 < tp_orc_blocks(table->text_size) ? table->blocks[block + 1] : table->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (table->ips[middle] <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return &table->entries[low];
}

/* False: no table has the address. Context: that of a walk. */
bool tp_orc_find(uintptr_t place, struct tp_orc_entry *entry);

#endif
