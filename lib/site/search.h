/* SPDX-License-Identifier: MIT */
/*
 * Finding things in one image's sorted tables.
 */
#ifndef TP_SITE_SEARCH_H
#define TP_SITE_SEARCH_H

#include <textpatch/engine.h>

/* The key whose cell is at `cell`, NULL if none. */
struct tp_key *tp_search_keys(const struct tp_image *image, uintptr_t cell);

/* The inline form of `function`, NULL if none. */
const struct tp_inline *tp_search_inlines(const struct tp_image *image, uintptr_t function);

/* The first of sites[first .. end) at or after `address`; `end` if none. The range is one class of tp_order_sites(). */
uint32_t tp_search_sites(const struct tp_image *image, uint32_t first, uint32_t end, uintptr_t address);

/* The outermost site in the text that holds `address`; place_count if none. */
uint32_t tp_search_place(const struct tp_image *image, uintptr_t address);

/* The outermost site in any image's text that holds `address`, NULL if none. Wait-free: for #BP. */
const struct tp_site *tp_find_place(uintptr_t address);

/* The index entries [*first, *end) whose sites depend on `key`. */
void tp_search_group(const struct tp_image *image, const struct tp_key *key, uint32_t *first, uint32_t *end);

#endif
