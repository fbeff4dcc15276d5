/* SPDX-License-Identifier: MIT */
/*
 * What the library knows: the images, and the state twice, as the text shows it and as it should be.
 *
 * How it works
 *   Keys hold their part of the state in the record itself (`applied`, `wanted`); the rest stands here. A view names
 *   one of the three things that a site's bytes can be a function of: nothing but the record (pristine), the state
 *   that the text shows, and the state that a pass is about to bring.
 */
#ifndef TP_SITE_REGISTRY_H
#define TP_SITE_REGISTRY_H

#include <textpatch/live.h>

enum tp_view {
    TP_VIEW_PRISTINE,
    TP_VIEW_APPLIED,
    TP_VIEW_WANTED,
};

/* State that is not in a key. */
struct tp_state {
    uint32_t features[TP_FEATURE_WORDS];
};

struct tp_registry {
    bool initialized;
    bool others_run; /* other CPUs execute the text */
    struct tp_image *images;
    struct tp_live_options options;
    bool by_amd; /* the CPUs, as of the moment when the caller that changes text entered */
    struct tp_state applied, wanted, latched; /* latched: `wanted` as it was when the pass began */
};

extern struct tp_registry tp_registry;

static inline bool tp_state_has(const struct tp_state *state, unsigned feature) {
    return state->features[feature / 32] >> (feature % 32) & 1;
}

/* The state that a view stands for; not for TP_VIEW_PRISTINE. */
const struct tp_state *tp_state_of(enum tp_view view);

/* Whether a record may name it, TP_NOT() apart. */
bool tp_feature_exists(unsigned feature);

/* Fills the CPUID words and the synthetic word. */
void tp_detect_features(struct tp_state *state);

/* Copies the wanted state, cells included, to where a pass reads it. */
void tp_latch_state(void);
/* The latched state is what the text shows now. */
void tp_commit_state(void);

/* The latched state is the applied one: a pass changes what its keys are then given, and nothing else. */
void tp_latch_applied(void);

/* The key of a cell, in any image; NULL if none. */
struct tp_key *tp_find_key(uintptr_t cell);
/* The key of a site that has one; never NULL once the site has been validated. */
struct tp_key *tp_site_key(const struct tp_site *site);
/* The inline form of a function, in any image; NULL if none. */
const struct tp_inline *tp_find_inline(uintptr_t function);

#endif
