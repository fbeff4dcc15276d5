/* SPDX-License-Identifier: MIT */
/*
 * engine: the text is a function of state, and is proved to be.
 *
 *   audit is clean after apply; revert gives the pristine hash, apply again the first one; a stale hash is told apart
 *   one flipped byte, at every site in turn, is named, and nothing else is
 *   unexpected bytes, at every site in turn: refused, with site, found and expected; nothing was changed
 *   plan lists what apply does, byte by byte, and touches nothing
 *   iterate and describe
 *   calls in the wrong order
 *   features are those of the CPU natively and, under Xen PV, those that Xen offers the guest; control: there the bare
 *     instruction says something else
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

static void returns_to_where_it_was(void) {
    REQUIRE(start_library(&alias_port));
    EXPECT_EQUAL(count_differences(NULL), 0);
    uint64_t before = hash_text();
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(count_differences(NULL), 0);
    uint64_t applied = hash_text();
    EXPECT(applied != before);
    for (unsigned round = 0; round < 5; round++) {
        REQUIRE_OK(tp_revert());
        EXPECT_EQUAL(hash_text(), before);
        EXPECT(text_is_pristine());
        EXPECT_EQUAL(count_differences(NULL), 0);
        REQUIRE_OK(tp_apply());
        EXPECT_EQUAL(hash_text(), applied);
    }
    REQUIRE_OK(tp_apply()); /* nothing to do */
    EXPECT_EQUAL(hash_text(), applied);
    flip_byte((uintptr_t)text_end - 1); /* no site's, so only the hash can tell */
    EXPECT(hash_text() != applied);
    EXPECT_EQUAL(count_differences(NULL), 0);
    flip_byte((uintptr_t)text_end - 1);
    EXPECT_EQUAL(hash_text(), applied);
}

static unsigned visited;

/* Calls `check` with each site that lies in no other. The walk reads tables only: text may change under it. */
static bool visit_outer(const struct tp_site_info *site, void *check) {
    if (!site->nested) {
        (*(void (**)(const struct tp_site_info *))check)(site);
        visited++;
    }
    return true;
}

static void for_each_outer_site(void (*check)(const struct tp_site_info *)) {
    visited = 0;
    tp_for_each_site(visit_outer, &check);
    EXPECT(visited > 100);
}

static void expect_named(const struct tp_site_info *site, unsigned offset) {
    uintptr_t named = 0;
    flip_byte(site->address + offset);
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, site->address);
    const struct tp_error *error = tp_last_error();
    EXPECT_EQUAL(error->site, site->address);
    EXPECT_EQUAL(error->length, site->length);
    if (offset < error->shown)
        EXPECT_EQUAL(error->found[offset] ^ error->expected[offset], 0xff);
    flip_byte(site->address + offset);
}

static void flip_ends(const struct tp_site_info *site) {
    expect_named(site, 0);
    expect_named(site, site->length - 1u);
}

static void names_each_flipped_byte(void) {
    REQUIRE(start_library(&alias_port));
    for_each_outer_site(flip_ends);
    REQUIRE_OK(tp_apply());
    uint64_t applied = hash_text();
    for_each_outer_site(flip_ends);
    EXPECT_EQUAL(hash_text(), applied);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

/* Sites whose bytes apply leaves alone are not looked at. */
static bool would_change;
static uintptr_t looked_for;
static bool look_for_edit(const struct tp_edit_info *edit, void *argument) {
    (void)argument;
    would_change |= edit->site.address == looked_for;
    return true;
}

static void expect_refusal(const struct tp_site_info *site) {
    would_change = false;
    looked_for = site->address;
    EXPECT_OK(tp_plan(look_for_edit, NULL));
    if (!would_change)
        return;
    flip_byte(site->address);
    uint64_t before = hash_text();
    EXPECT_STATUS(tp_apply(), TP_ERR_UNEXPECTED_BYTES);
    EXPECT_EQUAL(hash_text(), before);
    const struct tp_error *error = tp_last_error();
    EXPECT_EQUAL(error->site, site->address);
    EXPECT_EQUAL(error->length, site->length);
    EXPECT_EQUAL(error->found[0] ^ error->expected[0], 0xff);
    EXPECT_STATUS(tp_plan(look_for_edit, NULL), TP_ERR_UNEXPECTED_BYTES);
    flip_byte(site->address);
}

static void refuses_unexpected_bytes(void) {
    REQUIRE(start_library(&alias_port));
    for_each_outer_site(expect_refusal);
    EXPECT(text_is_pristine());
    REQUIRE_OK(tp_apply());
}

enum { PLAN_BYTES = 8192 };
static struct {
    uintptr_t address;
    uint8_t old_byte, new_byte;
} planned[PLAN_BYTES];
static unsigned planned_count;

static bool keep_plan(const struct tp_edit_info *edit, void *argument) {
    (void)argument;
    for (unsigned i = 0; i < edit->site.length && planned_count < PLAN_BYTES; i++) {
        planned[planned_count].address = edit->site.address + i;
        planned[planned_count].old_byte = edit->old_bytes[i];
        planned[planned_count++].new_byte = edit->new_bytes[i];
    }
    return true;
}

static void expect_planned_bytes(bool new) {
    for (unsigned i = 0; i < planned_count; i++)
        EXPECT_BYTES(planned[i].address, new ? planned[i].new_byte : planned[i].old_byte);
}

static bool stop_at_third(const struct tp_edit_info *edit, void *count) {
    (void)edit;
    return ++*(unsigned *)count < 3;
}

static void plans_what_it_does(void) {
    unsigned count = 0;
    REQUIRE(start_library(&alias_port));
    planned_count = 0;
    REQUIRE_OK(tp_plan(keep_plan, NULL));
    EXPECT(text_is_pristine());
    EXPECT(planned_count > 500 && planned_count < PLAN_BYTES);
    expect_planned_bytes(false);
    EXPECT_OK(tp_plan(stop_at_third, &count));
    EXPECT_EQUAL(count, 3);
    REQUIRE_OK(tp_apply());
    expect_planned_bytes(true);
    /* Undone by hand, the text is pristine: apply has changed nothing that wasn't planned. */
    uint64_t applied = hash_text();
    for (unsigned i = 0; i < planned_count; i++)
        poke_text(planned[i].address, &planned[i].old_byte, 1);
    EXPECT(text_is_pristine());
    for (unsigned i = 0; i < planned_count; i++)
        poke_text(planned[i].address, &planned[i].new_byte, 1);
    EXPECT_EQUAL(hash_text(), applied);
    planned_count = 0;
    EXPECT_OK(tp_plan(keep_plan, NULL));
    EXPECT_EQUAL(planned_count, 0);
    EXPECT_STATUS(tp_plan(NULL, NULL), TP_ERR_BAD_ARGUMENT);
}

static uintptr_t last_address;

static bool check_description(const struct tp_site_info *site, void *argument) {
    struct tp_site_info inner;
    (void)argument;
    visited++;
    EXPECT(site->address >= last_address);
    last_address = site->address;
    EXPECT(site->address >= (uintptr_t)text_start && site->address + site->length <= (uintptr_t)text_end);
    EXPECT(site->image == &kernel_image);
    EXPECT(tp_kind_text(site->kind) && tp_form_text(site->form));
    EXPECT_EQUAL(site->cell != NULL, site->key != NULL);
    for (unsigned i = 0; i < site->length; i++) {
        EXPECT(tp_describe_site(site->address + i, &inner));
        EXPECT(inner.address >= site->address && inner.address <= site->address + i);
    }
    return true;
}

static bool stop_at_once(const struct tp_site_info *site, void *argument) {
    (void)site;
    ++*(unsigned *)argument;
    return false;
}

static void describes_sites(void) {
    struct tp_site_info site;
    unsigned count = 0;
    REQUIRE(start_applied());
    last_address = visited = 0;
    tp_for_each_site(check_description, NULL);
    EXPECT_EQUAL(visited, kernel_image.place_count);
    tp_for_each_site(stop_at_once, &count);
    EXPECT_EQUAL(count, 1);
    EXPECT(!tp_describe_site((uintptr_t)text_start, &site));
    EXPECT(!tp_describe_site((uintptr_t)text_end, &site));
    EXPECT(!tp_describe_site((uintptr_t)&count, &site));
    EXPECT(!tp_describe_site(0, &site));
    EXPECT(!tp_describe_site(UINTPTR_MAX, &site));
}

static void keeps_order(void) {
    struct tp_image empty = {0};
    REQUIRE_OK(tp_init(&alias_port));
    EXPECT_STATUS(tp_init(&alias_port), TP_ERR_ALREADY_INITIALIZED);
    EXPECT_STATUS(tp_apply(), TP_ERR_EMPTY_TABLE);
    EXPECT_STATUS(tp_revert(), TP_ERR_NOT_APPLIED);
    EXPECT_OK(tp_audit(NULL, NULL));
    EXPECT_STATUS(tp_image_add(NULL), TP_ERR_BAD_ARGUMENT);
    EXPECT_STATUS(tp_image_add(&empty), TP_ERR_BAD_ARGUMENT);
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_UNKNOWN);
    tp_kernel_image(&kernel_image, text_start, text_end);
    kernel_image.site_count = 0; /* a linker script without KEEP */
    EXPECT_STATUS(tp_image_add(&kernel_image), TP_ERR_EMPTY_TABLE);
    tp_kernel_image(&kernel_image, text_start, text_end);
    REQUIRE_OK(tp_image_add(&kernel_image));
    EXPECT_STATUS(tp_image_add(&kernel_image), TP_ERR_IMAGE_KNOWN);
    EXPECT_STATUS(tp_revert(), TP_ERR_NOT_APPLIED);
    REQUIRE_OK(tp_apply());
    REQUIRE_OK(tp_revert());
    EXPECT_STATUS(tp_revert(), TP_ERR_NOT_APPLIED);
    EXPECT(text_is_pristine());
    EXPECT_OK(tp_image_remove(&kernel_image));
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_UNKNOWN);
    EXPECT_STATUS(tp_apply(), TP_ERR_EMPTY_TABLE);
    EXPECT_OK(tp_finish());
    EXPECT_STATUS(tp_finish(), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_apply(), TP_ERR_NOT_INITIALIZED);
    REQUIRE(start_applied()); /* all of it again */
    EXPECT_EQUAL(count_differences(NULL), 0);
}

static void takes_the_guests_features(void) {
    static const struct tp_port bare_port = {.map_text = map_text, .unmap_text = unmap_text};
    uint32_t out[4];
    REQUIRE(start_library(&alias_port));
    ask_cpuid(7, 0, out);
    EXPECT_EQUAL(tp_feature_test(TP_FEATURE_SMEP), out[1] >> 7 & 1);
    EXPECT_EQUAL(tp_feature_test(TP_FEATURE_SMAP), out[1] >> 20 & 1);
    EXPECT_EQUAL(tp_feature_test(TP_FEATURE_FSGSBASE), out[1] & 1);
    bool offered = tp_feature_test(TP_FEATURE_SMEP);
    EXPECT_OK(tp_finish());
    REQUIRE(start_library(&bare_port));
    if (world == WORLD_XEN_PV) {
        EXPECT(!offered); /* the guest's page tables are Xen's affair */
        EXPECT(tp_feature_test(TP_FEATURE_SMEP));
    } else {
        EXPECT_EQUAL(tp_feature_test(TP_FEATURE_SMEP), offered);
    }
}

KTAP_SUITE(engine, {"revert and apply again", returns_to_where_it_was},
           {"a flipped byte is named, at every site", names_each_flipped_byte},
           {"unexpected bytes are refused, at every site", refuses_unexpected_bytes},
           {"plan lists what apply does", plans_what_it_does}, {"iterate and describe", describes_sites},
           {"calls in the wrong order", keeps_order},
           {"the guest's features", takes_the_guests_features});
