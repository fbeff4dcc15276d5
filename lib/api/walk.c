/* SPDX-License-Identifier: MIT */
#include "../api/walk.h"

#include "../render/render.h"
#include "../site/search.h"
#include "../site/site.h"

static bool same_bytes(const uint8_t *left, const uint8_t *right, unsigned length) {
    for (unsigned i = 0; i < length; i++)
        if (left[i] != right[i])
            return false;
    return true;
}

static bool is_rendered_alone(const struct tp_image *image, uint32_t entry) {
    return entry < image->place_count && !(image->sites[entry].detail & TP_DETAIL_NESTED);
}

static enum tp_status walk_place(const struct tp_walk *walk, const struct tp_image *image, uint32_t place) {
    uint8_t old_bytes[TP_SITE_LENGTH_MAX], new_bytes[TP_SITE_LENGTH_MAX], old_form, new_form;
    const struct tp_site *site = &image->sites[place];
    enum tp_status status = tp_render(image, place, tp_shown_view_of(image), old_bytes, &old_form);
    if (status == TP_OK)
        status = tp_render(image, place, walk->to, new_bytes, &new_form);
    if (status != TP_OK || same_bytes(old_bytes, new_bytes, site->length))
        return status;
    const struct tp_edit edit = {tp_site_address(site), old_bytes, new_bytes, site->length, NULL};
    return walk->edit(walk, image, place, &edit, new_form);
}

/* Alternatives and lock prefixes; of one key's sites, only composed alternatives may hold any. */
static enum tp_status walk_places(const struct tp_walk *walk, const struct tp_image *image) {
    for (uint32_t i = 0; i < image->group_start; i++) {
        uint32_t place = image->index[i];
        if (!is_rendered_alone(image, place))
            continue;
        if (walk->only && !(image->sites[place].detail & TP_DETAIL_COMPOSED))
            continue;
        enum tp_status status = walk_place(walk, image, place);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

/* Everything that a template depends on, the cell apart. Static keys jump to a place of their own each. */
static bool share_template(const struct tp_site *left, const struct tp_site *right) {
    return left->length == right->length && left->kind == right->kind && left->detail == right->detail &&
           tp_site_kind(left) != TP_KIND_STATIC_KEY;
}

/* How many entries from `first` on lie in the text by themselves and share the first one's template. */
static uint32_t count_run(const struct tp_image *image, uint32_t first, uint32_t end) {
    const struct tp_site *head = &image->sites[image->index[first]];
    uint32_t at = first + 1;
    while (at < end && image->index[at] < image->place_count &&
           share_template(head, &image->sites[image->index[at]]))
        at++;
    return at - first;
}

static bool templates_differ(const struct tp_run *run) {
    return run->old_form.relative != run->new_form.relative || run->old_form.bias != run->new_form.bias ||
           run->old_form.field != run->new_form.field ||
           !same_bytes(run->old_form.bytes, run->new_form.bytes, run->old_form.length);
}

static enum tp_status check_run_reach(const struct tp_run *run, const struct tp_site *first,
                                      const struct tp_site *last) {
    enum tp_status status = tp_check_reach(&run->new_form, first, tp_site_address(first));
    return status == TP_OK ? tp_check_reach(&run->new_form, last, tp_site_address(last)) : status;
}

/* Sites of one key: entries [first, end) of the index, by address. What reaches from both ends reaches between. */
static enum tp_status walk_group(const struct tp_walk *walk, const struct tp_image *image,
                                 const struct tp_key *key, uint32_t first, uint32_t end) {
    for (uint32_t at = first, count; at < end; at += count) {
        const struct tp_site *site = &image->sites[image->index[at]];
        count = 1;
        if (!is_rendered_alone(image, image->index[at]))
            continue;
        count = count_run(image, at, end);
        struct tp_run run = {.image = image, .key = tp_key_name(key)};
        tp_render_template(site, key, tp_shown_view_of(image), &run.old_form);
        tp_render_template(site, key, walk->to, &run.new_form);
        if (!templates_differ(&run))
            continue;
        enum tp_status status = check_run_reach(&run, site, &image->sites[image->index[at + count - 1]]);
        if (status == TP_OK)
            status = walk->run(walk, &run, &image->index[at], count);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

static enum tp_status walk_groups(const struct tp_walk *walk, const struct tp_image *image) {
    uint32_t total = image->place_count + image->template_count;
    for (uint32_t first = image->group_start, end; first < total; first = end) {
        const struct tp_key *key = tp_site_key(&image->sites[image->index[first]]);
        tp_search_group(image, key, &first, &end);
        enum tp_status status = walk_group(walk, image, key, first, end);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

enum tp_status tp_walk_image(const struct tp_walk *walk, const struct tp_image *image) {
    enum tp_status status = walk_places(walk, image);
    if (status != TP_OK)
        return status;
    if (!walk->only)
        return walk_groups(walk, image);
    uint32_t first, end;
    tp_search_group(image, walk->only, &first, &end);
    return walk_group(walk, image, walk->only, first, end);
}
