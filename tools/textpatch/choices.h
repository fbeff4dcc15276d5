/* SPDX-License-Identifier: MIT */
/*
 * The state that a place's bytes depend on, and setting it; for forms.c.
 */
#ifndef TOOL_CHOICES_H
#define TOOL_CHOICES_H

#include "image.h"

enum { CHOICES_FEATURES_MAX = 10 };

struct choices {
    uint16_t features[CHOICES_FEATURES_MAX];
    unsigned feature_count;
    struct tp_key **keys;
    unsigned key_count;
    bool is_trampoline; /* which knows no call of tp_nop_function */
    bool has_condition; /* a static call by jcc, which knows nothing else where there is no target */
};

/* All that a site depends on; with `nested`, with all that lies in it and in its replacements. */
struct choices find_choices(const struct image *image, uint32_t at, bool nested);

/* Bit n of `set` is features[n]. All other features are off. */
void choose_features(const struct choices *choices, unsigned set);
/* "if A and B": those that are on; "if not A" where there is but one; NULL where there is nothing to say. */
const char *describe_features(const struct choices *choices, unsigned set);

/* The values that make a difference, as the library is to see them; values[0] is what choose_defaults() sets. */
const uint64_t *list_values(const struct image *image, const struct choices *choices, const struct tp_key *key,
                            unsigned *count);
void choose_value(struct tp_key *key, uint64_t value);
void choose_defaults(const struct image *image, const struct choices *choices);

/* "inline native_save_fl, if X": what was rendered with these features, after `key` (or NULL) was given its value. */
const char *name_choice(const struct image *image, const struct tp_site *site, const struct choices *choices,
                        unsigned set, const struct tp_key *key, unsigned kind);

#endif
