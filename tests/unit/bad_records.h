/* SPDX-License-Identifier: MIT */
/*
 * Records that must be refused, one function each: it puts the bad one among good ones, and says in `wanted`
 * what the error should tell. Fields of `wanted` that stay 0 are not looked at.
 */
#ifndef TP_TEST_BAD_RECORDS_H
#define TP_TEST_BAD_RECORDS_H

#include "put.h"

#include "site/site.h"

static struct tp_error wanted;

/* The keys of every crowd. */
static uint64_t *good_slot, *good_call, *good_key;

static inline void add_good_keys(struct world *world) {
    good_slot = add_cell(world, TP_KEY_KIND_OP, "ops.good", WORK);
    good_call = add_cell(world, TP_KEY_KIND_STATIC_CALL, "good_call", WORK);
    good_key = add_cell(world, TP_KEY_KIND_STATIC_KEY, "good_key", 1);
}

/* Sites that tp_apply() changes, all of them. */
static inline void put_good(struct world *world, unsigned count) {
    const struct choice choice = {CODE("\x31\xc0"), TP_FEATURE_ALWAYS};
    for (unsigned i = 0; i < count; i++) {
        uintptr_t here = next_address(world);
        switch (i % 5) {
        case 0:
            put_op(world, good_slot, 6 + i % 10, TP_BRANCH_CALL);
            break;
        case 1:
            put_alternative(world, 0, CALL_TO(OTHER), &choice, 1);
            break;
        case 2:
            put_trampoline(world, good_call);
            break;
        case 3:
            put_branch(world, good_key, 5, here, TP_KEY_JUMPS_IF_ENABLED);
            break;
        default:
            put_lock(world);
        }
        skip_text(world, i % 3);
    }
}

static inline struct tp_site *last_site(struct world *world) {
    return &world->image.sites[world->image.site_count - 1];
}

/* A sound op site, to be spoilt. */
static inline struct tp_site *put_op_record(struct world *world) {
    wanted.site = put_op(world, good_slot, 6, TP_BRANCH_CALL);
    wanted.length = 6;
    return last_site(world);
}

/* A sound alternative of 5 bytes with that replacement, to be spoilt. */
static inline struct tp_site *put_alternative_record(struct world *world, struct code replacement) {
    const struct choice choice = {replacement, TP_FEATURE_ALWAYS};
    wanted.site = put_alternative(world, 0, CALL_TO(OTHER), &choice, 1);
    struct tp_site *site = last_site(world);
    wanted.length = site->length;
    return site;
}

static inline void set_length(struct tp_site *site, unsigned length) {
    site->length = wanted.length = (uint8_t)length;
}

static inline void put_old_version(struct world *world) {
    put_op_record(world)->kind = 2 << 4 | TP_KIND_OP;
    wanted.value = 2;
}

static inline void put_version_zero(struct world *world) { put_op_record(world)->kind = TP_KIND_OP; }

static inline void put_kind_zero(struct world *world) { put_op_record(world)->kind = TP_RECORD_VERSION << 4; }

static inline void put_kind_seven(struct world *world) {
    put_op_record(world)->kind = TP_RECORD_VERSION << 4 | 7;
    wanted.value = 7;
}

static inline void put_feature(struct world *world, unsigned feature) {
    put_alternative_record(world, CODE("\xfa"))->detail = (uint16_t)feature;
    wanted.value = feature;
}

static inline void put_feature_beyond(struct world *world) { put_feature(world, TP_FEATURE_WORDS * 32); }
static inline void put_feature_unnamed(struct world *world) { put_feature(world, TP_FEATURE(12, 31)); }
/* Bug 32: 13 * 32 + 700 has one of the library's bits, and must not be taken for the feature without it. */
static inline void put_feature_far_beyond(struct world *world) { put_feature(world, TP_FEATURE_KERNEL(700)); }

static inline void put_cell_unknown(struct world *world) {
    wanted.value = (uintptr_t)&world->tables->cells[KEYS_MAX - 1];
    aim(&put_op_record(world)->key, wanted.value);
}

static inline void put_cell_of_other_kind(struct world *world) {
    wanted.value = (uintptr_t)good_call;
    aim(&put_op_record(world)->key, wanted.value);
}

static inline void put_duplicate_key(struct world *world) {
    put_op_record(world);
    wanted = (struct tp_error){.key = "ops.twice", .value = (uintptr_t)good_slot};
    add_key(world, TP_KEY_KIND_OP, "ops.twice", good_slot);
    world->image.keys[0].name = 0;
    aim(&world->image.keys[0].name, (uintptr_t) "ops.twice");
}

static inline void put_length_zero(struct world *world) { set_length(put_op_record(world), 0); }
static inline void put_op_too_short(struct world *world) { set_length(put_op_record(world), 5); }
static inline void put_op_too_long(struct world *world) {
    set_length(put_op_record(world), 16);
    skip_text(world, 16);
}
static inline void put_branch_unknown(struct world *world) {
    put_op_record(world)->detail = 2;
    wanted.value = 2;
}
static inline void put_jcc_of_five(struct world *world) {
    wanted.site = put_static_call(world, good_call, (uintptr_t)world->text, TP_BRANCH_CALL);
    wanted.value = last_site(world)->detail = TP_BRANCH_JCC | 3;
}
static inline void put_trampoline_of_five(struct world *world) {
    wanted.site = put_trampoline(world, good_call);
    set_length(last_site(world), 5);
}
static inline void put_branch_of_three(struct world *world) {
    wanted.site = put_branch(world, good_key, 5, (uintptr_t)world->text, 0);
    set_length(last_site(world), 3);
}
static inline void put_lock_of_two(struct world *world) {
    wanted.site = put_lock(world);
    set_length(last_site(world), 2);
}
/* The copy says that the original is longer than the site. */
static inline void put_long_original(struct world *world) {
    wanted.site = put_code(world, CODE("\xfa"), 1);
    wanted.length = 1, wanted.value = 2;
    add_site(world, TP_KIND_ALTERNATIVE, wanted.site, 1, put_replacement(world, CODE("\xfb")),
             put_original(world, CODE("\xfa\xfa")), TP_FEATURE_ALWAYS);
}

static inline void put_before_text(struct world *world) {
    struct tp_site *site = put_op_record(world);
    wanted.site = (uintptr_t)world->text - 6;
    aim(&site->text, wanted.site);
}
static inline void put_over_the_end(struct world *world) {
    struct tp_site *site = put_op_record(world);
    wanted.site = world->image.text_end - 5;
    aim(&site->text, wanted.site);
}
static inline void put_at_the_end(struct world *world) {
    struct tp_site *site = put_op_record(world);
    wanted.site = world->image.text_end;
    aim(&site->text, wanted.site);
}

/* Bug 12: pairs. The error names the later one, and the earlier one as its value. */
static inline void put_overlap(struct world *world) {
    uintptr_t first = put_op(world, good_slot, 9, TP_BRANCH_CALL);
    wanted.site = first + 8, wanted.value = first, wanted.length = 1;
    add_site(world, TP_KIND_LOCK_PREFIX, first + 8, 1, 0, 0, 0);
}
static inline void put_twice(struct world *world) {
    struct tp_site *site = put_op_record(world);
    wanted.value = wanted.site;
    add_site(world, TP_KIND_OP, tp_site_address(site), 6, (uintptr_t)good_slot, 0, TP_BRANCH_CALL);
}
static inline void put_over_an_alternatives_end(struct world *world) {
    uintptr_t outer = tp_site_address(put_alternative_record(world, CODE("\xfa")));
    put_code(world, CODE("\x90"), 8);
    wanted.site = outer + 4, wanted.value = outer, wanted.length = 6;
    add_site(world, TP_KIND_OP, outer + 4, 6, (uintptr_t)good_slot, 0, TP_BRANCH_CALL);
}
/* It begins in a replacement and would be written past that one's place. */
static inline void put_over_a_forms_end(struct world *world) {
    uintptr_t outer = tp_site_address(put_alternative_record(world, CODE("\x0f\x1f\x44\0\0")));
    uintptr_t form = tp_relative(&last_site(world)->key) + 1;
    world->replacements_used += 32;
    wanted.site = form + 1, wanted.value = outer, wanted.length = 15;
    add_site(world, TP_KIND_OP, form + 1, 15, (uintptr_t)good_slot, 0, TP_BRANCH_CALL);
}
static inline void put_nine_deep(struct world *world) {
    uintptr_t copy = put_original(world, CODE("\xfa")), site = put_code(world, CODE("\xfa"), 9);
    for (unsigned i = 0; i < 9; i++)
        add_site(world, TP_KIND_ALTERNATIVE, site + i, 9 - i, put_replacement(world, CODE("\xfb")), copy,
                 TP_FEATURE_NEVER);
    wanted.site = site + 8, wanted.length = 1, wanted.value = site;
}

static inline void put_form_outside(struct world *world) {
    struct tp_site *site = put_alternative_record(world, CODE("\xfa"));
    wanted.value = (uintptr_t)world->tables->replacements + FORMS_SIZE;
    aim(&site->key, wanted.value);
}
static inline void put_form_over_the_end(struct world *world) {
    struct tp_site *site = put_alternative_record(world, CODE("\xfa"));
    wanted.value = (uintptr_t)world->tables->replacements + FORMS_SIZE - 3;
    aim(&site->key, wanted.value);
    world->tables->replacements[FORMS_SIZE - 3] = 3;
}
static inline void put_no_original(struct world *world) {
    put_alternative_record(world, CODE("\xfa"))->form = 0;
}
static inline void put_target_outside(struct world *world) {
    wanted.site = put_branch(world, good_key, 5, (uintptr_t)world->text, 0);
    wanted.value = world->image.text_end;
    aim(&last_site(world)->form, wanted.value);
}
/* Bug 11 */
static inline void put_long_replacement(struct world *world) {
    struct tp_site *site = put_alternative_record(world, CODE("\x0f\x1f\x44\0\0\xfa"));
    set_length(site, 5);
    wanted.value = 6;
}

static inline void put_bad_inline(struct world *world, struct code code) {
    put_op_record(world);
    wanted = (struct tp_error){.value = INLINED(7)};
    add_patchlet(world, INLINED(7), code);
}
static inline void put_half_an_inline(struct world *world) { put_bad_inline(world, CODE("\x0f\x20")); }
static inline void put_inline_of_sixteen(struct world *world) {
    put_bad_inline(world, CODE("\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90"));
}
static inline void put_inline_with_short_jump(struct world *world) {
    put_bad_inline(world, CODE("\x74\x01\xfa"));
}
static inline void put_inline_with_two_operands(struct world *world) {
    put_bad_inline(world, CODE("\x8b\x05\0\0\0\0\x8b\x0d\0\0\0\0"));
}
static inline void put_inline_with_inner_branch(struct world *world) {
    put_bad_inline(world, CODE("\x0f\x84\x01\0\0\0\xfa\xfb"));
}
static inline void put_inline_backwards(struct world *world) {
    put_bad_inline(world, CODE("\xfa"));
    aim(&world->image.inlines[world->image.inline_count - 1].end, (uintptr_t)world->tables->replacements - 1);
}
static inline void put_inline_twice(struct world *world) {
    put_bad_inline(world, CODE("\xfa"));
    add_patchlet(world, INLINED(7), CODE("\xfb"));
}

static inline void put_truncated(struct world *world) {
    put_alternative_record(world, CODE("\xfa\xe8\0\0"));
    wanted.value = tp_relative(&last_site(world)->key);
}
static inline void put_truncated_original(struct world *world) {
    struct tp_site *site = put_alternative_record(world, CODE("\xfa"));
    wanted.value = put_original(world, CODE("\x0f"));
    aim(&site->form, wanted.value);
}
static inline void put_no_instruction(struct world *world) {
    put_alternative_record(world, CODE("\x06\x06"));
}
static inline void put_vendors_differ(struct world *world) {
    put_alternative_record(world, CODE("\x66\xe8\0\0\0\0"));
}

#endif
