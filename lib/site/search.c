/* SPDX-License-Identifier: MIT */
#include "../site/search.h"

#include "../site/registry.h"
#include "../site/site.h"

/* It counts instead of branching, here and below: which way a search goes is what no CPU foresees. */
struct tp_key *tp_search_keys(const struct tp_image *image, uintptr_t cell) {
    struct tp_key *at = image->keys;
    uint32_t count = image->key_count;
    while (count > 1) {
        uint32_t half = count / 2;
        at += (tp_key_cell(&at[half]) <= cell) * half;
        count -= half;
    }
    return count && tp_key_cell(at) == cell ? at : NULL;
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

static inline bool begins_by(const struct tp_image *image, uint32_t at, uintptr_t address) {
    return tp_site_address(&image->sites[at]) <= address;
}

/* How many of the places [first, first + count) begin at or before `address`. */
static uint32_t count_up_to(const struct tp_image *image, uint32_t first, uint32_t count, uintptr_t address) {
    uint32_t at = first;
    while (count > 1) {
        uint32_t half = count / 2;
        at += begins_by(image, at + half - 1, address) * half;
        count -= half;
    }
    return at - first + (count && begins_by(image, at, address));
}

/*
 * All places, from where the address would be if sites lay evenly: steps that double lead to two of them with the
 * address between. Fast where it matters, in #BP, and never much more work than halving everything.
 */
static uint32_t count_places_up_to(const struct tp_image *image, uintptr_t address) {
    const uint32_t count = image->place_count;
    uint64_t guess = (address - image->text_start) * image->places_per_byte >> 32;
    uint32_t low = 0, high = count, step = 4;
    if (guess >= count)
        guess = count ? count - 1 : 0;
    if (count && begins_by(image, (uint32_t)guess, address)) {
        for (low = (uint32_t)guess; count - low > step && begins_by(image, low + step, address); step *= 2)
            low += step;
        high = count - low > step ? low + step : count;
    } else {
        for (high = (uint32_t)guess; high > step && !begins_by(image, high - step, address); step *= 2)
            high -= step;
        low = high > step ? high - step : 0;
    }
    return low + count_up_to(image, low, high - low, address);
}

uint32_t tp_search_place(const struct tp_image *image, uintptr_t address) {
    if (address < image->text_start || address >= image->text_end)
        return image->place_count;
    uint32_t at = count_places_up_to(image, address);
    while (at > 0 && (image->sites[at - 1].detail & TP_DETAIL_NESTED))
        at--;
    if (at == 0 || tp_site_end(&image->sites[at - 1]) <= address)
        return image->place_count;
    return at - 1;
}

/* The list may grow and shrink meanwhile: partner is put_last() in lib/api/image.c. */
const struct tp_site *tp_find_place(uintptr_t address) {
    const struct tp_image *image = __atomic_load_n(&tp_registry.images, __ATOMIC_ACQUIRE);
    for (; image; image = __atomic_load_n(&image->next, __ATOMIC_ACQUIRE)) {
        uint32_t place = tp_search_place(image, address);
        if (place < image->place_count)
            return &image->sites[place];
    }
    return NULL;
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
