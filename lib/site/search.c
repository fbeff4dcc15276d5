/* SPDX-License-Identifier: MIT */
#include "../site/search.h"

#include "../site/site.h"

struct tp_key *tp_search_keys(const struct tp_image *image, uintptr_t cell) {
    uint32_t low = 0, high = image->key_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uintptr_t here = tp_key_cell(&image->keys[middle]);
        if (here == cell)
            return &image->keys[middle];
        if (here < cell)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct tp_inline *tp_search_inlines(const struct tp_image *image, uintptr_t function) {
    uint32_t low = 0, high = image->inline_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uintptr_t here = tp_relative(&image->inlines[middle].function);
        if (here == function)
            return &image->inlines[middle];
        if (here < function)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint32_t tp_search_sites(const struct tp_image *image, uint32_t first, uint32_t end, uintptr_t address) {
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (tp_site_address(&image->sites[middle]) < address)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

uint32_t tp_search_place(const struct tp_image *image, uintptr_t address) {
    uint32_t at = tp_search_sites(image, 0, image->place_count, address + 1);
    while (at > 0 && (image->sites[at - 1].detail & TP_DETAIL_NESTED))
        at--;
    if (at == 0 || tp_site_end(&image->sites[at - 1]) <= address)
        return image->place_count;
    return at - 1;
}

/* Groups of the index are in the order of their cells. */
static uint32_t search_cell(const struct tp_image *image, uintptr_t cell, bool after) {
    uint32_t low = image->group_start, high = image->place_count + image->template_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uintptr_t here = tp_site_cell(&image->sites[image->index[middle]]);
        if (here < cell || (after && here == cell))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void tp_search_group(const struct tp_image *image, const struct tp_key *key, uint32_t *first, uint32_t *end) {
    *first = search_cell(image, tp_key_cell(key), false);
    *end = search_cell(image, tp_key_cell(key), true);
}
