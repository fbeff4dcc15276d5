/* SPDX-License-Identifier: MIT */
#include "../render/render.h"

#include "../render/alternative.h"
#include "../render/kinds.h"
#include "../report.h"
#include "../site/search.h"
#include "../site/site.h"

void tp_render_template(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                        struct tp_template *out) {
    *out = (struct tp_template){.length = site->length};
    switch (tp_site_kind(site)) {
    case TP_KIND_OP:
        tp_render_op(site, key, view, out);
        break;
    case TP_KIND_STATIC_CALL:
        tp_render_static_call(site, key, view, out);
        break;
    case TP_KIND_TRAMPOLINE:
        tp_render_trampoline(site, key, view, out);
        break;
    case TP_KIND_STATIC_KEY:
        tp_render_static_key(site, key, view, out);
        break;
    default:
        tp_render_lock_prefix(view, out);
    }
}

enum tp_status tp_check_reach(const struct tp_template *form, const struct tp_site *site, uintptr_t address) {
    if (tp_template_reaches(form, address))
        return TP_OK;
    const struct tp_key *key = tp_site_has_key(site) ? tp_site_key(site) : NULL;
    return tp_fail(&(struct tp_error){.status = TP_ERR_OUT_OF_REACH,
                                      .site = address,
                                      .length = site->length,
                                      .key = key ? tp_key_name(key) : NULL,
                                      .distance = (int64_t)(form->bias - address)});
}

/* One rendering under way: everything that stays the same while it descends into nested sites. */
struct rendering {
    const struct tp_image *image;
    enum tp_view view;
    uint8_t form; /* of the innermost site that fills the whole place */
    uint8_t depth;
};

/* Deeper than sites in text and in replacements can nest, unless a replacement holds itself. */
enum { DEPTH_MAX = 16 };

static enum tp_status render_at(struct rendering *rendering, uint32_t at, uintptr_t address, uint8_t *bytes);

/*
 * Renders the sites [first, end) that begin before `stop` on top of what stands in `bytes`, which is for
 * `address` and was assembled for `origin`. A site that lies in another of them is left to that one.
 */
static enum tp_status render_nested(struct rendering *rendering, uint32_t first, uint32_t end,
                                    uintptr_t origin, uintptr_t stop, uintptr_t address, uint8_t *bytes) {
    uintptr_t done = origin;
    for (uint32_t at = first; at < end; at++) {
        const struct tp_site *site = &rendering->image->sites[at];
        uintptr_t start = tp_site_address(site);
        if (start >= stop)
            break;
        if (start < done)
            continue;
        if (rendering->depth == DEPTH_MAX)
            return tp_fail(&(struct tp_error){
                .status = TP_ERR_NESTED_TOO_DEEP, .site = start, .length = site->length, .value = address});
        rendering->depth++;
        enum tp_status status =
            render_at(rendering, at, address + (start - origin), bytes + (start - origin));
        rendering->depth--;
        if (status != TP_OK)
            return status;
        done = tp_site_end(site);
    }
    return TP_OK;
}

static bool begins_before(const struct tp_image *image, uint32_t at, uint32_t end, uintptr_t stop) {
    return at < end && tp_site_address(&image->sites[at]) < stop;
}

static enum tp_status render_replacement(struct rendering *rendering, const struct tp_site *site,
                                         uintptr_t address, uint8_t *bytes) {
    const struct tp_image *image = rendering->image;
    const struct tp_form *form = tp_site_replacement(site);
    uintptr_t origin = (uintptr_t)form->bytes, stop = origin + form->length;
    uint32_t end = image->place_count + image->template_count, first = end;
    if (site->detail & TP_DETAIL_COMPOSED)
        first = tp_search_sites(image, image->place_count, end, origin);
    bool holds_sites = begins_before(image, first, end, stop);
    enum tp_status status = tp_render_form(site, form, holds_sites, rendering->view, address, bytes);
    if (status == TP_OK && holds_sites)
        status = render_nested(rendering, first, end, origin, stop, address, bytes);
    rendering->form = TP_FORM_REPLACEMENT;
    return status;
}

static enum tp_status render_original(struct rendering *rendering, uint32_t at, uintptr_t address,
                                      uint8_t *bytes) {
    const struct tp_image *image = rendering->image;
    const struct tp_site *site = &image->sites[at];
    uint32_t end = at < image->place_count ? image->place_count : image->place_count + image->template_count;
    bool holds_sites = begins_before(image, at + 1, end, tp_site_end(site));
    enum tp_status status =
        tp_render_form(site, tp_site_original(site), holds_sites, rendering->view, address, bytes);
    rendering->form = TP_FORM_ORIGINAL;
    if (status != TP_OK || !holds_sites)
        return status;
    status = render_nested(rendering, at + 1, end, tp_site_address(site), tp_site_end(site), address, bytes);
    const struct tp_site *inner = &image->sites[at + 1];
    if (tp_site_address(inner) != tp_site_address(site) || inner->length != site->length)
        rendering->form = TP_FORM_ORIGINAL;
    return status;
}

static enum tp_status render_at(struct rendering *rendering, uint32_t at, uintptr_t address, uint8_t *bytes) {
    const struct tp_site *site = &rendering->image->sites[at];
    if (tp_site_kind(site) == TP_KIND_ALTERNATIVE) {
        if (tp_alternative_is_chosen(site, rendering->view))
            return render_replacement(rendering, site, address, bytes);
        return render_original(rendering, at, address, bytes);
    }
    struct tp_template form;
    tp_render_template(site, tp_site_has_key(site) ? tp_site_key(site) : NULL, rendering->view, &form);
    enum tp_status status = tp_check_reach(&form, site, address);
    if (status == TP_OK)
        tp_place_template(&form, address, bytes);
    rendering->form = form.form;
    return status;
}

enum tp_status tp_render(const struct tp_image *image, uint32_t place, enum tp_view view, uint8_t *bytes,
                         uint8_t *form) {
    struct rendering rendering = {image, view, TP_FORM_ORIGINAL, 0};
    enum tp_status status = render_at(&rendering, place, tp_site_address(&image->sites[place]), bytes);
    *form = rendering.form;
    return status;
}
