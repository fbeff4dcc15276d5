/* SPDX-License-Identifier: MIT */
/*
 * From an address to its site, and images among each other.
 *
 * Cases
 *   every_byte           tp_describe_site and tp_search_place at every byte of a text with 3,000 sites, against a map
 *                        that is painted site by site
 *   described            each field, for each kind; the form before and after tp_apply()
 *   described_quietly    a site that is hidden by an alternative and can't reach its target: no message, no error
 *   walked               tp_for_each_site: all sites, ascending; ends when told to
 *   edges                before the first, behind the last, between two; no image at all
 *   three_images         sites of each depend on keys of others; found in each; updates reach all
 *   removal              refused while keys or functions of the image are in use, whatever the order; then allowed
 *   inline_of_elsewhere  an image with inline forms for functions of others neither comes nor goes while they show
 *   wrong_is_noticed     negative control of the painted map
 */
#include "population.h"

#include "site/search.h"

static int painted[TEXT_SIZE], outermost[TEXT_SIZE];

/* Inner sites come after outer ones in the table, so they are painted over them. */
static void paint(const struct world *world) {
    const struct tp_image *image = &world->image;
    for (unsigned i = 0; i < TEXT_SIZE; i++)
        painted[i] = outermost[i] = -1;
    for (uint32_t i = 0; i < image->place_count; i++) {
        uintptr_t start = tp_site_address(&image->sites[i]) - image->text_start;
        for (unsigned byte = 0; byte < image->sites[i].length; byte++) {
            painted[start + byte] = (int)i;
            if (outermost[start + byte] < 0)
                outermost[start + byte] = (int)i;
        }
    }
}

/* The first offset at which the library and the map disagree; the text's length if there is none. */
static unsigned find_disagreement(const struct world *world) {
    const struct tp_image *image = &world->image;
    for (unsigned at = 0; at <= world->used; at++) {
        struct tp_site_info info;
        uint32_t place = tp_search_place(image, image->text_start + at);
        bool found = tp_describe_site(image->text_start + at, &info);
        if (place != (outermost[at] < 0 ? image->place_count : (uint32_t)outermost[at]) ||
            found != (painted[at] >= 0))
            return at;
        if (!found)
            continue;
        const struct tp_site *site = &image->sites[painted[at]];
        if (info.image != image || info.address != tp_site_address(site) || info.length != site->length ||
            info.kind != tp_site_kind(site) || info.nested != !!(site->detail & TP_DETAIL_NESTED) ||
            (info.cell ? (uintptr_t)info.cell : 0) != (tp_site_has_key(site) ? tp_site_cell(site) : 0))
            return at;
    }
    return world->used + 1;
}

static struct world *start_painted(void) {
    struct world *world = start_library();
    random_state = 11;
    put_population(world, 3000);
    use_image(world);
    paint(world);
    return world;
}

static void every_byte(void **state) {
    (void)state;
    struct world *world = start_painted();
    assert_int_equal(find_disagreement(world), world->used + 1);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(find_disagreement(world), world->used + 1);
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_painted();
    unsigned at = 1000;
    while (painted[at] < 0)
        at++;
    painted[at]++;
    assert_int_equal(find_disagreement(world), at);
    stop_library();
}

static void check_info(uintptr_t address, unsigned length, unsigned kind, const char *key, unsigned form) {
    struct tp_site_info info;
    for (unsigned byte = 0; byte < length; byte++) {
        assert_true(tp_describe_site(address + byte, &info));
        assert_int_equal(info.address, address);
        assert_int_equal(info.length, length);
        assert_string_equal(tp_kind_text(info.kind), tp_kind_text(kind));
        assert_string_equal(tp_form_text(info.form), tp_form_text(form));
        if (key)
            assert_string_equal(info.key, key);
        else
            assert_null(info.key);
    }
}

static void described(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "pv_ops.halt", WORK);
    uint64_t *null = add_cell(world, TP_KEY_KIND_OP, "pv_ops.null", 0);
    uint64_t *call = add_cell(world, TP_KEY_KIND_STATIC_CALL, "tick", NONE);
    uint64_t *key = add_cell(world, TP_KEY_KIND_STATIC_KEY, "tracing", 1);
    const struct choice choices[] = {{CODE("\xfb"), FEATURE(0)}, {CODE("\xf4"), TP_NOT(FEATURE(1))}};
    uintptr_t op = put_op(world, slot, 9, TP_BRANCH_CALL), trap = put_op(world, null, 6, TP_BRANCH_CALL);
    uintptr_t trampoline = put_trampoline(world, call);
    uintptr_t site = put_static_call(world, call, trampoline, TP_BRANCH_CALL);
    uintptr_t branch = put_branch(world, key, 5, trampoline, TP_KEY_JUMPS_IF_ENABLED);
    uintptr_t lock = put_lock(world), first = put_alternative(world, 3, CODE("\xfa"), choices, 1);
    uintptr_t second = put_alternative(world, 3, CODE("\xfa"), choices + 1, 1);
    use_image(world);
    struct tp_site_info info;
    for (unsigned pass = 0; pass < 2; pass++) {
        check_info(op, 9, TP_KIND_OP, "pv_ops.halt", pass ? TP_FORM_DIRECT : TP_FORM_ORIGINAL);
        check_info(trap, 6, TP_KIND_OP, "pv_ops.null", pass ? TP_FORM_TRAP : TP_FORM_ORIGINAL);
        check_info(trampoline, 6, TP_KIND_TRAMPOLINE, "tick", pass ? TP_FORM_RETURN : TP_FORM_ORIGINAL);
        check_info(site, 5, TP_KIND_STATIC_CALL, "tick", pass ? TP_FORM_NOP : TP_FORM_ORIGINAL);
        check_info(branch, 5, TP_KIND_STATIC_KEY, "tracing", pass ? TP_FORM_JUMP : TP_FORM_NOP);
        check_info(lock, 1, TP_KIND_LOCK_PREFIX, NULL, pass ? TP_FORM_PREFIX : TP_FORM_ORIGINAL);
        check_info(first, 3, TP_KIND_ALTERNATIVE, NULL, TP_FORM_ORIGINAL);
        check_info(second, 3, TP_KIND_ALTERNATIVE, NULL, pass ? TP_FORM_REPLACEMENT : TP_FORM_ORIGINAL);
        assert_true(tp_describe_site(second, &info));
        assert_int_equal(info.feature, TP_NOT(FEATURE(1)));
        assert_int_equal(tp_apply(), TP_OK);
    }
    stop_library();
}

static void described_quietly(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "pv_ops.far", FAR);
    const struct choice choice = {CODE("\xfb"), FEATURE(0)};
    uintptr_t site =
        put_alternative(world, 0, CODE_TO("\x57\xff\x15\0\0\0\0", 3, 7, (uintptr_t)slot), &choice, 1);
    struct tp_site_info info;
    add_site(world, TP_KIND_OP, site + 1, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
    use_image(world);
    assert_int_equal(tp_feature_set(FEATURE(0)), TP_OK);
    assert_int_equal(tp_apply(), TP_OK);
    log_count = 0;
    assert_true(tp_describe_site(site + 3, &info));
    assert_string_equal(info.key, "pv_ops.far");
    assert_true(info.nested);
    assert_int_equal(log_count, 0);
    assert_int_equal(tp_last_error()->status, TP_OK);
    stop_library();
}

struct walk {
    uintptr_t last;
    unsigned count, end;
};

static bool count_site(const struct tp_site_info *info, void *argument) {
    struct walk *walk = argument;
    assert_true(info->address >= walk->last);
    walk->last = info->address;
    return ++walk->count != walk->end;
}

static void walked(void **state) {
    (void)state;
    struct world *world = start_painted();
    struct walk all = {0, 0, 0}, some = {0, 0, 17};
    tp_for_each_site(count_site, &all);
    assert_int_equal(all.count, world->image.place_count);
    tp_for_each_site(count_site, &some);
    assert_int_equal(some.count, 17);
    stop_library();
    tp_for_each_site(count_site, &some);
    assert_int_equal(some.count, 17);
}

static void edges(void **state) {
    (void)state;
    struct world *world = start_library();
    struct tp_site_info info;
    assert_false(tp_describe_site((uintptr_t)world->text, &info));
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "slot", WORK);
    uintptr_t first = put_op(world, slot, 6, TP_BRANCH_CALL);
    skip_text(world, 1);
    uintptr_t last = put_op(world, slot, 6, TP_BRANCH_CALL);
    use_image(world);
    static const uintptr_t outside[] = {0, 1, UINTPTR_MAX, UINTPTR_MAX / 2};
    for (unsigned i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_false(tp_describe_site(outside[i], &info));
    assert_false(tp_describe_site(first - 1, &info));
    assert_false(tp_describe_site(first + 6, &info));
    assert_false(tp_describe_site(last + 6, &info));
    assert_true(tp_describe_site(last + 5, &info));
    stop_library();
}

static void three_images(void **state) {
    (void)state;
    uint64_t *cells[WORLDS];
    uintptr_t sites[WORLDS][WORLDS];
    struct tp_site_info info;
    start_library();
    for (unsigned i = 0; i < WORLDS; i++)
        cells[i] = add_cell(&worlds[i], TP_KEY_KIND_OP, worlds[i].image.name, WORK);
    for (unsigned i = 0; i < WORLDS; i++) {
        for (unsigned owner = 0; owner <= i; owner++)
            sites[i][owner] = put_op(&worlds[i], cells[owner], 6, TP_BRANCH_CALL);
        use_image(&worlds[i]);
    }
    assert_int_equal(tp_apply(), TP_OK);
    for (unsigned owner = 0; owner < WORLDS; owner++) {
        assert_int_equal(tp_key_update(cells[owner], OTHER), TP_OK);
        for (unsigned i = owner; i < WORLDS; i++) {
            int32_t distance;
            memcpy(&distance, (uint8_t *)sites[i][owner] + 2, sizeof distance);
            assert_int_equal(sites[i][owner] + 6 + (uintptr_t)(intptr_t)distance, OTHER);
            assert_true(tp_describe_site(sites[i][owner], &info));
            assert_string_equal(info.key, worlds[owner].image.name);
            assert_ptr_equal(info.image, &worlds[i].image);
        }
    }
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    stop_library();
}

static void removal(void **state) {
    (void)state;
    start_library();
    uint64_t *cells[WORLDS];
    for (unsigned i = 0; i < WORLDS; i++) {
        cells[i] = add_cell(&worlds[i], TP_KEY_KIND_OP, "slot", WORK);
        put_op(&worlds[i], cells[i ? i - 1 : 0], 6, TP_BRANCH_CALL);
        use_image(&worlds[i]);
    }
    assert_int_equal(tp_image_remove(&worlds[0].image), TP_ERR_IMAGE_IN_USE);
    assert_int_equal(tp_image_remove(&worlds[1].image), TP_ERR_IMAGE_IN_USE);
    assert_int_equal(tp_apply(), TP_OK);
    /* A function of the third image: as long as the first one calls it, the third stays. */
    assert_int_equal(tp_key_update(cells[0], (uintptr_t)worlds[2].text), TP_OK);
    assert_int_equal(tp_image_remove(&worlds[2].image), TP_ERR_IMAGE_IN_USE);
    assert_int_equal(tp_key_update(cells[0], WORK), TP_OK);
    for (unsigned i = WORLDS; i-- > 0;) {
        assert_int_equal(tp_image_remove(&worlds[i].image), TP_OK);
        assert_int_equal(tp_image_remove(&worlds[i].image), TP_ERR_IMAGE_UNKNOWN);
        assert_null(tp_find_key((uintptr_t)cells[i]));
    }
    stop_library();
}

static void inline_of_elsewhere(void **state) {
    (void)state;
    struct world *world = start_library(), *module = &worlds[1];
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "slot", WORK);
    uintptr_t site = put_op(world, slot, 6, TP_BRANCH_CALL);
    put_lock(module);
    add_inline(module, WORK, tp_patchlet_save_fl, tp_patchlet_save_fl_end);
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_image_add(&module->image), TP_ERR_IMAGE_IN_USE);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_key_update(slot, OTHER), TP_OK);
    use_image(module);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_key_update(slot, WORK), TP_OK);
    assert_memory_equal((void *)site, "\x9c\x58", 2);
    assert_int_equal(tp_image_remove(&module->image), TP_ERR_IMAGE_IN_USE);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_revert(), TP_OK);
    assert_int_equal(tp_image_remove(&module->image), TP_OK);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte),
        cmocka_unit_test(described),
        cmocka_unit_test(described_quietly),
        cmocka_unit_test(walked),
        cmocka_unit_test(edges),
        cmocka_unit_test(three_images),
        cmocka_unit_test(removal),
        cmocka_unit_test(inline_of_elsewhere),
        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
