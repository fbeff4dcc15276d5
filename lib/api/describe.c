/* SPDX-License-Identifier: MIT */
/*
 * Sites for people and for trap handlers. Takes no lock and calls no hook.
 */
#include "../api/describe.h"

#include "../render/alternative.h"
#include "../report.h"
#include "../site/search.h"
#include "../site/site.h"

static bool share_place(const struct tp_site *left, const struct tp_site *right) {
    return tp_site_address(left) == tp_site_address(right) && left->length == right->length;
}

/*
 * The form that the text shows at a site by itself; a nested one is told by its place. Not by way of tp_render(),
 * which may fail, and then reports it: a site that is not shown need not be in reach of its key's target.
 */
static uint8_t shown_form(const struct tp_image *image, uint32_t at) {
    const struct tp_site *site = &image->sites[at];
    enum tp_view view = tp_shown_view_of(image);
    while (tp_site_kind(site) == TP_KIND_ALTERNATIVE) {
        if (tp_alternative_is_chosen(site, view))
            return TP_FORM_REPLACEMENT;
        if (++at == image->place_count || !share_place(site, &image->sites[at]))
            return TP_FORM_ORIGINAL;
        site = &image->sites[at];
    }
    struct tp_template form;
    tp_render_template(site, tp_site_has_key(site) ? tp_site_key(site) : NULL, view, &form);
    return form.form;
}

TP_COLD void tp_fill_info(const struct tp_image *image, uint32_t at, struct tp_site_info *info) {
    const struct tp_site *site = &image->sites[at];
    const struct tp_key *key = tp_site_has_key(site) ? tp_site_key(site) : NULL;
    *info = (struct tp_site_info){
        .image = image,
        .address = tp_site_address(site),
        .key = key ? tp_key_name(key) : NULL,
        .cell = key ? (const void *)tp_key_cell(key) : NULL,
        .feature = tp_site_kind(site) == TP_KIND_ALTERNATIVE
                       ? (uint16_t)(site->detail & ~TP_DETAIL_LIBRARY) : (uint16_t)0,
        .length = site->length,
        .kind = (uint8_t)tp_site_kind(site),
        .form = shown_form(image, at),
        .nested = site->detail & TP_DETAIL_NESTED,
    };
}

TP_COLD void tp_for_each_site(bool (*visit)(const struct tp_site_info *, void *), void *argument) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        for (uint32_t at = 0; at < image->place_count; at++) {
            struct tp_site_info info;
            tp_fill_info(image, at, &info);
            if (!visit(&info, argument))
                return;
        }
    }
}

/* Sites are sorted with the outer before the inner, so the last one that holds the address is the innermost. */
bool tp_describe_site(uintptr_t address, struct tp_site_info *info) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        uint32_t place = tp_search_place(image, address), found = image->place_count;
        for (uint32_t at = place; at < image->place_count; at++) {
            const struct tp_site *site = &image->sites[at];
            if (tp_site_address(site) > address)
                break;
            if (address < tp_site_end(site))
                found = at;
        }
        if (found < image->place_count) {
            tp_fill_info(image, found, info);
            return true;
        }
    }
    return false;
}
