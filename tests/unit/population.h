/* SPDX-License-Identifier: MIT */
/*
 * Many sites of all kinds, and what their records mean.
 *
 * Calls
 *   put_population()  a mixture of places, with templates and with copies in the originals
 *   read_meanings(), write_meanings(), shuffle_meanings()   records as absolute addresses, and back
 *   next_random()     the same numbers in every run
 */
#ifndef TP_TEST_POPULATION_H
#define TP_TEST_POPULATION_H

#include "put.h"

#include "site/registry.h"
#include "site/site.h"

struct meaning {
    uintptr_t text, key, form; /* key, form: 0 if the record has none */
    unsigned length, kind, detail;
};

static uint64_t random_state;

static inline uint32_t next_random(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33);
}

enum { POPULATION_KEYS = 48 };

/* Cells of the three kinds, in turn: op slots, static calls, static keys. */
static inline uint64_t *population_cell(const struct world *world, unsigned n) {
    return &world->tables->cells[n];
}

static inline void add_population_keys(struct world *world) {
    static char names[WORLDS][POPULATION_KEYS][24];
    for (unsigned i = 0; i < POPULATION_KEYS; i++) {
        char *name = names[world - worlds][i];
        snprintf(name, sizeof names[0][0], "%s.key%u", world->image.name, i);
        add_cell(world, TP_KEY_KIND_OP + i % 3, name, i % 3 < 2 ? WORK : 0);
    }
}

/* A random key of the kind, of `world` or of one that was built before it. */
static inline uint64_t *pick_cell(const struct world *world, unsigned kind) {
    const struct world *owner =
        next_random() % 4 ? world : &worlds[next_random() % (unsigned)(world - worlds + 1)];
    return population_cell(owner, next_random() % (POPULATION_KEYS / 3) * 3 + kind - TP_KEY_KIND_OP);
}

/* push rdi; an op call, an alternative; pop rdi: as an original (with its copy's records) or as a replacement. */
static inline void put_nest(struct world *world, bool in_original) {
    uint64_t *slot = pick_cell(world, TP_KEY_KIND_OP);
    struct code nest = CODE_TO("\x57\xff\x15\0\0\0\0\xfa\x90\x90\x5f", 3, 7, (uintptr_t)slot);
    struct choice choice = {in_original ? CALL_TO(OTHER) : nest, (uint16_t)FEATURE(next_random() % 8)};
    uintptr_t copy = (uintptr_t)world->tables->originals + world->originals_used + 1;
    uintptr_t form = (uintptr_t)world->tables->replacements + world->replacements_used + 1;
    uintptr_t site = put_alternative(world, 0, in_original ? nest : CODE("\xfa"), &choice, 1);
    uintptr_t places[2] = {in_original ? site : form, copy};
    uintptr_t inner = put_replacement(world, CODE("\x0f\x01\xca")),
              inner_copy = put_original(world, CODE("\xfa"));
    for (unsigned i = 0; i < (in_original ? 2 : 1); i++) {
        add_site(world, TP_KIND_OP, places[i] + 1, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
        add_site(world, TP_KIND_ALTERNATIVE, places[i] + 7, 3, inner, inner_copy, FEATURE(next_random() % 8));
    }
}

static inline void put_choices(struct world *world) {
    uint64_t *slot = pick_cell(world, TP_KEY_KIND_OP);
    const struct choice choices[] = {{CODE("\x31\xc0"), (uint16_t)FEATURE(next_random() % 8)},
                                     {CALL_TO(OTHER), (uint16_t)TP_NOT(FEATURE(next_random() % 8))},
                                     {CODE("\x48\x89\xf8"), (uint16_t)FEATURE(next_random() % 8)}};
    struct code call = CODE_TO("\xff\x15\0\0\0\0", 2, 6, (uintptr_t)slot);
    uintptr_t site = put_alternative(world, 6 + next_random() % 4, call, choices, 1 + next_random() % 3);
    if (next_random() % 2)
        add_site(world, TP_KIND_OP, site, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
}

static inline void put_any(struct world *world) {
    uintptr_t back = next_address(world) - 1;
    switch (next_random() % 8) {
    case 0:
        put_op(world, pick_cell(world, TP_KEY_KIND_OP), 6 + next_random() % 10, TP_BRANCH_CALL);
        break;
    case 1:
        put_op(world, pick_cell(world, TP_KEY_KIND_OP), 6 + next_random() % 10, TP_BRANCH_JMP);
        break;
    case 2:
        put_trampoline(world, pick_cell(world, TP_KEY_KIND_STATIC_CALL));
        break;
    case 3:
        put_static_call(world, pick_cell(world, TP_KEY_KIND_STATIC_CALL), (uintptr_t)world->text,
                        next_random() % 2 ? TP_BRANCH_JCC | next_random() % 16 : next_random() % 2);
        break;
    case 4:
        put_branch(world, pick_cell(world, TP_KEY_KIND_STATIC_KEY), next_random() % 2 ? 5 : 2, back,
                   next_random() % 4);
        break;
    case 5:
        put_lock(world);
        break;
    case 6:
        put_choices(world);
        break;
    default:
        put_nest(world, next_random() % 2);
    }
}

/* Records until there are `count` of them, or a few more. */
static inline void put_population(struct world *world, unsigned count) {
    add_population_keys(world);
    skip_text(world, 1);
    while (world->image.site_count < count) {
        put_any(world);
        skip_text(world, next_random() % 4 ? 0 : next_random() % 20);
    }
}

static inline struct meaning read_meaning(const struct tp_site *site) {
    return (struct meaning){tp_site_address(site),
                            site->key ? tp_relative(&site->key) : 0,
                            site->form ? tp_relative(&site->form) : 0,
                            site->length,
                            tp_site_kind(site),
                            site->detail & ~(unsigned)TP_DETAIL_LIBRARY};
}

static inline void write_meanings(struct world *world, const struct meaning *meanings, uint32_t count) {
    world->image.site_count = 0;
    for (uint32_t i = 0; i < count; i++)
        add_site(world, meanings[i].kind, meanings[i].text, meanings[i].length, meanings[i].key,
                 meanings[i].form, meanings[i].detail);
}

static inline void shuffle_meanings(struct meaning *meanings, uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = next_random() % i;
        struct meaning kept = meanings[i - 1];
        meanings[i - 1] = meanings[other];
        meanings[other] = kept;
    }
}

#endif
