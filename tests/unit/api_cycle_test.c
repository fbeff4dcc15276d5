/* SPDX-License-Identifier: MIT */
/*
 * plan, apply, audit, revert and update, on 1,200 mixed sites in three images whose keys they share.
 *
 * Cases
 *   plan_is_apply      the edits that tp_plan lists, carried out by the test, give the text that tp_apply gives
 *   plan_ends          a visit that answers false ends the walk
 *   apply_twice        nothing is planned any more, nothing changes
 *   revert_and_again   the pristine hash, the first hash, the pristine hash
 *   every_flip_named   one byte flipped in each place, all at once and one by one: audit names address and key
 *   update_is_local    tp_key_update changes bytes of that key's sites only, and gives what tp_apply would give
 *   added_later        an image added after tp_apply: pristine until the next one; an update leaves it alone
 *   counted            tp_key_add: on above 0, off at 0
 *   before_apply       updates before tp_apply set the cell and leave the text
 *   wrong_is_noticed   negative controls: a plan with one edit left out, a byte outside of all sites
 */
#include "population.h"

static uint8_t shadow[WORLDS][TEXT_SIZE];

static uint8_t *shadow_of(uintptr_t address) {
    struct world *world = find_world(address);
    return shadow[world - worlds] + (address - (uintptr_t)world->text);
}

static void copy_text(void) {
    for (unsigned i = 0; i < WORLDS; i++)
        memcpy(shadow[i], worlds[i].text, worlds[i].used);
}

static bool text_is_shadow(void) {
    for (unsigned i = 0; i < WORLDS; i++)
        if (memcmp(shadow[i], worlds[i].text, worlds[i].used) != 0)
            return false;
    return true;
}

static void build_images(unsigned count) {
    start_library();
    random_state = 31;
    for (unsigned i = 0; i < WORLDS; i++)
        put_population(&worlds[i], 400);
    for (unsigned i = 0; i < count; i++)
        use_image(&worlds[i]);
    assert_int_equal(tp_feature_set(FEATURE(1)), TP_OK);
    assert_int_equal(tp_feature_set(FEATURE(4)), TP_OK);
}

struct plan {
    unsigned edits, skipped, end;
};

static bool carry_out(const struct tp_edit_info *info, void *argument) {
    struct plan *plan = argument;
    uint8_t *bytes = shadow_of(info->site.address);
    assert_memory_equal(bytes, info->old_bytes, info->site.length);
    assert_memory_not_equal(info->old_bytes, info->new_bytes, info->site.length);
    assert_false(info->site.nested);
    plan->edits++;
    if (plan->edits != plan->skipped)
        memcpy(bytes, info->new_bytes, info->site.length);
    return plan->edits != plan->end;
}

static void plan_is_apply(void **state) {
    (void)state;
    build_images(WORLDS);
    for (unsigned round = 0; round < 3; round++) {
        struct plan plan = {0, 0, 0};
        uint64_t hash = hash_text();
        copy_text();
        assert_int_equal(tp_plan(carry_out, &plan), TP_OK);
        assert_true(plan.edits > 100);
        assert_int_equal(hash_text(), hash);
        assert_int_equal(tp_apply(), TP_OK);
        assert_true(text_is_shadow());
        assert_int_equal(tp_audit(NULL, NULL), TP_OK);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(round ? tp_feature_set(FEATURE(i)) : tp_feature_clear(FEATURE(i)), TP_OK);
        for (unsigned i = 0; i < POPULATION_KEYS; i++)
            *population_cell(&worlds[i % 3], i) = i % 3 == 2 ? round : OTHER + 16 * round;
    }
    stop_library();
}

static void plan_ends(void **state) {
    (void)state;
    build_images(WORLDS);
    struct plan plan = {0, 0, 7};
    copy_text();
    assert_int_equal(tp_plan(carry_out, &plan), TP_OK);
    assert_int_equal(plan.edits, 7);
    stop_library();
}

static void apply_twice(void **state) {
    (void)state;
    build_images(WORLDS);
    struct plan plan = {0, 0, 0};
    assert_int_equal(tp_apply(), TP_OK);
    uint64_t hash = hash_text();
    assert_int_equal(tp_plan(carry_out, &plan), TP_OK);
    assert_int_equal(plan.edits, 0);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(hash_text(), hash);
    stop_library();
}

static void revert_and_again(void **state) {
    (void)state;
    build_images(WORLDS);
    uint64_t pristine = hash_text();
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_apply(), TP_OK);
    uint64_t applied = hash_text();
    assert_int_not_equal(applied, pristine);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(tp_revert(), TP_OK);
        assert_int_equal(hash_text(), pristine);
        assert_int_equal(tp_audit(NULL, NULL), TP_OK);
        assert_int_equal(tp_apply(), TP_OK);
        assert_int_equal(hash_text(), applied);
    }
    stop_library();
}

struct found {
    unsigned count;
    uintptr_t address;
    const char *key;
};

static void note_difference(const struct tp_difference *difference, void *argument) {
    struct found *found = argument;
    found->count++;
    found->address = difference->site.address;
    found->key = difference->site.key;
    assert_memory_not_equal(difference->found, difference->expected, difference->site.length);
    assert_ptr_equal(difference->found, (void *)difference->site.address);
}

static bool flip_one(const struct tp_site_info *info, void *argument) {
    unsigned *flipped = argument;
    struct found found = {0, 0, NULL};
    if (info->nested)
        return true;
    uint8_t *byte = alias_of(info->address + next_random() % info->length);
    *byte ^= (uint8_t)(1 << next_random() % 8);
    assert_int_equal(tp_audit(note_difference, &found), TP_ERR_TEXT_DIFFERS);
    assert_int_equal(found.count, ++*flipped);
    assert_int_equal(tp_last_error()->status, TP_ERR_TEXT_DIFFERS);
    return true;
}

static bool flip_and_mend(const struct tp_site_info *info, void *argument) {
    struct found found = {0, 0, NULL};
    (void)argument;
    if (info->nested)
        return true;
    uint8_t *byte = alias_of(info->address + next_random() % info->length);
    *byte ^= 0x10;
    assert_int_equal(tp_audit(note_difference, &found), TP_ERR_TEXT_DIFFERS);
    *byte ^= 0x10;
    assert_int_equal(found.count, 1);
    assert_int_equal(found.address, info->address);
    assert_ptr_equal(found.key, info->key);
    assert_int_equal(tp_last_error()->site, info->address);
    return true;
}

static void every_flip_named(void **state) {
    (void)state;
    unsigned flipped = 0;
    build_images(WORLDS);
    tp_for_each_site(flip_and_mend, NULL);
    assert_int_equal(tp_apply(), TP_OK);
    tp_for_each_site(flip_and_mend, NULL);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    tp_for_each_site(flip_one, &flipped);
    assert_true(flipped > 400);
    stop_library();
}

/* Whether a site has to do with a cell: by its key, or as an alternative with such a site in its replacement. */
static bool depends_on(const struct tp_image *image, const struct tp_site *site, uintptr_t cell) {
    if (tp_site_has_key(site))
        return tp_site_cell(site) == cell;
    if (tp_site_kind(site) != TP_KIND_ALTERNATIVE)
        return false;
    uintptr_t start = (uintptr_t)tp_site_replacement(site), end = start + tp_site_replacement(site)->length;
    for (uint32_t i = image->place_count; i < image->place_count + image->template_count; i++)
        if (tp_site_address(&image->sites[i]) > start && tp_site_address(&image->sites[i]) <= end &&
            tp_site_has_key(&image->sites[i]) && tp_site_cell(&image->sites[i]) == cell)
            return true;
    return false;
}

/* Makes the shadow agree with the text at the cell's sites: then they must agree everywhere. */
static void accept_sites_of(uintptr_t cell) {
    for (unsigned i = 0; i < WORLDS; i++) {
        const struct tp_image *image = &worlds[i].image;
        for (uint32_t place = 0; place < image->place_count; place++)
            if (depends_on(image, &image->sites[place], cell)) {
                uintptr_t address = tp_site_address(&image->sites[place]);
                memcpy(shadow_of(address), (void *)address, image->sites[place].length);
            }
    }
}

static void update_is_local(void **state) {
    (void)state;
    build_images(WORLDS);
    assert_int_equal(tp_apply(), TP_OK);
    for (unsigned i = 0; i < WORLDS * POPULATION_KEYS; i++) {
        uint64_t *cell = population_cell(&worlds[i / POPULATION_KEYS], i % POPULATION_KEYS);
        uint64_t hash = hash_text(), old = *cell;
        copy_text();
        assert_int_equal(tp_key_update(cell, i % 3 == 2 ? 1 : OTHER), TP_OK);
        accept_sites_of((uintptr_t)cell);
        assert_true(text_is_shadow());
        assert_int_equal(tp_audit(NULL, NULL), TP_OK);
        struct plan plan = {0, 0, 0};
        assert_int_equal(tp_plan(carry_out, &plan), TP_OK);
        assert_int_equal(plan.edits, 0);
        assert_int_equal(tp_key_update(cell, old), TP_OK);
        assert_int_equal(hash_text(), hash);
    }
    stop_library();
}

static void added_later(void **state) {
    (void)state;
    build_images(2);
    assert_int_equal(tp_apply(), TP_OK);
    uint64_t third = hash_bytes(worlds[2].text, worlds[2].used);
    use_image(&worlds[2]);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    /* Its own key and one that it shares: pristine forms follow the cell by themselves. */
    assert_int_equal(tp_key_update(population_cell(&worlds[2], 0), OTHER), TP_OK);
    assert_int_equal(tp_key_update(population_cell(&worlds[0], 0), OTHER), TP_OK);
    assert_int_equal(hash_bytes(worlds[2].text, worlds[2].used), third);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_not_equal(hash_bytes(worlds[2].text, worlds[2].used), third);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_revert(), TP_OK);
    assert_int_equal(hash_bytes(worlds[2].text, worlds[2].used), third);
    stop_library();
}

static void counted(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *key = add_cell(world, TP_KEY_KIND_STATIC_KEY, "key", 0);
    uintptr_t site = put_branch(world, key, 5, next_address(world), TP_KEY_JUMPS_IF_ENABLED);
    static const int changes[] = {1, 1, -1, 1, -2, 3, -1, -1, -1};
    int64_t count = 0;
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        count += changes[i];
        assert_int_equal(tp_key_add(key, changes[i]), TP_OK);
        assert_int_equal(*key, count);
        assert_int_equal(*(uint8_t *)site, count ? 0xe9 : 0x0f);
    }
    assert_int_equal(tp_key_add(key, -1), TP_ERR_BAD_ARGUMENT);
    assert_int_equal(*key, 0);
    stop_library();
}

static void before_apply(void **state) {
    (void)state;
    build_images(WORLDS);
    uint64_t hash = hash_text();
    for (unsigned i = 0; i < POPULATION_KEYS; i++) {
        assert_int_equal(tp_key_update(population_cell(&worlds[0], i), OTHER + i), TP_OK);
        assert_int_equal(*population_cell(&worlds[0], i), OTHER + i);
    }
    assert_int_equal(hash_text(), hash);
    assert_int_equal(port_maps, 0);
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    build_images(WORLDS);
    struct plan plan = {0, 17, 0};
    copy_text();
    assert_int_equal(tp_plan(carry_out, &plan), TP_OK);
    assert_int_equal(tp_apply(), TP_OK);
    assert_false(text_is_shadow());
    copy_text();
    assert_int_equal(tp_key_update(population_cell(&worlds[0], 0), OTHER), TP_OK);
    accept_sites_of((uintptr_t)population_cell(&worlds[0], 3));
    assert_false(text_is_shadow());
    accept_sites_of((uintptr_t)population_cell(&worlds[0], 0));
    assert_true(text_is_shadow());
    worlds[0].alias[0] ^= 1;
    assert_false(text_is_shadow());
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_is_apply),    cmocka_unit_test(plan_ends),
        cmocka_unit_test(apply_twice),      cmocka_unit_test(revert_and_again),
        cmocka_unit_test(every_flip_named), cmocka_unit_test(update_is_local),
        cmocka_unit_test(added_later),      cmocka_unit_test(counted),
        cmocka_unit_test(before_apply),     cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
