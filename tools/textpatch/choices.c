/* SPDX-License-Identifier: MIT */
#include "choices.h"

#include <string.h>

#include "../../lib/site/registry.h"
#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "forms.h"
#include "report.h"

/* What else a site depends on besides its key: long NOPs on the vendor, locks on the number of CPUs. */
enum { NOPS_DIFFER_FROM = 10, DEPTH_MAX = 16 };

static void add_feature(const struct image *image, struct choices *choices, const struct tp_site *site,
                        unsigned feature) {
    if (feature == TP_FEATURE_ALWAYS || feature == TP_FEATURE_NEVER)
        return;
    for (unsigned i = 0; i < choices->feature_count; i++)
        if (choices->features[i] == feature)
            return;
    if (choices->feature_count == CHOICES_FEATURES_MAX)
        complain("%s: it depends on more than %u features",
                 describe_address(image->kernel, kernel_address(image, (void *)tp_site_address(site))),
                 CHOICES_FEATURES_MAX);
    else
        choices->features[choices->feature_count++] = (uint16_t)feature;
}

static void add_key(struct choices *choices, struct tp_key *key) {
    for (unsigned i = 0; i < choices->key_count; i++)
        if (choices->keys[i] == key)
            return;
    choices->keys = grow(choices->keys, choices->key_count, choices->key_count + 1, sizeof *choices->keys);
    choices->keys[choices->key_count++] = key;
}

static void add_site(const struct image *image, struct choices *choices, uint32_t at) {
    const struct tp_site *site = &image->tables.sites[at];
    if (tp_site_kind(site) == TP_KIND_ALTERNATIVE)
        add_feature(image, choices, site, site->detail & TP_DETAIL_FEATURE);
    if (tp_site_kind(site) == TP_KIND_LOCK_PREFIX)
        add_feature(image, choices, site, TP_FEATURE_ONE_CPU);
    else if (site->length >= NOPS_DIFFER_FROM)
        add_feature(image, choices, site, TP_FEATURE_VENDOR_AMD);
    if (tp_site_kind(site) == TP_KIND_STATIC_CALL && tp_site_branch(site) >= TP_BRANCH_JCC)
        choices->has_condition = true;
    if (tp_site_has_key(site))
        add_key(choices, tp_site_key(site));
}

/* Sites [first, end) that begin before `stop`, and those in their replacements. */
static void add_range(const struct image *image, struct choices *choices, uint32_t first, uint32_t end, uintptr_t stop,
                      unsigned depth) {
    const struct tp_image *tables = &image->tables;
    uint32_t templates = tables->place_count + tables->template_count;
    for (uint32_t at = first; at < end && tp_site_address(&tables->sites[at]) < stop && depth < DEPTH_MAX; at++) {
        const struct tp_site *site = &tables->sites[at];
        add_site(image, choices, at);
        if (tp_site_kind(site) != TP_KIND_ALTERNATIVE || !(site->detail & TP_DETAIL_COMPOSED))
            continue;
        const struct tp_form *form = tp_site_replacement(site);
        uint32_t inner = tp_search_sites(tables, tables->place_count, templates, (uintptr_t)form->bytes);
        add_range(image, choices, inner, templates, (uintptr_t)form->bytes + form->length, depth + 1);
    }
}

struct choices find_choices(const struct image *image, uint32_t at, bool nested) {
    const struct tp_image *tables = &image->tables;
    struct choices choices = {.is_trampoline = tp_site_kind(&tables->sites[at]) == TP_KIND_TRAMPOLINE};
    uint32_t end = at < tables->place_count ? tables->place_count : tables->place_count + tables->template_count;
    if (nested)
        add_range(image, &choices, at, end, tp_site_end(&tables->sites[at]), 0);
    else
        add_site(image, &choices, at);
    return choices;
}

void choose_features(const struct choices *choices, unsigned set) {
    struct tp_state *state = &tp_registry.latched;
    memset(state, 0, sizeof *state);
    state->features[TP_FEATURE_ALWAYS / 32] |= 1u << TP_FEATURE_ALWAYS % 32;
    for (unsigned i = 0; i < choices->feature_count; i++)
        if (set >> i & 1)
            state->features[choices->features[i] / 32] |= 1u << choices->features[i] % 32;
}

const char *describe_features(const struct choices *choices, unsigned set) {
    const char *text = NULL;
    if (choices->feature_count == 1 && set == 0)
        return format_text("if not %s", name_feature(choices->features[0]));
    for (unsigned i = 0; i < choices->feature_count; i++)
        if (set >> i & 1)
            text = format_text("%s%s", text ? format_text("%s and ", text) : "if ", name_feature(choices->features[i]));
    return text;
}

/* A function that has no inline form: the one of the file if it is such. */
static uint64_t direct_target(const struct image *image, const struct tp_key *key) {
    uint64_t value = *(const tp_cell *)tp_key_cell(key);
    bool usable = lies_in_image_text(image, value, 1) && !tp_find_inline(value + image->shift);
    return (usable ? value : image->text_start) + image->shift;
}

const uint64_t *list_values(const struct image *image, const struct choices *choices, const struct tp_key *key,
                            unsigned *count) {
    const struct tp_image *tables = &image->tables;
    uint64_t *values = allocate(tables->inline_count + 3, sizeof *values);
    unsigned used = 0;
    if (key->kind == TP_KEY_KIND_STATIC_KEY) {
        values[used++] = 0;
        values[used++] = 1;
    } else {
        values[used++] = direct_target(image, key);
        uint64_t none = key->kind == TP_KEY_KIND_OP || choices->is_trampoline || !image->nop_function
                            ? 0 : image->nop_function + image->shift;
        if (none || !choices->has_condition)
            values[used++] = none;
        for (uint32_t i = 0; i < tables->inline_count; i++) {
            uint64_t function = tp_relative(&tables->inlines[i].function);
            if (!choices->is_trampoline && function != none)
                values[used++] = function;
        }
    }
    *count = used;
    return values;
}

void choose_value(struct tp_key *key, uint64_t value) {
    key->wanted = value;
}

void choose_defaults(const struct image *image, const struct choices *choices) {
    for (unsigned i = 0; i < choices->key_count; i++)
        choose_value(choices->keys[i], choices->keys[i]->kind == TP_KEY_KIND_STATIC_KEY
                                           ? 0 : direct_target(image, choices->keys[i]));
}
