/* SPDX-License-Identifier: MIT */
/*
 * Errors about the text, with the bytes and the distances that they tell; and the messages themselves.
 *
 * Cases
 *   flipped_bytes     each byte of each site of a crowd, before apply and after: apply, plan, revert and audit say
 *                     found, expected and key
 *   long_site         a difference far inside a long site is among the bytes shown
 *   far_targets       a target out of reach, as first, middle and last of many, of each kind
 *   update_refused    tp_key_update out of reach: cell, text and state stay; so does a static key's
 *   map_fails_later   the port has no alias for the n-th edit: text, cell and state are as before
 *   messages          cut to any size; each status has a phrase of its own; numbers in the extreme
 *   wrong_is_noticed  negative control: nothing flipped, nothing far
 */
#include "expect.h"

/* A site as it should be. */
struct site_copy {
    uintptr_t address;
    uint8_t length;
    const char *key;
    uint8_t bytes[16];
};
static struct site_copy copies[64];
static unsigned copy_count;

static bool copy_site(const struct tp_site_info *info, void *argument) {
    (void)argument;
    struct site_copy *copy = &copies[copy_count++];
    *copy = (struct site_copy){info->address, info->length, info->key, {0}};
    memcpy(copy->bytes, (void *)info->address, info->length);
    return true;
}

static void put_hex_text(char *text, const uint8_t *bytes, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        sprintf(text + 3 * i, " %02x", bytes[i]);
}

/* The error names the site, its key and both sets of bytes, in its fields and in its message. */
static void check_bytes(const struct site_copy *site, const uint8_t *found) {
    const struct tp_error *error = tp_last_error();
    char message[TP_MESSAGE_MAX], hex[64];
    tp_format_error(error, message, sizeof message);
    assert_int_equal(error->site, site->address);
    assert_int_equal(error->length, site->length);
    assert_int_equal(error->shown, site->length);
    assert_memory_equal(error->expected, site->bytes, site->length);
    assert_memory_equal(error->found, found, site->length);
    assert_true(site->key ? error->key && strcmp(error->key, site->key) == 0 : !error->key);
    assert_true(!site->key || strstr(message, site->key));
    put_hex_text(hex, found, site->length);
    assert_non_null(strstr(message, hex));
    put_hex_text(hex, site->bytes, site->length);
    assert_non_null(strstr(message, hex));
}

/* Every byte of every site, one at a time. */
static void flip_each(bool applied) {
    for (unsigned i = 0; i < copy_count; i++)
        for (unsigned byte = 0; byte < copies[i].length; byte++) {
            uint8_t *alias = alias_of(copies[i].address + byte);
            *alias ^= 0x40;
            uint64_t hash = hash_text();
            log_count = 0;
            if (applied)
                expect(TP_ERR_UNEXPECTED_BYTES, tp_revert());
            else
                expect(TP_ERR_UNEXPECTED_BYTES, tp_apply());
            assert_int_equal(log_count, 1);
            check_bytes(&copies[i], (const uint8_t *)copies[i].address);
            assert_int_equal(hash_text(), hash);
            if (!applied) {
                expect(TP_ERR_UNEXPECTED_BYTES, tp_plan(ignore_edit, NULL));
                check_bytes(&copies[i], (const uint8_t *)copies[i].address);
            }
            expect(TP_ERR_TEXT_DIFFERS, tp_audit(NULL, NULL));
            check_bytes(&copies[i], (const uint8_t *)copies[i].address);
            *alias ^= 0x40;
        }
}

static void flipped_bytes(void **state) {
    (void)state;
    struct world *world = start_crowd(40);
    use_image(world);
    for (unsigned applied = 0; applied < 2; applied++) {
        copy_count = 0;
        tp_for_each_site(copy_site, NULL);
        flip_each(applied);
        expect(TP_OK, applied ? tp_revert() : tp_apply());
    }
    stop_library();
}

static void put_far_op(struct world *world) {
    put_op(world, add_cell(world, TP_KEY_KIND_OP, "far", FAR), 8, TP_BRANCH_CALL);
}
static void put_far_trampoline(struct world *world) {
    put_trampoline(world, add_cell(world, TP_KEY_KIND_STATIC_CALL, "far", FAR));
}
static void put_far_jcc(struct world *world) {
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "far", FAR);
    put_static_call(world, cell, (uintptr_t)world->text, TP_BRANCH_JCC);
}
static void put_far_branch(struct world *world) {
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_KEY, "far", 1);
    put_branch(world, cell, 2, (uintptr_t)world->text + 5000, TP_KEY_JUMPS_IF_ENABLED);
}
static void put_far_replacement(struct world *world) {
    const struct choice choice = {CODE("\x74\x70"), TP_FEATURE_ALWAYS};
    put_alternative(world, 0, CODE("\xfa"), &choice, 1);
}

static void far_targets(void **state) {
    (void)state;
    static void (*const puts[])(struct world *) = {put_far_op, put_far_trampoline, put_far_jcc,
                                                   put_far_branch, put_far_replacement};
    for (unsigned i = 0; i < 5; i++)
        for (unsigned before = 0; before <= 24; before += 12) {
            struct world *world = start_crowd(before);
            uintptr_t site = next_address(world);
            puts[i](world);
            put_good(world, 24 - before);
            use_image(world);
            uint64_t hash = hash_text();
            log_count = 0;
            expect(TP_ERR_OUT_OF_REACH, tp_apply());
            assert_int_equal(log_count, 1);
            assert_int_equal(tp_last_error()->site, site);
            assert_true(i == 4 || strcmp(tp_last_error()->key, "far") == 0);
            assert_true(tp_last_error()->distance != 0 && strstr(port_log, ", distance "));
            expect(TP_ERR_OUT_OF_REACH, tp_plan(ignore_edit, NULL));
            assert_int_equal(hash_text(), hash);
            assert_int_equal(port_maps, 0);
            stop_library();
        }
}

/* The state that the text shows stays too: another key can still be updated. */
static void update_refused(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    uint64_t *other = add_cell(world, TP_KEY_KIND_OP, "other", WORK);
    put_op(world, other, 6, TP_BRANCH_CALL);
    use_image(world);
    expect(TP_OK, tp_apply());
    uint64_t hash = hash_text();
    expect(TP_ERR_OUT_OF_REACH, tp_key_update(good_slot, FAR));
    assert_string_equal(tp_last_error()->key, "ops.good");
    assert_int_equal(*good_slot, WORK);
    expect(TP_ERR_OUT_OF_REACH, tp_key_update(good_call, FAR));
    assert_int_equal(*good_call, WORK);
    assert_int_equal(hash_text(), hash);
    expect(TP_OK, tp_audit(NULL, NULL));
    expect(TP_OK, tp_key_update(other, OTHER));
    expect(TP_OK, tp_audit(NULL, NULL));
    expect(TP_OK, tp_key_update(other, WORK));
    assert_int_equal(hash_text(), hash);
    world->alias[0] ^= 1; /* of the first op site */
    expect(TP_ERR_UNEXPECTED_BYTES, tp_key_update(good_slot, OTHER));
    assert_int_equal(*good_slot, WORK);
    world->alias[0] ^= 1;
    expect(TP_OK, tp_audit(NULL, NULL));
    stop_library();
}

static void long_site(void **state) {
    (void)state;
    static const unsigned flipped[] = {0, 15, 16, 31, 100, 119};
    struct world *world = start_library();
    char bytes[120];
    memset(bytes, 0x57, sizeof bytes);
    const struct choice choice = {{bytes, sizeof bytes, 0, 0, 0}, TP_FEATURE_ALWAYS};
    uintptr_t site = put_alternative(world, 0, CODE("\xfa"), &choice, 1);
    use_image(world);
    for (unsigned i = 0; i < sizeof flipped / sizeof flipped[0]; i++) {
        *alias_of(site + flipped[i]) ^= 1;
        expect(TP_ERR_UNEXPECTED_BYTES, tp_apply());
        const struct tp_error *error = tp_last_error();
        char from[32];
        assert_int_equal(error->shown, 16);
        snprintf(from, sizeof from, ", from byte %u, found", error->offset);
        assert_int_equal(!!strstr(port_log, from), error->offset != 0);
        assert_true(flipped[i] >= error->offset && flipped[i] < error->offset + 16u);
        assert_memory_not_equal(error->found, error->expected, error->shown);
        expect(TP_ERR_TEXT_DIFFERS, tp_audit(NULL, NULL));
        assert_memory_not_equal(error->found, error->expected, error->shown);
        *alias_of(site + flipped[i]) ^= 1;
    }
    stop_library();
}

static void refuse_map(unsigned number) {
    port_mode = PORT_BUT_ONE;
    port_small_maps = 0;
    port_refuses = number;
    log_count = 0;
}

/* Each edit in turn finds no alias: what was written before it is put back, and one message says which it was. */
static void map_fails_later(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    uint64_t pristine = hash_text();
    for (unsigned number = 1; number <= 24; number++) {
        refuse_map(number);
        expect(TP_ERR_MAP_FAILED, tp_apply());
        assert_int_equal(log_count, 1);
        assert_int_not_equal(tp_last_error()->site, 0);
        assert_int_equal(hash_text(), pristine);
        expect(TP_OK, tp_audit(NULL, NULL));
        expect(TP_OK, tp_apply());
        uint64_t applied = hash_text();
        refuse_map(number);
        expect(TP_ERR_MAP_FAILED, tp_revert());
        assert_int_equal(hash_text(), applied);
        expect(TP_OK, tp_audit(NULL, NULL));
        refuse_map(1 + number % 5);
        expect(TP_ERR_MAP_FAILED, tp_key_update(good_slot, OTHER));
        assert_int_equal(*good_slot, WORK);
        assert_int_equal(hash_text(), applied);
        expect(TP_OK, tp_audit(NULL, NULL));
        expect(TP_OK, tp_revert());
        assert_int_equal(hash_text(), pristine);
    }
    /* The port doesn't even let it be put back: the audit says where. */
    port_mode = PORT_ONCE;
    port_small_maps = 0;
    expect(TP_ERR_MAP_FAILED, tp_apply());
    expect(TP_ERR_TEXT_DIFFERS, tp_audit(NULL, NULL));
    stop_library();
}

static void messages(void **state) {
    (void)state;
    const struct tp_error extreme = {.status = TP_ERR_OUT_OF_REACH,
                                     .image = "image",
                                     .hook = "hook",
                                     .key = "key",
                                     .site = UINTPTR_MAX,
                                     .value = UINT64_MAX,
                                     .distance = INT64_MIN,
                                     .length = 255};
    char text[TP_MESSAGE_MAX + 1], whole[TP_MESSAGE_MAX];
    tp_format_error(&extreme, whole, sizeof whole);
    assert_string_equal(whole, "textpatch: target out of reach, image image, hook hook, key key, site "
                               "0xffffffffffffffff (255 bytes), value 0xffffffffffffffff, distance "
                               "-9223372036854775808");
    for (unsigned size = 0; size <= TP_MESSAGE_MAX; size++) {
        memset(text, '#', sizeof text);
        tp_format_error(&extreme, text, size);
        assert_int_equal(text[size], '#');
        assert_true(size == 0 || strlen(text) == (size - 1 < strlen(whole) ? size - 1 : strlen(whole)));
        assert_true(size == 0 || strncmp(text, whole, strlen(text)) == 0);
    }
    for (int left = -1; left <= TP_STATUS_COUNT; left++)
        for (int right = 0; right < left && left < TP_STATUS_COUNT; right++)
            assert_string_not_equal(tp_status_text((enum tp_status)left),
                                    tp_status_text((enum tp_status)right));
    assert_string_equal(tp_status_text(TP_STATUS_COUNT), "unknown");
    assert_string_equal(tp_status_text((enum tp_status) - 1), "unknown");
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_crowd(24);
    use_image(world);
    expect(TP_OK, tp_audit(NULL, NULL));
    expect(TP_OK, tp_apply());
    expect(TP_OK, tp_revert());
    *alias_of(next_address(world) + 1) ^= 1; /* no site is there */
    expect(TP_OK, tp_apply());
    expect(TP_OK, tp_audit(NULL, NULL));
    assert_int_equal(log_count, 0);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_bytes),    cmocka_unit_test(long_site),       cmocka_unit_test(far_targets),
        cmocka_unit_test(update_refused),   cmocka_unit_test(map_fails_later), cmocka_unit_test(messages),
        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
