/* SPDX-License-Identifier: MIT */
/*
 * Static keys and lock prefixes: (record, count) -> bytes, read back by Zydis.
 *
 * Cases
 *   branches          2 and 5 bytes x how it starts x polarity x counts around 0: NOP or jump; the pristine form
 *                     follows the record alone
 *   short_reach       +127 and -128 from the site's end are reached, one further is TP_ERR_OUT_OF_REACH
 *   long_reach        jumps over the whole text, both ways
 *   short_in_form     a short branch in a replacement jumps to its target from where it is rendered
 *   lock_prefixes     f0 and 3e by the number of CPUs
 *   wrong_is_noticed  negative control
 */
#include "render.h"

static void branches(void **state) {
    (void)state;
    static const int64_t counts[] = {0, 1, 2, INT64_MAX, -1, INT64_MIN};
    for (unsigned shape = 0; shape < 8; shape++) {
        bool is_long = shape & 4;
        unsigned detail = shape & 3, length = is_long ? 5 : 2;
        struct world *world = start_library();
        uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_KEY, "key", 0);
        uintptr_t target = put_code(world, CODE("\xc3"), 1);
        name_address(target, "target");
        uintptr_t site = put_branch(world, cell, length, target, detail);
        const char *jump = "W:jmp target", *nop = "W:nop";
        bool starts = detail & TP_KEY_STARTS_AS_JUMP;
        use_image(world);
        assert_memory_equal((void *)site, render_at(world, site, TP_VIEW_PRISTINE).bytes, length);
        for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            bool jumps = (counts[i] > 0) == !!(detail & TP_KEY_JUMPS_IF_ENABLED);
            *cell = (uint64_t)counts[i];
            latch();
            check_render(world, site, TP_VIEW_WANTED, jumps ? TP_FORM_JUMP : TP_FORM_NOP, jumps ? jump : nop);
            check_render(world, site, TP_VIEW_PRISTINE, starts ? TP_FORM_JUMP : TP_FORM_NOP,
                         starts ? jump : nop);
        }
        stop_library();
    }
}

/* One branch with `distance` from its end to its target; the status of its rendering as a jump. */
static enum tp_status render_distance(unsigned length, int64_t distance) {
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_KEY, "key", 1);
    skip_text(world, TEXT_SIZE / 2);
    uintptr_t target = next_address(world) + length + (uintptr_t)distance;
    name_address(target, "target");
    uintptr_t site = put_branch(world, cell, length, target, TP_KEY_JUMPS_IF_ENABLED);
    use_image(world);
    latch();
    struct rendered rendered = render_at(world, site, TP_VIEW_WANTED);
    if (rendered.status == TP_OK)
        check_render(world, site, TP_VIEW_WANTED, TP_FORM_JUMP, "W:jmp target");
    stop_library();
    return rendered.status;
}

static void short_reach(void **state) {
    (void)state;
    static const int far[] = {128, -129, 255, 256, 1000, -40000};
    assert_int_equal(render_distance(2, 127), TP_OK);
    assert_int_equal(render_distance(2, -128), TP_OK);
    assert_int_equal(render_distance(2, 0), TP_OK);
    for (unsigned i = 0; i < sizeof far / sizeof far[0]; i++) {
        assert_int_equal(render_distance(2, far[i]), TP_ERR_OUT_OF_REACH);
        assert_int_equal(tp_last_error()->distance, far[i]);
    }
}

static void long_reach(void **state) {
    (void)state;
    assert_int_equal(render_distance(5, TEXT_SIZE / 2 - 6), TP_OK);
    assert_int_equal(render_distance(5, -TEXT_SIZE / 2 - 5), TP_OK);
}

/*
 * The replacement is far from the text, so that the field must be made for the place where it will run; that the
 * target is in the text is what records promise.
 */
static void check_in_form(unsigned length, const char *pattern) {
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_KEY, "key", 1);
    struct choice choice = {length == 2 ? CODE("\x90\x66\x90") : CODE("\x90\x0f\x1f\x44\0\0"), FEATURE(0)};
    uintptr_t site = put_alternative(world, 8, CODE("\xfa"), &choice, 1);
    uintptr_t target = put_code(world, CODE("\xc3"), 1);
    uintptr_t inside = tp_relative(&world->image.sites[0].key) + 2;
    name_address(target, "target");
    add_site(world, TP_KIND_STATIC_KEY, inside, length, (uintptr_t)cell, target, TP_KEY_JUMPS_IF_ENABLED);
    use_image(world);
    assert_int_equal(tp_feature_set(FEATURE(0)), TP_OK);
    latch();
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, pattern);
    stop_library();
}

static void short_in_form(void **state) {
    (void)state;
    check_in_form(5, "1:nop; 5:jmp target; 2:nop");
    check_in_form(2, "1:nop; 2:jmp target; 5:nop");
}

static void lock_prefixes(void **state) {
    (void)state;
    struct world *world = start_library();
    uintptr_t site = put_lock(world);
    use_image(world);
    for (unsigned cpus = 1; cpus <= 3; cpus++) {
        assert_int_equal(tp_set_cpu_count(cpus), TP_OK);
        latch();
        struct rendered rendered = render_at(world, site, TP_VIEW_WANTED);
        assert_int_equal(rendered.bytes[0], cpus == 1 ? 0x3e : 0xf0);
        assert_int_equal(rendered.form, cpus == 1 ? TP_FORM_PREFIX : TP_FORM_ORIGINAL);
        assert_int_equal(render_at(world, site, TP_VIEW_PRISTINE).bytes[0], 0xf0);
    }
    assert_string_equal(show((const uint8_t *)"\x3e\xff\x07", 3, site), "3:inc [rdi]");
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_KEY, "key", 1);
    uintptr_t target = put_code(world, CODE("\xc3"), 1);
    name_address(target, "target");
    uintptr_t site = put_branch(world, cell, 5, target, TP_KEY_JUMPS_IF_ENABLED);
    use_image(world);
    latch();
    assert_true(renders_as(world, site, TP_VIEW_WANTED, "5:jmp target"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "5:nop"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "2:jmp target"));
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches),      cmocka_unit_test(short_reach),   cmocka_unit_test(long_reach),
        cmocka_unit_test(short_in_form), cmocka_unit_test(lock_prefixes), cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
