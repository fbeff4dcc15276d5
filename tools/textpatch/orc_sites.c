/* SPDX-License-Identifier: MIT */
/*
 * The sites of a text with all their forms: where code goes on behind a site, and what its inside looks like.
 */
#include "orc.h"
#include "report.h"

/* A lock prefix has no inside. */
static bool is_wanted(const struct orc_text *text, const struct site_forms *site) {
    return site->count && site->forms[0].whole && lies_in_text(text, site->address) &&
           lies_in_text(text, site->address + site->length - 1);
}

void find_sites(struct orc_text *text, const struct image *image) {
    text->sites = allocate(image->tables.place_count, sizeof *text->sites);
    for (uint32_t at = 0; at < image->tables.place_count; at++) {
        if (!is_outermost(image, at))
            continue;
        struct site_forms site = collect_forms(image, at);
        if (is_wanted(text, &site))
            text->sites[text->site_count++] = site;
    }
}

const struct site_forms *site_at(const struct orc_text *text, uint64_t address) {
    uint32_t low = 0, high = text->site_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (text->sites[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < text->site_count && text->sites[low].address == address ? &text->sites[low] : NULL;
}
