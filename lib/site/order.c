/* SPDX-License-Identifier: MIT */
#include "../site/order.h"

#include "../report.h"
#include "../site/site.h"
#include "../site/sort.h"

/* Records of any type, word by word. */
typedef int32_t record_word __attribute__((may_alias));

/* A self-relative field that moves by `distance` bytes and shall still mean the same address. */
static void move_field(record_word *field, intptr_t distance) {
    *field = (int32_t)((uint32_t)*field - (uint32_t)distance);
}

/* Swaps two records whose first `fields` words are self-relative. */
TP_COLD static void swap_records(void *table, uint32_t a, uint32_t b, uint32_t words, uint32_t fields) {
    record_word *left = (record_word *)table + (size_t)a * words;
    record_word *right = (record_word *)table + (size_t)b * words;
    intptr_t distance = (intptr_t)right - (intptr_t)left;
    for (uint32_t i = 0; i < words; i++) {
        int32_t kept = left[i];
        left[i] = right[i];
        right[i] = kept;
        if (i < fields) {
            move_field(&left[i], -distance);
            move_field(&right[i], distance);
        }
    }
}

TP_COLD static bool key_before(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    const struct tp_key *keys = sort->table;
    return tp_key_cell(&keys[a]) < tp_key_cell(&keys[b]);
}

TP_COLD static void swap_keys(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    swap_records(sort->table, a, b, sizeof(struct tp_key) / 4, 2);
}

TP_COLD static enum tp_status refuse_key(const struct tp_image *image, const struct tp_key *key,
                                         enum tp_status status) {
    return tp_fail(&(struct tp_error){
        .status = status, .image = image->name, .key = tp_key_name(key), .value = tp_key_cell(key)});
}

TP_COLD enum tp_status tp_order_keys(struct tp_image *image) {
    const struct tp_sort sort = {image->keys, NULL, key_before, swap_keys};
    tp_sort_table(&sort, image->key_count);
    for (uint32_t i = 0; i < image->key_count; i++) {
        const struct tp_key *key = &image->keys[i];
        if (key->kind < TP_KEY_KIND_OP || key->kind > TP_KEY_KIND_STATIC_KEY || key->reserved != 0)
            return refuse_key(image, key, TP_ERR_UNKNOWN_KIND);
        if (tp_key_cell(key) % sizeof(tp_cell) != 0)
            return refuse_key(image, key, TP_ERR_BAD_ARGUMENT);
        if (i > 0 && tp_key_cell(key) == tp_key_cell(key - 1))
            return refuse_key(image, key, TP_ERR_DUPLICATE_KEY);
    }
    return TP_OK;
}

TP_COLD static bool inline_before(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    const struct tp_inline *inlines = sort->table;
    return tp_relative(&inlines[a].function) < tp_relative(&inlines[b].function);
}

TP_COLD static void swap_inlines(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    swap_records(sort->table, a, b, sizeof(struct tp_inline) / 4, 3);
}

TP_COLD enum tp_status tp_order_inlines(struct tp_image *image) {
    const struct tp_sort sort = {image->inlines, NULL, inline_before, swap_inlines};
    tp_sort_table(&sort, image->inline_count);
    for (uint32_t i = 1; i < image->inline_count; i++)
        if (!inline_before(&sort, i - 1, i))
            return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_INLINE,
                                              .image = image->name,
                                              .value = tp_relative(&image->inlines[i].function)});
    return TP_OK;
}

static unsigned class_of(const struct tp_image *image, uintptr_t address) {
    if (address >= (uintptr_t)image->originals && address < (uintptr_t)image->originals_end)
        return 2;
    if (address >= (uintptr_t)image->replacements && address < (uintptr_t)image->replacements_end)
        return 1;
    return 0;
}

TP_COLD static bool site_before(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    const struct tp_image *image = sort->context;
    const struct tp_site *left = &image->sites[a], *right = &image->sites[b];
    uintptr_t here = tp_site_address(left), there = tp_site_address(right);
    unsigned left_class = class_of(image, here), right_class = class_of(image, there);
    if (left_class != right_class)
        return left_class < right_class;
    if (here != there)
        return here < there;
    if (left->length != right->length)
        return left->length > right->length;
    if (tp_site_kind(left) != tp_site_kind(right))
        return tp_site_kind(left) < tp_site_kind(right); /* TP_KIND_ALTERNATIVE is the lowest */
    return tp_site_replacement(left) > tp_site_replacement(right);
}

/* A field of 0 means "none" and not an address, so it doesn't move: kinds differ in which they have. */
TP_COLD static void swap_sites(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    struct tp_site *sites = sort->table;
    bool has_form[2] = {sites[a].form != 0, sites[b].form != 0};
    bool has_key[2] = {sites[a].key != 0, sites[b].key != 0};
    swap_records(sites, a, b, sizeof(struct tp_site) / 4, 3);
    if (!has_form[0])
        sites[b].form = 0;
    if (!has_form[1])
        sites[a].form = 0;
    if (!has_key[0])
        sites[b].key = 0;
    if (!has_key[1])
        sites[a].key = 0;
}

TP_COLD void tp_order_sites(struct tp_image *image) {
    const struct tp_sort sort = {image->sites, image, site_before, swap_sites};
    tp_sort_table(&sort, image->site_count);
    uint32_t counts[3] = {0, 0, 0};
    for (uint32_t i = 0; i < image->site_count; i++)
        counts[class_of(image, tp_site_address(&image->sites[i]))]++;
    image->place_count = counts[0];
    image->template_count = counts[1];
    image->places_per_byte = ((uint64_t)counts[0] << 32) / (image->text_end - image->text_start);
}

TP_COLD static bool index_before(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    const uint32_t *index = sort->table;
    const struct tp_site *sites = sort->context;
    uintptr_t left = tp_site_cell(&sites[index[a]]), right = tp_site_cell(&sites[index[b]]);
    return left != right ? left < right : index[a] < index[b];
}

TP_COLD static void swap_index(const struct tp_sort *sort, uint32_t a, uint32_t b) {
    uint32_t *index = sort->table;
    uint32_t kept = index[a];
    index[a] = index[b];
    index[b] = kept;
}

TP_COLD void tp_order_index(struct tp_image *image) {
    uint32_t count = image->place_count + image->template_count, filled = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!tp_site_has_key(&image->sites[i]))
            image->index[filled++] = i;
    image->group_start = filled;
    for (uint32_t i = 0; i < count; i++)
        if (tp_site_has_key(&image->sites[i]))
            image->index[filled++] = i;
    const struct tp_sort sort = {image->index + image->group_start, image->sites, index_before, swap_index};
    tp_sort_table(&sort, count - image->group_start);
}
