/* SPDX-License-Identifier: MIT */
/*
 * Images: adding, which validates all before it links the image in, and removing.
 */
#include <textpatch/live.h>

#include "../api/pass.h"
#include "../report.h"
#include "../site/order.h"
#include "../site/registry.h"
#include "../site/search.h"
#include "../site/site.h"
#include "../site/validate.h"

/* From linker/textpatch.ld; weak, so that an object without the fragment links and is told so at run time. */
#define TABLE(type, name) extern type name[] __attribute__((weak, visibility("hidden")))
TABLE(struct tp_site, __tp_sites);
TABLE(struct tp_site, __tp_sites_end);
TABLE(struct tp_key, __tp_keys);
TABLE(struct tp_key, __tp_keys_end);
TABLE(struct tp_inline, __tp_inlines);
TABLE(struct tp_inline, __tp_inlines_end);
TABLE(const uint8_t, __tp_originals);
TABLE(const uint8_t, __tp_originals_end);
TABLE(const uint8_t, __tp_replacements);
TABLE(const uint8_t, __tp_replacements_end);
TABLE(uint32_t, __tp_index);

TP_COLD static uint32_t count_entries(const void *first, const void *end, size_t size) {
    return (uint32_t)(((uintptr_t)end - (uintptr_t)first) / size);
}

TP_COLD void tp_kernel_image(struct tp_image *image, const void *text_start, const void *text_end) {
    *image = (struct tp_image){
        .name = "kernel",
        .text_start = (uintptr_t)text_start,
        .text_end = (uintptr_t)text_end,
        .sites = __tp_sites,
        .site_count = count_entries(__tp_sites, __tp_sites_end, sizeof(struct tp_site)),
        .keys = __tp_keys,
        .key_count = count_entries(__tp_keys, __tp_keys_end, sizeof(struct tp_key)),
        .inlines = __tp_inlines,
        .inline_count = count_entries(__tp_inlines, __tp_inlines_end, sizeof(struct tp_inline)),
        .originals = __tp_originals,
        .originals_end = __tp_originals_end,
        .replacements = __tp_replacements,
        .replacements_end = __tp_replacements_end,
        .index = __tp_index,
    };
}

TP_COLD static enum tp_status fail_image(const struct tp_image *image, enum tp_status status) {
    return tp_fail(&(struct tp_error){.status = status, .image = image->name});
}

TP_COLD static enum tp_status check_keys_are_new(const struct tp_image *image) {
    for (uint32_t i = 0; i < image->key_count; i++)
        if (tp_find_key(tp_key_cell(&image->keys[i])))
            return tp_fail(&(struct tp_error){.status = TP_ERR_DUPLICATE_KEY,
                                              .image = image->name,
                                              .key = tp_key_name(&image->keys[i]),
                                              .value = tp_key_cell(&image->keys[i])});
    return TP_OK;
}

TP_COLD static enum tp_status check_inlines_are_new(const struct tp_image *image) {
    for (uint32_t i = 0; i < image->inline_count; i++)
        if (tp_find_inline(tp_relative(&image->inlines[i].function)))
            return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_INLINE,
                                              .image = image->name,
                                              .value = tp_relative(&image->inlines[i].function)});
    return TP_OK;
}

TP_COLD static enum tp_status check_against_others(const struct tp_image *image) {
    for (const struct tp_image *other = tp_registry.images; other; other = other->next) {
        if (other == image)
            return fail_image(image, TP_ERR_IMAGE_KNOWN);
        if (image->text_start < other->text_end && other->text_start < image->text_end)
            return tp_fail(&(struct tp_error){
                .status = TP_ERR_IMAGE_OVERLAP, .image = image->name, .value = other->text_start});
    }
    enum tp_status status = check_keys_are_new(image);
    return status == TP_OK ? check_inlines_are_new(image) : status;
}

TP_COLD static bool overlaps_text(const struct tp_image *image, const void *first, size_t size) {
    uintptr_t start = (uintptr_t)first;
    return size && start < image->text_end && start + size > image->text_start;
}

/* A kernel that gives all of itself as text would have the library take its own tables for code. */
TP_COLD static bool holds_tables(const struct tp_image *image) {
    return overlaps_text(image, image->sites, image->site_count * sizeof(struct tp_site)) ||
           overlaps_text(image, image->keys, image->key_count * sizeof(struct tp_key)) ||
           overlaps_text(image, image->inlines, image->inline_count * sizeof(struct tp_inline)) ||
           overlaps_text(image, image->index, image->site_count * sizeof(uint32_t));
}

TP_COLD static bool is_sane(const struct tp_image *image) {
    return image && image->name && image->text_start < image->text_end &&
           (!image->site_count || (image->sites && image->index)) && (!image->key_count || image->keys) &&
           (!image->inline_count || image->inlines) && image->originals <= image->originals_end &&
           image->replacements <= image->replacements_end && !holds_tables(image);
}

TP_COLD static bool lies_in_text(const struct tp_image *image, uint64_t target) {
    return target >= image->text_start && target < image->text_end;
}

/*
 * Whether the text of another image follows a key into this one: a site holds a call of a function here, or its
 * inline form, which may be of a function elsewhere. Then the image must neither come nor go, since inline forms
 * come and go with it.
 */
TP_COLD static bool text_points_into(const struct tp_image *image) {
    for (const struct tp_image *other = tp_registry.images; other; other = other->next)
        for (uint32_t i = 0; other != image && other->applied && i < other->key_count; i++)
            if (lies_in_text(image, other->keys[i].applied) ||
                tp_search_inlines(image, other->keys[i].applied))
                return true;
    return false;
}

/* Whether a cell of another image holds the address of a function here, be the text patched or not. */
TP_COLD static bool cell_points_into(const struct tp_image *image) {
    for (const struct tp_image *other = tp_registry.images; other; other = other->next)
        for (uint32_t i = 0; other != image && i < other->key_count; i++)
            if (lies_in_text(image, tp_key_read(&other->keys[i])))
                return true;
    return false;
}

TP_COLD static enum tp_status prepare(struct tp_image *image) {
    enum tp_status status = tp_order_keys(image);
    if (status == TP_OK)
        status = tp_order_inlines(image);
    if (status == TP_OK)
        status = check_against_others(image);
    if (status == TP_OK)
        status = tp_validate_inlines(image);
    if (status == TP_OK)
        status = tp_validate_sites(image);
    if (status != TP_OK)
        return status;
    tp_order_sites(image);
    status = tp_validate_nesting(image);
    if (status == TP_OK)
        tp_order_index(image);
    return status;
}

/* #BP handlers of other CPUs may walk the list: an image is whole before it is in it. */
static void put_last(struct tp_image *image) {
    struct tp_image **last = &tp_registry.images;
    while (*last)
        last = &(*last)->next;
    __atomic_store_n(last, image, __ATOMIC_RELEASE); /* partner: the loads of the handler, which depend on it */
}

TP_COLD static enum tp_status add_image(struct tp_image *image) {
    enum tp_status status = prepare(image);
    if (status != TP_OK)
        return status;
    if (text_points_into(image))
        return fail_image(image, TP_ERR_IMAGE_IN_USE);
    image->applied = false;
    image->fresh = tp_registry.others_run && !lies_in_text(image, (uintptr_t)tp_image_add);
    image->alias = NULL;
    image->next = NULL;
    put_last(image);
    return TP_OK;
}

TP_COLD enum tp_status tp_image_add(struct tp_image *image) {
    enum tp_status status = tp_enter();
    if (status != TP_OK)
        return status;
    if (!is_sane(image))
        return tp_finish_call(tp_fail_with(TP_ERR_BAD_ARGUMENT));
    if (image->site_count == 0)
        return tp_finish_call(fail_image(image, TP_ERR_EMPTY_TABLE));
    return tp_finish_call(add_image(image));
}

static bool owns_key(const struct tp_image *image, const struct tp_key *key) {
    return key >= image->keys && key < image->keys + image->key_count;
}

TP_COLD static bool depends_on(const struct tp_image *image, const struct tp_image *keys_of) {
    uint32_t total = image->place_count + image->template_count;
    for (uint32_t i = image->group_start; i < total; i++)
        if (owns_key(keys_of, tp_site_key(&image->sites[image->index[i]])))
            return true;
    return false;
}

/* Once all CPUs have answered, no #BP handler that began before still looks at the image. */
TP_COLD static enum tp_status unlink_image(struct tp_image **link, struct tp_image *image) {
    __atomic_store_n(link, image->next, __ATOMIC_RELEASE);
    enum tp_status status = tp_sync_cpus();
    if (status != TP_OK)
        __atomic_store_n(link, image, __ATOMIC_RELEASE);
    return status;
}

TP_COLD static enum tp_status remove_image(struct tp_image *image) {
    struct tp_image **link = &tp_registry.images;
    while (*link && *link != image)
        link = &(*link)->next;
    if (!*link)
        return tp_fail_with(TP_ERR_IMAGE_UNKNOWN);
    for (const struct tp_image *other = tp_registry.images; other; other = other->next)
        if (other != image && depends_on(other, image))
            return fail_image(image, TP_ERR_IMAGE_IN_USE);
    if (text_points_into(image) || cell_points_into(image))
        return fail_image(image, TP_ERR_IMAGE_IN_USE);
    return unlink_image(link, image);
}

TP_COLD enum tp_status tp_image_remove(struct tp_image *image) {
    enum tp_status status = tp_enter();
    return status == TP_OK ? tp_finish_call(remove_image(image)) : status;
}
