/* SPDX-License-Identifier: MIT */
/*
 * From bytes back to the state that they show.
 *
 * How it works
 *   For each combination of features, each key gets the value with which the fewest bytes differ: those that make a
 *   difference by themselves (choices.h), and the targets of the branches that stand in the bytes. Keys don't touch each
 *   other's bytes, so one round finds what there is to be found.
 */
#include "forms.h"

#include <string.h>

#include "../../lib/render/render.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "choices.h"
#include "report.h"

struct match {
    const struct image *image;
    uint32_t at;
    const uint8_t *found;
    unsigned length;
    uint8_t kind; /* of what was rendered last */
};

/* How many bytes differ from what the state chosen now would have there; all, where that can't be. */
static unsigned count_differences(struct match *match, enum tp_view view) {
    uint8_t bytes[TP_SITE_LENGTH_MAX];
    unsigned count = 0;
    if (tp_render(&match->image->tables, match->at, view, bytes, &match->kind) != TP_OK)
        return match->length;
    for (unsigned i = 0; i < match->length; i++)
        count += bytes[i] != match->found[i];
    return count;
}

/* Where branches lead that may begin at any of the bytes. */
static unsigned list_targets(const struct match *match, uint64_t *targets) {
    unsigned count = 0;
    uintptr_t here = tp_site_address(&match->image->tables.sites[match->at]);
    for (unsigned i = 0; i + 5 <= match->length; i++) {
        int32_t distance;
        const uint8_t *at = match->found + i;
        bool is_jcc = i > 0 && at[-1] == 0x0f && (at[0] & 0xf0) == 0x80;
        if (at[0] != 0xe8 && at[0] != 0xe9 && !is_jcc)
            continue;
        memcpy(&distance, at + 1, sizeof distance);
        targets[count++] = here + i + 5 + (uint64_t)(int64_t)distance;
    }
    return count;
}

static unsigned choose_best(struct match *match, const struct choices *choices, struct tp_key *key) {
    unsigned count, target_count, best = match->length + 1;
    uint64_t targets[TP_SITE_LENGTH_MAX], chosen = key->wanted;
    const uint64_t *values = list_values(match->image, choices, key, &count);
    target_count = key->kind == TP_KEY_KIND_STATIC_KEY ? 0 : list_targets(match, targets);
    for (unsigned i = 0; i < count + target_count && best; i++) {
        uint64_t value = i < count ? values[i] : targets[i - count];
        choose_value(key, value);
        unsigned differences = count_differences(match, TP_VIEW_WANTED);
        if (differences < best) {
            best = differences;
            chosen = value;
        }
    }
    choose_value(key, chosen);
    return best;
}

const char *match_form(const struct image *image, uint32_t at, const uint8_t *found) {
    const struct tp_site *site = &image->tables.sites[at];
    struct match match = {.image = image, .at = at, .found = found, .length = site->length};
    struct choices choices = find_choices(image, at, true);
    if (count_differences(&match, TP_VIEW_PRISTINE) == 0)
        return "original";
    for (unsigned set = 0; set < 1u << choices.feature_count; set++) {
        choose_features(&choices, set);
        choose_defaults(image, &choices);
        for (unsigned i = 0; i < choices.key_count; i++)
            choose_best(&match, &choices, choices.keys[i]);
        if (count_differences(&match, TP_VIEW_WANTED) == 0)
            return name_choice(image, site, &choices, set, choices.key_count ? choices.keys[0] : NULL, match.kind);
    }
    return NULL;
}
