/* SPDX-License-Identifier: MIT */
/*
 * Tables in order: against qsort and plain loops over the same records.
 *
 * Cases
 *   sorted_like_qsort   10^4 mixed records in random order, several seeds: order, and every field's meaning
 *   sorted_already      a table in order stays as it is, byte for byte
 *   descending          one in reverse order
 *   sorts_are_stable    adding a second time changes nothing
 *   groups_are_complete the index: every site of a key once and in order of address, others before
 *   keys_and_inlines    found by cell and by function, after sorting, and nothing else is
 *   copies_are_dropped  records inside originals take no part
 *   wrong_is_noticed    negative control: an oracle with two records exchanged is told from the right one
 */
#include "population.h"

#include "site/search.h"

enum { RECORDS = 10000 };

static struct meaning meanings[SITES_MAX];

static unsigned class_of(const struct world *world, uintptr_t address) {
    const struct tables *tables = world->tables;
    if (address >= (uintptr_t)tables->originals && address < (uintptr_t)tables->originals + FORMS_SIZE)
        return 2;
    return address >= (uintptr_t)tables->replacements &&
           address < (uintptr_t)tables->replacements + FORMS_SIZE;
}

static int compare(uintptr_t left, uintptr_t right) { return left < right ? -1 : left > right; }

static int compare_meanings(const void *left_record, const void *right_record) {
    const struct meaning *left = left_record, *right = right_record;
    const struct world *world = &worlds[0];
    int order = compare(class_of(world, left->text), class_of(world, right->text));
    order = order ? order : compare(left->text, right->text);
    order = order ? order : compare(right->length, left->length);
    order = order ? order : compare(left->kind, right->kind);
    return order ? order : compare(right->key, left->key);
}

static bool same_meaning(const struct meaning *left, const struct meaning *right) {
    return left->text == right->text && left->key == right->key && left->form == right->form &&
           left->length == right->length && left->kind == right->kind && left->detail == right->detail;
}

static uint32_t read_meanings(const struct world *world) {
    for (uint32_t i = 0; i < world->image.site_count; i++)
        meanings[i] = read_meaning(&world->image.sites[i]);
    return world->image.site_count;
}

/* The first record that is not what the oracle says; site_count if all are. */
static uint32_t find_difference(const struct world *world) {
    uint32_t i = 0;
    for (; i < world->image.site_count; i++) {
        struct meaning meaning = read_meaning(&world->image.sites[i]);
        if (!same_meaning(&meaning, &meanings[i]))
            break;
    }
    return i;
}

static struct world *start_population(uint64_t seed, bool shuffled) {
    struct world *world = start_library();
    random_state = seed;
    put_population(world, RECORDS);
    uint32_t count = read_meanings(world);
    if (shuffled)
        shuffle_meanings(meanings, count);
    else
        qsort(meanings, count, sizeof meanings[0], compare_meanings);
    write_meanings(world, meanings, count);
    qsort(meanings, count, sizeof meanings[0], compare_meanings);
    return world;
}

static void sorted_like_qsort(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world *world = start_population(seed, true);
        use_image(world);
        assert_int_equal(find_difference(world), world->image.site_count);
        stop_library();
    }
}

static void sorted_already(void **state) {
    (void)state;
    struct world *world = start_population(3, false);
    static struct tp_site kept[SITES_MAX];
    memcpy(kept, world->image.sites, world->image.site_count * sizeof kept[0]);
    use_image(world);
    assert_int_equal(find_difference(world), world->image.site_count);
    for (uint32_t i = 0; i < world->image.site_count; i++)
        assert_memory_equal(&kept[i], &world->image.sites[i], offsetof(struct tp_site, length));
    stop_library();
}

static void descending(void **state) {
    (void)state;
    struct world *world = start_population(4, false);
    uint32_t count = world->image.site_count;
    static struct meaning reversed[SITES_MAX];
    for (uint32_t i = 0; i < count; i++)
        reversed[i] = meanings[count - 1 - i];
    write_meanings(world, reversed, count);
    use_image(world);
    assert_int_equal(find_difference(world), count);
    stop_library();
}

static void sorts_are_stable(void **state) {
    (void)state;
    struct world *world = start_population(5, true);
    static struct tp_site kept[SITES_MAX];
    use_image(world);
    memcpy(kept, world->image.sites, world->image.site_count * sizeof kept[0]);
    assert_int_equal(tp_image_remove(&world->image), TP_OK);
    use_image(world);
    assert_memory_equal(kept, world->image.sites, world->image.site_count * sizeof kept[0]);
    stop_library();
}

static bool is_dropped(const struct world *world, const struct tp_site *site) {
    return class_of(world, tp_site_address(site)) == 2;
}

static void check_group(const struct world *world, const struct tp_key *key) {
    const struct tp_image *image = &world->image;
    uint32_t first, end, found = 0;
    tp_search_group(image, key, &first, &end);
    for (uint32_t i = 0; i < image->site_count; i++) {
        const struct tp_site *site = &image->sites[i];
        if (is_dropped(world, site) || !tp_site_has_key(site) || tp_site_cell(site) != tp_key_cell(key))
            continue;
        assert_true(first + found < end);
        assert_int_equal(image->index[first + found], i);
        found++;
    }
    assert_int_equal(first + found, end);
}

static void groups_are_complete(void **state) {
    (void)state;
    struct world *world = start_population(6, true);
    struct tp_image *image = &world->image;
    uint32_t keyless = 0, in_groups = 0;
    use_image(world);
    for (uint32_t i = 0; i < image->key_count; i++) {
        uint32_t first, end;
        check_group(world, &image->keys[i]);
        tp_search_group(image, &image->keys[i], &first, &end);
        in_groups += end - first;
    }
    for (uint32_t i = 0; i < image->place_count + image->template_count; i++) {
        if (tp_site_has_key(&image->sites[i]))
            continue;
        assert_int_equal(image->index[keyless], i);
        keyless++;
    }
    assert_int_equal(keyless, image->group_start);
    assert_int_equal(keyless + in_groups, image->place_count + image->template_count);
    stop_library();
}

static void keys_and_inlines(void **state) {
    (void)state;
    struct world *world = start_library();
    unsigned order[KEYS_MAX];
    put_lock(world);
    for (unsigned i = 0; i < KEYS_MAX; i++)
        order[i] = i;
    for (unsigned i = KEYS_MAX; i > 1; i--) {
        unsigned other = next_random() % i, kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
    static const char names[] = "abcdefghijklmnopqrstuvwxyz";
    for (unsigned i = 0; i < KEYS_MAX; i++)
        add_key(world, TP_KEY_KIND_OP + order[i] % 3, names + order[i] % 26, &world->tables->cells[order[i]]);
    const uint8_t *patchlets = (const uint8_t *)world->tables->replacements;
    for (unsigned i = 0; i < INLINES_MAX; i++)
        add_inline(world, INLINED(order[i] % INLINES_MAX * INLINES_MAX + order[i]), patchlets + i, patchlets + i);
    use_image(world);
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        const struct tp_key *key = tp_find_key((uintptr_t)&world->tables->cells[i]);
        assert_non_null(key);
        assert_int_equal(key->kind, TP_KEY_KIND_OP + i % 3);
        assert_ptr_equal(tp_key_name(key), names + i % 26);
        assert_null(tp_find_key((uintptr_t)&world->tables->cells[i] + 1));
    }
    for (unsigned i = 0; i < INLINES_MAX; i++) {
        const struct tp_inline *form =
            tp_find_inline(INLINED(order[i] % INLINES_MAX * INLINES_MAX + order[i]));
        assert_non_null(form);
        assert_int_equal(tp_relative(&form->start), (uintptr_t)patchlets + i);
        assert_int_equal(tp_relative(&form->end), (uintptr_t)patchlets + i);
        assert_null(tp_find_inline(tp_relative(&form->function) + 1));
    }
    assert_null(tp_find_inline(0));
    stop_library();
}

static void copies_are_dropped(void **state) {
    (void)state;
    struct world *world = start_population(7, true);
    uint32_t classes[3] = {0, 0, 0};
    use_image(world);
    for (uint32_t i = 0; i < world->image.site_count; i++)
        classes[class_of(world, tp_site_address(&world->image.sites[i]))]++;
    assert_int_equal(world->image.place_count, classes[0]);
    assert_int_equal(world->image.template_count, classes[1]);
    assert_true(classes[1] > 100 && classes[2] > 100);
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_population(8, true);
    use_image(world);
    struct meaning kept = meanings[4711];
    meanings[4711] = meanings[4712];
    assert_int_equal(find_difference(world), 4711);
    meanings[4711] = kept;
    meanings[77].form++;
    assert_int_equal(find_difference(world), 77);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_like_qsort),   cmocka_unit_test(sorted_already),
        cmocka_unit_test(descending),          cmocka_unit_test(sorts_are_stable),
        cmocka_unit_test(groups_are_complete), cmocka_unit_test(keys_and_inlines),
        cmocka_unit_test(copies_are_dropped),  cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
