/* SPDX-License-Identifier: MIT */
/*
 * Bad records: each has its status and its message, and nothing is written.
 *
 * Cases
 *   bad_records   every function of bad_records.h, with the bad record as first, middle and last of many: status,
 *                 error, message, log, text unchanged, image not in use
 *   mended        a refused image is accepted once its record is mended
 *   good_records  negative control: the crowd alone is accepted and applied
 *   hostile       10^5 random records of random fields: refused or rendered, never out of bounds (ASan, page ends)
 */
#include "bad_records.h"

#include "render/render.h"

struct row {
    const char *name;
    enum tp_status status;
    void (*put)(struct world *);
};
#define ROW(status, put)                                                                                     \
    { #put, status, put }

static const struct row rows[] = {
    ROW(TP_ERR_RECORD_VERSION, put_old_version),
    ROW(TP_ERR_RECORD_VERSION, put_version_zero),
    ROW(TP_ERR_UNKNOWN_KIND, put_kind_zero),
    ROW(TP_ERR_UNKNOWN_KIND, put_kind_seven),
    ROW(TP_ERR_UNKNOWN_FEATURE, put_feature_beyond),
    ROW(TP_ERR_UNKNOWN_FEATURE, put_feature_unnamed),
    ROW(TP_ERR_UNKNOWN_FEATURE, put_feature_far_beyond),
    ROW(TP_ERR_UNKNOWN_KEY, put_cell_unknown),
    ROW(TP_ERR_UNKNOWN_KEY, put_cell_of_other_kind),
    ROW(TP_ERR_DUPLICATE_KEY, put_duplicate_key),
    ROW(TP_ERR_SITE_LENGTH, put_length_zero),
    ROW(TP_ERR_SITE_LENGTH, put_op_too_short),
    ROW(TP_ERR_SITE_LENGTH, put_op_too_long),
    ROW(TP_ERR_UNKNOWN_KIND, put_branch_unknown),
    ROW(TP_ERR_SITE_LENGTH, put_jcc_of_five),
    ROW(TP_ERR_SITE_LENGTH, put_trampoline_of_five),
    ROW(TP_ERR_SITE_LENGTH, put_branch_of_three),
    ROW(TP_ERR_SITE_LENGTH, put_lock_of_two),
    ROW(TP_ERR_SITE_LENGTH, put_long_original),
    ROW(TP_ERR_SITE_OUTSIDE_IMAGE, put_before_text),
    ROW(TP_ERR_SITE_OUTSIDE_IMAGE, put_over_the_end),
    ROW(TP_ERR_SITE_OUTSIDE_IMAGE, put_at_the_end),
    ROW(TP_ERR_SITE_OVERLAP, put_overlap),
    ROW(TP_ERR_SITE_OVERLAP, put_twice),
    ROW(TP_ERR_SITE_OVERLAP, put_over_an_alternatives_end),
    ROW(TP_ERR_SITE_OVERLAP, put_over_a_forms_end),
    ROW(TP_ERR_NESTED_TOO_DEEP, put_nine_deep),
    ROW(TP_ERR_FORM_OUTSIDE_IMAGE, put_form_outside),
    ROW(TP_ERR_FORM_OUTSIDE_IMAGE, put_form_over_the_end),
    ROW(TP_ERR_FORM_OUTSIDE_IMAGE, put_no_original),
    ROW(TP_ERR_FORM_OUTSIDE_IMAGE, put_target_outside),
    ROW(TP_ERR_REPLACEMENT_TOO_LONG, put_long_replacement),
    ROW(TP_ERR_BAD_INLINE, put_half_an_inline),
    ROW(TP_ERR_BAD_INLINE, put_inline_of_sixteen),
    ROW(TP_ERR_BAD_INLINE, put_inline_with_short_jump),
    ROW(TP_ERR_BAD_INLINE, put_inline_with_two_operands),
    ROW(TP_ERR_BAD_INLINE, put_inline_with_inner_branch),
    ROW(TP_ERR_BAD_INLINE, put_inline_backwards),
    ROW(TP_ERR_BAD_INLINE, put_inline_twice),
    ROW(TP_ERR_TRUNCATED_INSN, put_truncated),
    ROW(TP_ERR_TRUNCATED_INSN, put_truncated_original),
    ROW(TP_ERR_BAD_INSN, put_no_instruction),
    ROW(TP_ERR_BAD_INSN, put_vendors_differ),
};

enum { CROWD = 24 };

static void check_message(const struct row *row) {
    const struct tp_error *error = tp_last_error();
    char message[TP_MESSAGE_MAX], digits[32];
    tp_format_error(error, message, sizeof message);
    if (error->status != row->status || log_count != 1 || strcmp(message, port_log) != 0)
        fail_msg("%s: %s", row->name, message);
    assert_non_null(strstr(message, tp_status_text(row->status)));
    assert_string_equal(error->image, "first");
    assert_non_null(strstr(message, "image first"));
    if (wanted.site && error->site != wanted.site)
        fail_msg("%s: site 0x%lx, not as in %s", row->name, (long)wanted.site, message);
    snprintf(digits, sizeof digits, "site 0x%lx (%u bytes)", (long)error->site, error->length);
    assert_true(!wanted.site || strstr(message, digits));
    assert_true(!wanted.length || wanted.length == error->length);
    if (wanted.value && error->value != wanted.value)
        fail_msg("%s: value 0x%lx, not as in %s", row->name, (long)wanted.value, message);
    snprintf(digits, sizeof digits, "value 0x%lx", (long)error->value);
    assert_true(!wanted.value || strstr(message, digits));
    assert_true(!wanted.key ||
                (error->key && strcmp(wanted.key, error->key) == 0 && strstr(message, wanted.key)));
}

static void bad_records(void **state) {
    (void)state;
    static const unsigned before[] = {0, CROWD / 2, CROWD};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned position = 0; position < 3; position++) {
            struct world *world = start_library();
            wanted = (struct tp_error){.status = TP_OK};
            add_good_keys(world);
            put_good(world, before[position]);
            rows[i].put(world);
            put_good(world, CROWD - before[position]);
            uint64_t hash = hash_text();
            enum tp_status status = tp_image_add(&world->image);
            if (status != rows[i].status)
                fail_msg("%s: %s", rows[i].name, tp_status_text(status));
            check_message(&rows[i]);
            assert_int_equal(tp_apply(), TP_ERR_EMPTY_TABLE);
            assert_int_equal(hash_text(), hash);
            assert_int_equal(port_maps, 0);
            stop_library();
        }
    }
}

static void mended(void **state) {
    (void)state;
    struct world *world = start_library();
    add_good_keys(world);
    put_good(world, CROWD);
    struct tp_site *site = put_op_record(world);
    site->detail = 2;
    assert_int_equal(tp_image_add(&world->image), TP_ERR_UNKNOWN_KIND);
    site->detail = TP_BRANCH_CALL;
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    stop_library();
}

static void good_records(void **state) {
    (void)state;
    struct world *world = start_library();
    add_good_keys(world);
    put_good(world, CROWD);
    uint64_t hash = hash_text();
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_not_equal(hash_text(), hash);
    assert_int_equal(log_count, 0);
    stop_library();
}

/* A record that is mostly sound, so that it gets past the first checks. */
static void add_random_record(struct world *world) {
    struct tables *tables = world->tables;
    static const uint8_t lengths[] = {1, 2, 5, 6, 7, 15, 30, 255};
    uintptr_t bases[] = {(uintptr_t)world->text,
                         (uintptr_t)tables->originals,
                         (uintptr_t)tables->replacements,
                         world->image.text_end - 20,
                         (uintptr_t)tables->replacements + FORMS_SIZE - 20,
                         (uintptr_t)good_slot};
    unsigned kind = 1 + (unsigned)rand() % 6, length = lengths[rand() % 8];
    uintptr_t text = bases[rand() % 5] + (unsigned)rand() % 64;
    uintptr_t key = kind == TP_KIND_ALTERNATIVE ? bases[2 + rand() % 2 * 2] + (unsigned)rand() % 64
                                                : (uintptr_t)good_slot + 8 * ((unsigned)rand() % 4);
    uintptr_t form = kind == TP_KIND_ALTERNATIVE ? bases[1] + (unsigned)rand() % 64 : bases[0];
    unsigned detail = kind == TP_KIND_STATIC_KEY ? (unsigned)rand() % 4 : (unsigned)rand() % 2;
    add_site(world, kind, text, length, key, form, kind == TP_KIND_ALTERNATIVE ? TP_FEATURE_ALWAYS : detail);
}

/* Whatever the status, nothing behind the site's bytes may be written. */
static void render_anyway(const struct world *world, uint32_t place) {
    uint8_t bytes[2 * TP_SITE_LENGTH_MAX], form;
    memset(bytes, 0xa5, sizeof bytes);
    for (enum tp_view view = TP_VIEW_PRISTINE; view <= TP_VIEW_WANTED; view += 2) {
        tp_latch_state();
        if (tp_render(&world->image, place, view, bytes, &form) > TP_STATUS_COUNT)
            fail();
        for (unsigned i = world->image.sites[place].length; i < sizeof bytes; i++)
            assert_int_equal(bytes[i], 0xa5);
    }
}

/* No byte outside of the text may be read or written; pages that trap lie behind it, tables fill theirs. */
static void hostile(void **state) {
    (void)state;
    unsigned accepted = 0;
    struct world *world = start_library();
    srand(1);
    for (unsigned round = 0; round < 100000; round++) {
        uint8_t *forms[] = {world->tables->originals, world->tables->replacements};
        empty_world(0);
        world->used = 1024;
        add_good_keys(world);
        for (unsigned i = 0; i < 128; i++)
            forms[i % 2][i / 2] = (uint8_t)(rand() % 8 ? (rand() % 2 ? 0x90 : rand() % 12) : rand());
        for (int count = 1 + rand() % 3; count > 0; count--)
            add_random_record(world);
        if (tp_image_add(&world->image) != TP_OK)
            continue;
        struct tp_site_info info;
        for (uint32_t i = 0; i < world->image.place_count; i++)
            render_anyway(world, i);
        (void)tp_describe_site((uintptr_t)world->text + (unsigned)rand() % 128, &info);
        assert_int_equal(tp_image_remove(&world->image), TP_OK);
        accepted++;
    }
    assert_true(accepted > 1000);
    stop_library();
}

/* A replacement that holds, as a site of its own, an alternative with the same replacement. */
static void endless(void **state) {
    (void)state;
    struct world *world = start_library();
    struct tp_site *site = put_alternative_record(world, CODE("\x0f\x1f\x44\0\0"));
    uintptr_t form = tp_relative(&site->key), copy = tp_relative(&site->form);
    add_site(world, TP_KIND_ALTERNATIVE, form + 1, 5, form, copy, TP_FEATURE_ALWAYS);
    use_image(world);
    uint64_t hash = hash_text();
    assert_int_equal(tp_apply(), TP_ERR_NESTED_TOO_DEEP);
    assert_int_equal(tp_last_error()->value, wanted.site);
    assert_int_equal(hash_text(), hash);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_records), cmocka_unit_test(mended),  cmocka_unit_test(good_records),
        cmocka_unit_test(endless),     cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
