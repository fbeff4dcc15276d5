/* SPDX-License-Identifier: MIT */
/*
 * Pairs of sites: which lie in which. Sites are sorted so that an outer one precedes all that lie in it; the walk
 * keeps the outer ones that are still open on a small stack.
 */
#include "../site/validate.h"

#include "../report.h"
#include "../site/search.h"
#include "../site/site.h"

enum { DEPTH_MAX = 8 };

TP_COLD static enum tp_status refuse_pair(const struct tp_image *image, enum tp_status status,
                                          const struct tp_site *site, const struct tp_site *other) {
    return tp_fail(&(struct tp_error){.status = status,
                                      .image = image->name,
                                      .site = tp_site_address(site),
                                      .length = site->length,
                                      .value = tp_site_address(other)});
}

static bool may_hold(const struct tp_site *outer, const struct tp_site *inner) {
    return tp_site_kind(outer) == TP_KIND_ALTERNATIVE && tp_site_end(inner) <= tp_site_end(outer);
}

/* Sites [first, end) are one class of the order. */
TP_COLD static enum tp_status nest_range(struct tp_image *image, uint32_t first, uint32_t end) {
    struct tp_site *open[DEPTH_MAX];
    unsigned depth = 0;
    for (uint32_t i = first; i < end; i++) {
        struct tp_site *site = &image->sites[i];
        while (depth > 0 && tp_site_end(open[depth - 1]) <= tp_site_address(site))
            depth--;
        if (depth > 0) {
            if (!may_hold(open[depth - 1], site))
                return refuse_pair(image, TP_ERR_SITE_OVERLAP, site, open[depth - 1]);
            open[depth - 1]->detail |= TP_DETAIL_COMPOSED;
            site->detail |= TP_DETAIL_NESTED;
        }
        if (depth == DEPTH_MAX)
            return refuse_pair(image, TP_ERR_NESTED_TOO_DEEP, site, open[0]);
        open[depth++] = site;
    }
    return TP_OK;
}

/* An alternative is composed as well if its replacement holds sites, which must lie wholly in it. */
TP_COLD static enum tp_status mark_template_holders(struct tp_image *image) {
    uint32_t count = image->place_count + image->template_count;
    for (uint32_t i = 0; i < count && image->template_count; i++) {
        struct tp_site *site = &image->sites[i];
        if (tp_site_kind(site) != TP_KIND_ALTERNATIVE)
            continue;
        const struct tp_form *form = tp_site_replacement(site);
        uint32_t at = tp_search_sites(image, image->place_count, count, (uintptr_t)form->bytes);
        for (; at < count && tp_site_address(&image->sites[at]) < (uintptr_t)form->bytes + form->length; at++) {
            if (tp_site_end(&image->sites[at]) > (uintptr_t)form->bytes + form->length)
                return refuse_pair(image, TP_ERR_SITE_OVERLAP, &image->sites[at], site);
            site->detail |= TP_DETAIL_COMPOSED;
        }
    }
    return TP_OK;
}

TP_COLD enum tp_status tp_validate_nesting(struct tp_image *image) {
    enum tp_status status = nest_range(image, 0, image->place_count);
    if (status == TP_OK)
        status = nest_range(image, image->place_count, image->place_count + image->template_count);
    return status == TP_OK ? mark_template_holders(image) : status;
}
