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
        at += half & -(uint32_t)begins_by(image, at + half - 1, address);
        count -= half;
    }
    return at - first + (count && begins_by(image, at, address));
}

/*
 * All places: those near to where the address would be if sites lay evenly, and where that is not right, steps that
 * double lead to a stretch that is. Fast where it matters, in #BP, and never much more work than halving everything.
 */
static uint32_t count_places_up_to(const struct tp_image *image, uintptr_t address) {
    enum { NEAR = 8 };
    const uint32_t count = image->place_count;
    const uint64_t guess = (address - image->text_start) * image->places_per_byte >> 32;
    uint32_t middle = guess < count ? (uint32_t)guess : count, step = 2 * NEAR;
    uint32_t low = middle > NEAR ? middle - NEAR : 0, high = count - low > step ? low + step : count;
    for (; low > 0 && !begins_by(image, low, address); step *= 2) {
        high = low;
        low = low > step ? low - step : 0;
    }
    for (; high < count && begins_by(image, high, address); step *= 2) {
        low = high;
        high = count - high > step ? high + step : count;
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
