/* SPDX-License-Identifier: MIT */
/*
 * Every status of status.h, its error and its message; where writing has not begun the text is as before.
 *
 * Cases
 *   before_init         every call: TP_ERR_NOT_INITIALIZED
 *   misordered          init twice, revert before apply, an image added twice, removed twice, overlapping, in use
 *   arguments           TP_ERR_BAD_ARGUMENT in each of its forms
 *   live_writer         other CPUs run: apply, revert and update are refused, plan and audit are not
 *   port_hooks          a hook without its twin; no hook at all, at CPL 3; the message names it
 *   tables              one bad record of each kind (error_record_test has them all)
 *   text                out of reach, unexpected, different (error_text_test has them at length)
 *   map_fails           the port has no alias: nothing was changed
 *   read_back           the port's alias is other memory: found and expected are those of the first site
 *   live_order          batches: begun twice, never begun, begun by another, from a context that may not wait
 *   live_silent         a silent or busy CPU stops a batch half way: named, resumed; nobody else gets in meanwhile
 *   live_refused        what can't be changed live, and what the text does not take: nothing was changed
 *   all_seen            no status was left out
 */
#include "live.h"

#include <limits.h>

static void before_init(void **state) {
    (void)state;
    uint64_t cell = 0;
    empty_worlds();
    put_lock(&worlds[0]);
    worlds[0].image.site_count = 1;
    expect(TP_ERR_NOT_INITIALIZED, tp_image_add(&worlds[0].image));
    expect(TP_ERR_NOT_INITIALIZED, tp_image_remove(&worlds[0].image));
    expect(TP_ERR_NOT_INITIALIZED, tp_apply());
    expect(TP_ERR_NOT_INITIALIZED, tp_revert());
    expect(TP_ERR_NOT_INITIALIZED, tp_plan(ignore_edit, NULL));
    expect(TP_ERR_NOT_INITIALIZED, tp_audit(NULL, NULL));
    expect(TP_ERR_NOT_INITIALIZED, tp_key_update(&cell, 1));
    expect(TP_ERR_NOT_INITIALIZED, tp_key_add(&cell, 1));
    expect(TP_ERR_NOT_INITIALIZED, tp_feature_set(FEATURE(0)));
    expect(TP_ERR_NOT_INITIALIZED, tp_feature_clear(FEATURE(0)));
    expect(TP_ERR_NOT_INITIALIZED, tp_set_cpu_count(2));
    expect(TP_ERR_NOT_INITIALIZED, tp_cpus_running(true));
    expect(TP_ERR_NOT_INITIALIZED, tp_finish());
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_begin());
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_set(&cell, 1));
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_add(&cell, 1));
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_take_features());
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_commit());
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_cancel());
    expect(TP_ERR_NOT_INITIALIZED, tp_batch_resume());
    expect(TP_ERR_NOT_INITIALIZED, tp_set_live_options(NULL));
    assert_int_equal(cell, 0);
}

static void misordered(void **state) {
    (void)state;
    struct world *world = start_library(), *user = &worlds[1];
    expect(TP_ERR_ALREADY_INITIALIZED, tp_init(NULL));
    expect(TP_ERR_EMPTY_TABLE, tp_apply());
    expect(TP_ERR_EMPTY_TABLE, tp_plan(ignore_edit, NULL));
    expect(TP_ERR_EMPTY_TABLE, tp_image_add(&world->image));
    assert_string_equal(tp_last_error()->image, "first");
    expect(TP_ERR_NOT_APPLIED, tp_revert());
    expect(TP_ERR_IMAGE_UNKNOWN, tp_image_remove(&world->image));
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "slot", WORK);
    put_lock(world);
    put_op(user, slot, 6, TP_BRANCH_CALL);
    put_lock(&worlds[2]);
    uint64_t hash = hash_text();
    expect(TP_OK, tp_image_add(&world->image));
    expect(TP_OK, tp_image_add(&user->image));
    expect(TP_ERR_IMAGE_KNOWN, tp_image_add(&world->image));
    expect(TP_ERR_IMAGE_KNOWN, tp_image_add(&user->image));
    expect(TP_ERR_IMAGE_IN_USE, tp_image_remove(&world->image));
    expect(TP_ERR_NOT_APPLIED, tp_revert());
    worlds[2].image.text_start = user->image.text_end - 1;
    expect(TP_ERR_IMAGE_OVERLAP, tp_image_add(&worlds[2].image));
    assert_int_equal(tp_last_error()->value, user->image.text_start);
    worlds[2].image.text_start = (uintptr_t)worlds[2].text;
    add_key(&worlds[2], TP_KEY_KIND_OP, "again", slot);
    expect(TP_ERR_DUPLICATE_KEY, tp_image_add(&worlds[2].image));
    expect(TP_OK, tp_apply());
    expect(TP_OK, tp_revert());
    expect(TP_ERR_NOT_APPLIED, tp_revert());
    assert_int_equal(hash_text(), hash);
    stop_library();
}

static void arguments(void **state) {
    (void)state;
    struct world *world = start_library();
    add_good_keys(world);
    put_good(world, 5);
    struct tp_image good = world->image;
    struct tp_image bad[9] = {good, good, good, good, good, good, good, good, good};
    bad[0].name = NULL;
    bad[1].text_end = bad[1].text_start;
    bad[2].text_end = bad[2].text_start - 1;
    bad[3].sites = NULL;
    bad[4].index = NULL;
    bad[5].keys = NULL;
    bad[6].inline_count = 1, bad[6].inlines = NULL;
    bad[7].originals_end = bad[7].originals - 1;
    bad[8].replacements_end = bad[8].replacements - 1;
    expect(TP_ERR_BAD_ARGUMENT, tp_image_add(NULL));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(TP_ERR_BAD_ARGUMENT, tp_image_add(&bad[i]));
    expect(TP_OK, tp_image_add(&world->image));
    expect(TP_ERR_BAD_ARGUMENT, tp_plan(NULL, NULL));
    expect(TP_ERR_BAD_ARGUMENT, tp_set_cpu_count(0));
    expect(TP_ERR_BAD_ARGUMENT, tp_key_add(good_key, -2));
    assert_string_equal(tp_last_error()->key, "good_key");
    *good_key = INT64_MAX;
    expect(TP_ERR_BAD_ARGUMENT, tp_key_add(good_key, 1));
    expect(TP_ERR_UNKNOWN_KEY, tp_key_add(good_slot, 1));
    expect(TP_ERR_UNKNOWN_KEY, tp_key_update(good_slot - 1, 1));
    assert_int_equal(tp_last_error()->value, (uintptr_t)(good_slot - 1));
    expect(TP_ERR_UNKNOWN_FEATURE, tp_feature_set(TP_FEATURE_ALWAYS));
    expect(TP_ERR_UNKNOWN_FEATURE, tp_feature_clear(TP_FEATURE_ALWAYS));
    expect(TP_ERR_UNKNOWN_FEATURE, tp_feature_set(TP_FEATURE_NEVER));
    expect(TP_ERR_UNKNOWN_FEATURE, tp_feature_set(TP_FEATURE_WORDS * 32));
    expect(TP_ERR_UNKNOWN_FEATURE, tp_feature_set(TP_NOT(FEATURE(0))));
    assert_true(tp_feature_test(TP_FEATURE_ALWAYS));
    assert_false(tp_feature_test(TP_FEATURE_NEVER));
    assert_false(tp_feature_test(0xffff));
    stop_library();
}

static void live_writer(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    uint64_t hash = hash_text();
    expect(TP_OK, tp_cpus_running(true));
    expect(TP_ERR_PORT_HOOK_MISSING, tp_apply());
    expect(TP_OK, tp_plan(ignore_edit, NULL));
    expect(TP_OK, tp_audit(NULL, NULL));
    expect(TP_OK, tp_cpus_running(false));
    assert_int_equal(hash_text(), hash);
    assert_false(tp_feature_test(TP_FEATURE_ONE_CPU)); /* others did run */
    expect(TP_OK, tp_set_cpu_count(1));
    expect(TP_OK, tp_apply());
    expect(TP_ERR_NOT_APPLIED, tp_cpus_running(true)); /* lock prefixes are missing */
    expect(TP_OK, tp_set_cpu_count(2));
    expect(TP_ERR_NOT_APPLIED, tp_cpus_running(true)); /* and are still */
    expect(TP_OK, tp_apply());
    hash = hash_text();
    expect(TP_OK, tp_cpus_running(true));
    expect(TP_ERR_PORT_HOOK_MISSING, tp_revert());
    expect(TP_ERR_PORT_HOOK_MISSING, tp_key_update(good_slot, OTHER));
    assert_int_equal(*good_slot, WORK);
    assert_int_equal(hash_text(), hash);
    expect(TP_ERR_CPUS_RUNNING, tp_finish()); /* and so can't be got round */
    expect(TP_OK, tp_cpus_running(false));
    stop_library();
    world = start_crowd(5);
    use_image(world);
    expect(TP_OK, tp_apply());
    stop_library();
}

static void port_hooks(void **state) {
    (void)state;
    const struct tp_port only_map = {.map_text = map_text, .log = log_message};
    const struct tp_port only_unmap = {.unmap_text = unmap_text, .log = log_message};
    const struct tp_port none = {.log = log_message};
    empty_worlds();
    expect(TP_ERR_PORT_HOOK_MISSING, tp_init(&only_map));
    assert_string_equal(tp_last_error()->hook, "unmap_text");
    assert_non_null(strstr(port_log, "hook unmap_text"));
    expect(TP_ERR_PORT_HOOK_MISSING, tp_init(&only_unmap));
    assert_string_equal(tp_last_error()->hook, "map_text");
    expect(TP_ERR_NOT_INITIALIZED, tp_apply());
    for (unsigned with_log = 0; with_log < 2; with_log++) {
        empty_worlds();
        expect(TP_OK, tp_init(with_log ? &none : NULL));
        add_good_keys(&worlds[0]);
        put_good(&worlds[0], 24);
        expect(TP_OK, tp_image_add(&worlds[0].image));
        uint64_t hash = hash_text();
        expect(TP_ERR_PORT_HOOK_MISSING, tp_apply());
        assert_string_equal(tp_last_error()->hook, "map_text");
        assert_int_equal(log_count, with_log);
        expect(TP_OK, tp_plan(ignore_edit, NULL));
        assert_int_equal(hash_text(), hash);
        expect(TP_OK, tp_finish());
    }
}

static void tables(void **state) {
    (void)state;
    static const struct {
        enum tp_status status;
        void (*put)(struct world *);
    } rows[] = {
        {TP_ERR_RECORD_VERSION, put_old_version},
        {TP_ERR_UNKNOWN_KIND, put_kind_seven},
        {TP_ERR_UNKNOWN_FEATURE, put_feature_beyond},
        {TP_ERR_UNKNOWN_KEY, put_cell_unknown},
        {TP_ERR_DUPLICATE_KEY, put_duplicate_key},
        {TP_ERR_SITE_LENGTH, put_op_too_short},
        {TP_ERR_SITE_OUTSIDE_IMAGE, put_before_text},
        {TP_ERR_SITE_OVERLAP, put_overlap},
        {TP_ERR_NESTED_TOO_DEEP, put_nine_deep},
        {TP_ERR_FORM_OUTSIDE_IMAGE, put_form_outside},
        {TP_ERR_REPLACEMENT_TOO_LONG, put_long_replacement},
        {TP_ERR_BAD_INLINE, put_half_an_inline},
        {TP_ERR_TRUNCATED_INSN, put_truncated},
        {TP_ERR_BAD_INSN, put_no_instruction},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world *world = start_crowd(5);
        rows[i].put(world);
        uint64_t hash = hash_text();
        expect(rows[i].status, tp_image_add(&world->image));
        assert_int_equal(hash_text(), hash);
        stop_library();
    }
}

static void text(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    uint64_t hash = hash_text();
    *good_slot = FAR;
    expect(TP_ERR_OUT_OF_REACH, tp_apply());
    expect(TP_ERR_OUT_OF_REACH, tp_plan(ignore_edit, NULL));
    *good_slot = WORK;
    world->alias[0] ^= 1;
    expect(TP_ERR_UNEXPECTED_BYTES, tp_apply());
    expect(TP_ERR_UNEXPECTED_BYTES, tp_plan(ignore_edit, NULL));
    expect(TP_ERR_TEXT_DIFFERS, tp_audit(NULL, NULL));
    world->alias[0] ^= 1;
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_audit(NULL, NULL));
    stop_library();
}

static void map_fails(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    uint64_t hash = hash_text();
    port_mode = PORT_NEVER;
    expect(TP_ERR_MAP_FAILED, tp_apply());
    assert_int_equal(hash_text(), hash);
    port_mode = PORT_SMALL;
    expect(TP_OK, tp_apply());
    hash = hash_text();
    port_mode = PORT_NEVER;
    expect(TP_ERR_MAP_FAILED, tp_key_update(good_slot, OTHER));
    expect(TP_ERR_MAP_FAILED, tp_revert());
    assert_int_equal(hash_text(), hash);
    stop_library();
}

static void read_back(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    uint64_t hash = hash_text();
    port_mode = PORT_SCRATCH;
    expect(TP_ERR_READ_BACK, tp_apply());
    const struct tp_error *error = tp_last_error();
    assert_int_not_equal(error->site, 0);
    assert_memory_equal(error->found, (void *)error->site, error->shown);
    assert_memory_not_equal(error->found, error->expected, error->shown);
    assert_int_equal(hash_text(), hash);
    port_mode = PORT_WHOLE;
    uint8_t expected[16];
    uintptr_t site = error->site;
    unsigned shown = error->shown;
    memcpy(expected, error->expected, sizeof expected);
    expect(TP_OK, tp_apply());
    assert_memory_equal((void *)site, expected, shown);
    stop_library();
}

static void expect_no_batch(void) {
    expect(TP_ERR_NO_BATCH, tp_batch_set(good_slot, OTHER));
    expect(TP_ERR_NO_BATCH, tp_batch_add(good_key, 1));
    expect(TP_ERR_NO_BATCH, tp_batch_take_features());
    expect(TP_ERR_NO_BATCH, tp_batch_commit());
    expect(TP_ERR_NO_BATCH, tp_batch_cancel());
    expect(TP_ERR_NO_BATCH, tp_batch_resume());
}

static void live_order(void **state) {
    (void)state;
    struct world *world = start_live(24);
    passes_over_int3 = true;
    expect(TP_ERR_NO_BREAKPOINT, tp_cpus_running(true));
    passes_over_int3 = false;
    run_others(world);
    uint64_t hash = hash_text();
    expect_no_batch();
    live.may_not_wait = true;
    expect(TP_ERR_WRONG_CONTEXT, tp_batch_begin());
    expect(TP_ERR_WRONG_CONTEXT, tp_apply());
    expect(TP_ERR_WRONG_CONTEXT, tp_revert());
    expect(TP_ERR_WRONG_CONTEXT, tp_key_update(good_slot, OTHER));
    live.may_not_wait = false;
    expect(TP_OK, tp_batch_begin());
    assert_int_equal(live.locks, 1);
    expect(TP_ERR_BATCH_OPEN, tp_batch_begin());
    expect(TP_ERR_BATCH_OPEN, tp_apply());
    expect(TP_ERR_BATCH_OPEN, tp_key_update(good_slot, OTHER));
    expect(TP_ERR_BATCH_OPEN, tp_cpus_running(false));
    expect(TP_ERR_BATCH_OPEN, tp_set_live_options(NULL));
    live.caller = 2;
    expect_no_batch();
    live.caller = 1;
    expect(TP_OK, tp_batch_set(good_slot, OTHER));
    expect(TP_ERR_UNKNOWN_KEY, tp_batch_set(good_slot - 1, 1));
    expect(TP_ERR_BAD_ARGUMENT, tp_batch_add(good_key, -5));
    expect(TP_ERR_UNKNOWN_KEY, tp_batch_add(good_slot, 1));
    assert_int_equal(*good_slot, WORK);
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_batch_cancel());
    assert_int_equal(*good_slot, WORK);
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_batch_begin());
    expect(TP_OK, tp_batch_set(good_slot, OTHER));
    expect(TP_OK, tp_batch_set(good_slot, WORK)); /* the last note counts */
    live.may_not_wait = true;
    expect(TP_ERR_WRONG_CONTEXT, tp_batch_commit());
    live.may_not_wait = false;
    expect(TP_OK, tp_batch_commit());
    assert_int_equal(hash_text(), hash);
    assert_int_equal(live.syncs, 0);
    expect(TP_ERR_CPUS_RUNNING, tp_finish());
    expect(TP_ERR_CPUS_RUNNING, tp_set_cpu_count(1));
    expect(TP_ERR_CPUS_RUNNING, tp_feature_set(TP_FEATURE_ONE_CPU));
    const struct tp_live_options bad = {.least_class = 9};
    expect(TP_ERR_BAD_ARGUMENT, tp_set_live_options(&bad));
    const struct tp_live_options other = {.call_scheme = TP_SCHEME_PREFIX};
    expect(TP_ERR_IMAGE_KNOWN, tp_set_live_options(&other));
    stop_live();
}

/* Whatever step it was: only the caller may go on, and then all is done. */
static void expect_stuck(uint64_t hash) {
    assert_int_equal(tp_last_error()->value, 3);
    assert_non_null(strstr(port_log, "CPU 3"));
    assert_int_equal(live.locks, 1);
    expect(TP_ERR_BATCH_STUCK, tp_batch_set(good_slot, WORK));
    expect(TP_ERR_BATCH_STUCK, tp_batch_commit());
    expect(TP_ERR_BATCH_STUCK, tp_batch_cancel());
    expect(TP_ERR_BATCH_OPEN, tp_apply());
    expect(TP_OK, tp_batch_resume());
    assert_int_not_equal(hash_text(), hash);
    assert_int_equal(live.locks, 0);
    expect(TP_OK, tp_audit(NULL, NULL));
    expect(TP_ERR_NO_BATCH, tp_batch_resume());
}

static void live_silent(void **state) {
    (void)state;
    struct world *world = start_live(24);
    for (unsigned i = 0; i < 3; i++)
        put_op(world, good_slot, 6 + i, TP_BRANCH_CALL);
    run_others(world);
    for (unsigned sync = 0; sync < 3; sync++) {
        uint64_t hash = hash_text();
        live.silent_syncs = 1;
        live.syncs = 0;
        if (sync > 0) {
            live.silent_syncs = 0;
            expect(TP_OK, tp_batch_begin());
            expect(TP_OK, tp_batch_set(good_slot, sync % 2 ? WORK : OTHER));
            live.silent_syncs = 1;
            expect(TP_ERR_CPU_SILENT, tp_batch_commit());
        } else {
            expect(TP_ERR_CPU_SILENT, tp_key_update(good_slot, OTHER));
        }
        expect_stuck(hash);
        assert_int_equal(live.syncs, 4); /* three, and the silent one again */
    }
    const struct tp_live_options stopped = {.least_class = TP_CLASS_RENDEZVOUS};
    expect(TP_OK, tp_set_live_options(&stopped));
    uint64_t hash = hash_text();
    live.silent_stops = 1;
    expect(TP_ERR_CPU_SILENT, tp_key_update(good_slot, WORK));
    expect_stuck(hash);
    hash = hash_text();
    live.busy_stops = 5;
    expect(TP_OK, tp_key_update(good_slot, OTHER));
    live.busy_stops = UINT_MAX;
    expect(TP_ERR_CPU_BUSY, tp_key_update(good_slot, WORK));
    assert_int_equal(hash_text() == hash, false);
    live.busy_stops = 0;
    expect(TP_OK, tp_batch_resume());
    expect(TP_OK, tp_audit(NULL, NULL));
    stop_live();
}

static void live_refused(void **state) {
    (void)state;
    struct world *world = start_live(24);
    const struct choice choice = {CODE("\x31\xc0"), FEATURE(1)};
    uintptr_t site = put_alternative(world, 0, CALL_TO(WORK), &choice, 1);
    const struct choice inside = {CODE("\x31\xc0"), FEATURE(2)};
    put_alternative(world, 0, CODE_TO("\xe8\0\0\0\0\x31\xc0", 1, 5, WORK), &inside, 1);
    run_others(world);
    uint64_t hash = hash_text();
    expect(TP_OK, tp_feature_set(FEATURE(2)));
    expect(TP_ERR_CLASS_IMPOSSIBLE, tp_apply());
    assert_int_equal(tp_last_error()->site, site + 5);
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_feature_clear(FEATURE(2)));
    expect(TP_OK, tp_feature_set(FEATURE(1)));
    expect(TP_OK, tp_apply());
    hash = hash_text();
    port_mode = PORT_SCRATCH;
    expect(TP_ERR_READ_BACK, tp_key_update(good_slot, OTHER));
    assert_int_equal(hash_text(), hash);
    assert_int_equal(*good_slot, WORK);
    const struct tp_live_options classes[] = {{.least_assurance = TP_ASSURANCE_PRACTICE},
                                              {.least_class = TP_CLASS_RENDEZVOUS}};
    for (unsigned i = 0; i < 2; i++) {
        expect(TP_OK, tp_set_live_options(&classes[i]));
        expect(TP_ERR_READ_BACK, tp_key_update(good_slot, OTHER));
        assert_int_equal(hash_text(), hash);
        assert_int_equal(*good_slot, WORK);
    }
    expect(TP_OK, tp_set_live_options(NULL));
    port_mode = PORT_NEVER;
    expect(TP_ERR_MAP_FAILED, tp_key_update(good_slot, OTHER));
    port_mode = PORT_WHOLE;
    uint8_t *byte = alias_of(site);
    *byte ^= 0xff;
    expect(TP_OK, tp_feature_clear(FEATURE(1)));
    expect(TP_ERR_UNEXPECTED_BYTES, tp_apply());
    *byte ^= 0xff;
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_audit(NULL, NULL));
    stop_live();
}

static void all_seen(void **state) {
    (void)state;
    for (unsigned status = 0; status < TP_STATUS_COUNT; status++)
        if (!seen[status])
            fail_msg("never seen: %u, %s", status, tp_status_text((enum tp_status)status));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_init), cmocka_unit_test(misordered), cmocka_unit_test(arguments),
        cmocka_unit_test(live_writer), cmocka_unit_test(port_hooks), cmocka_unit_test(tables),
        cmocka_unit_test(text),        cmocka_unit_test(map_fails),  cmocka_unit_test(read_back),
        cmocka_unit_test(live_order),  cmocka_unit_test(live_silent), cmocka_unit_test(live_refused),
        cmocka_unit_test(all_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
