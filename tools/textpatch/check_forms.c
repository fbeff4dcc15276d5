/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "disassemble.h"
#include "forms.h"
#include "report.h"

static const char *name_site(const struct site_forms *forms, const struct image *image) {
    return format_text("%s at %s", tp_kind_text(tp_site_kind(forms->site)),
                       describe_address(image->kernel, forms->address));
}

/* Zydis' boundaries, beside those of the library's decoder. */
static bool agrees(const struct form *form, unsigned length) {
    for (unsigned at = 0; at < length;) {
        unsigned used = measure_instruction(form->bytes + at, length - at);
        if (!used || !is_boundary(form, at))
            return false;
        for (unsigned inside = at + 1; inside < at + used; inside++)
            if (inside < length && is_boundary(form, inside))
                return false;
        at += used;
    }
    return true;
}

static void check_form(const struct image *image, const struct site_forms *forms, const struct form *form) {
    if (tp_site_kind(forms->site) == TP_KIND_LOCK_PREFIX)
        return;
    if (!form->whole)
        complain("%s: the form \"%s\" is no run of whole instructions: %s", name_site(forms, image), form->name,
                 show_bytes(form->bytes, forms->length));
    else if (!agrees(form, forms->length))
        complain("%s: the form \"%s\" can be read in two ways: %s, %s", name_site(forms, image), form->name,
                 show_bytes(form->bytes, forms->length),
                 disassemble(image->kernel, form->bytes, forms->length, forms->address));
}

static bool reaches(uint64_t from, uint64_t to) {
    int64_t distance = (int64_t)(to - from);
    return distance == (int32_t)distance;
}

/* A call can be given any function of the text later; and what the cell holds now, wherever that is. */
static void check_reach(const struct image *image, const struct tp_site *site) {
    uint64_t end = tp_site_end(site) - image->shift;
    const struct tp_key *key = tp_site_key(site);
    if (!key || key->kind == TP_KEY_KIND_STATIC_KEY)
        return;
    uint64_t first = tp_key_read(key);
    if (!reaches(end, image->text_start) || !reaches(end, image->text_end))
        complain("%s at %s: a call there does not reach all of the text (0x%lx to 0x%lx)",
                 tp_kind_text(tp_site_kind(site)), describe_address(image->kernel, tp_site_address(site) - image->shift),
                 (unsigned long)image->text_start, (unsigned long)image->text_end);
    if (first && !reaches(end, first))
        complain("%s at %s: the first target of %s, 0x%lx, is out of reach", tp_kind_text(tp_site_kind(site)),
                 describe_address(image->kernel, tp_site_address(site) - image->shift), tp_key_name(key),
                 (unsigned long)first);
}

void check_forms(const struct image *image, const struct text_map *map, uint8_t call_scheme) {
    for (uint32_t at = 0; at < image->tables.place_count; at++) {
        if (tp_site_has_key(&image->tables.sites[at]))
            check_reach(image, &image->tables.sites[at]);
        if (!is_outermost(image, at))
            continue;
        struct site_forms forms = collect_forms(image, at);
        for (uint32_t i = 0; i < forms.count; i++)
            check_form(image, &forms, &forms.forms[i]);
        check_targets(map, &forms);
        check_union(image, &forms, call_scheme);
    }
}
