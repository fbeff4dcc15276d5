/* SPDX-License-Identifier: MIT */
/*
 * A sort for tables that can't be copied: in place, no recursion, no allocation, n log n at worst (heapsort).
 */
#ifndef TP_SITE_SORT_H
#define TP_SITE_SORT_H

#include <stdbool.h>
#include <stdint.h>

struct tp_sort {
    void *table;
    const void *context;
    bool (*before)(const struct tp_sort *, uint32_t a, uint32_t b); /* entry a belongs before entry b */
    void (*swap)(const struct tp_sort *, uint32_t a, uint32_t b);
};

/* Sorts entries 0 to count - 1. A table that is in order already costs one walk, as linkers mostly leave it so. */
void tp_sort_table(const struct tp_sort *sort, uint32_t count);

#endif
