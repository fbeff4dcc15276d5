/* SPDX-License-Identifier: MIT */
/*
 * The boot writer and the port: what is mapped, what is read, what is written.
 *
 * Cases
 *   maps_once           one mapping an image and pass, for exactly its text; none where nothing is to be done
 *   maps_each_edit      a port that maps little: one mapping an edit, the same text in the end
 *   crossings           sites of every length at every offset around a page's, a line's and a quadword's end, by
 *                       words and by bytes; the bytes between the sites stay
 *   dense               sites back to back, of all lengths: a word reaches into the next site, which must not suffer
 *   end_of_text         the last site ends where the text ends, with a page behind that traps, in text and alias
 *   end_of_image        the same where foreign bytes follow: they stay, written or not
 *   start_of_text       a site at the image's first byte
 *   silent              no message as long as nothing fails; one for each failure
 *   two_images          each under a mapping of its own; the second is not mapped when the first fails
 *   without_log         a port without that hook
 *   wrong_is_noticed    negative control: a neighbour changed by the test itself
 */
#include "put.h"

#include "site/site.h"

enum { SHORTEST = 5, LONGEST = 15 };

static uint8_t shadow[TEXT_SIZE];

/* Random bytes, among which sites are put later. */
static void fill_text(struct world *world) {
    for (unsigned i = 0; i < TEXT_SIZE; i++)
        world->alias[i] = (uint8_t)rand();
}

static void copy_text(const struct world *world) { memcpy(shadow, world->text, TEXT_SIZE); }

/* Whether all that is no site's is as it was. */
static bool neighbours_are_whole(const struct world *world) {
    for (uint32_t i = 0; i < world->image.place_count; i++) {
        uintptr_t at = tp_site_address(&world->image.sites[i]) - (uintptr_t)world->text;
        memcpy(shadow + at, world->text + at, world->image.sites[i].length);
    }
    return memcmp(shadow, world->text, TEXT_SIZE) == 0;
}

static void put_static_site(struct world *world, const uint64_t *cell, unsigned offset, unsigned length) {
    char bytes[LONGEST];
    memset(bytes, 0x2e, sizeof bytes);
    bytes[length - 5] = (char)0xe8;
    world->used = offset;
    struct code code = {bytes, length, length - 4, length, (uintptr_t)world->text};
    uintptr_t address = put_code(world, code, length);
    add_site(world, TP_KIND_STATIC_CALL, address, length, (uintptr_t)cell, (uintptr_t)world->text,
             TP_BRANCH_CALL);
}

/* 1 to 15 bytes: what is shorter than a call is an alternative. */
static void put_site_at(struct world *world, const uint64_t *cell, unsigned offset, unsigned length) {
    const struct choice choice = {CODE("\xfb"), TP_FEATURE_ALWAYS};
    if (length >= SHORTEST) {
        put_static_site(world, cell, offset, length);
        return;
    }
    world->used = offset;
    put_alternative(world, length, CODE("\xfa"), &choice, 1);
}

static struct world *start_filled(uint64_t **cell) {
    struct world *world = start_library();
    srand(5);
    fill_text(world);
    *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    return world;
}

/* There and back, in both ways of writing: what is no site's stays, the rest comes back. */
static void check_cycle(struct world *world, uint64_t *cell) {
    use_image(world);
    copy_text(world);
    uint64_t before = hash_bytes(world->text, TEXT_SIZE), applied[2];
    for (unsigned small = 0; small < 2; small++) {
        port_mode = small ? PORT_SMALL : PORT_WHOLE;
        assert_int_equal(tp_apply(), TP_OK);
        assert_int_equal(tp_audit(NULL, NULL), TP_OK);
        applied[small] = hash_bytes(world->text, TEXT_SIZE);
        assert_int_equal(tp_key_update(cell, OTHER), TP_OK);
        assert_int_equal(tp_audit(NULL, NULL), TP_OK);
        assert_int_equal(tp_key_update(cell, WORK), TP_OK);
        assert_true(neighbours_are_whole(world));
        assert_int_equal(tp_revert(), TP_OK);
        assert_int_equal(hash_bytes(world->text, TEXT_SIZE), before);
    }
    assert_int_equal(applied[0], applied[1]);
    assert_int_not_equal(applied[0], before);
    port_mode = PORT_WHOLE;
    memset(world->alias, 0xcc, TEXT_SIZE);
    stop_library();
}

/* Every length, with every number of its bytes before an edge; one edge for each. */
static void cross_edges(unsigned spacing) {
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    unsigned edge = PAGE;
    for (unsigned length = 1; length <= LONGEST; length++)
        for (unsigned before = 0; before <= length; before++) {
            put_site_at(world, cell, edge - before, length);
            edge += spacing;
        }
    check_cycle(world, cell);
}

static void crossings(void **state) {
    (void)state;
    cross_edges(PAGE);
    cross_edges(64);
    cross_edges(40); /* quadwords */
}

static void dense(void **state) {
    (void)state;
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    unsigned offset = 1;
    for (unsigned i = 0; i < 4000; i++) {
        unsigned length = 1 + (unsigned)rand() % LONGEST;
        put_site_at(world, cell, offset, length);
        offset += length;
    }
    check_cycle(world, cell);
}

static void end_of_text(void **state) {
    (void)state;
    for (unsigned length = 1; length <= LONGEST; length++) {
        uint64_t *cell;
        struct world *world = start_filled(&cell);
        for (unsigned i = 4; i > 0; i--)
            put_site_at(world, cell, TEXT_SIZE - i * length, length);
        check_cycle(world, cell);
    }
}

static void end_of_image(void **state) {
    (void)state;
    for (unsigned length = 1; length <= LONGEST; length++) {
        uint64_t *cell;
        struct world *world = start_filled(&cell);
        put_site_at(world, cell, 1000, length);
        put_site_at(world, cell, 1000 + length, length);
        world->image.text_end = (uintptr_t)world->text + 1000 + 2 * length;
        check_cycle(world, cell);
    }
}

static void start_of_text(void **state) {
    (void)state;
    for (unsigned length = 1; length <= LONGEST; length++) {
        uint64_t *cell;
        struct world *world = start_filled(&cell);
        put_site_at(world, cell, 500, length);
        world->image.text_start = (uintptr_t)world->text + 500;
        check_cycle(world, cell);
    }
}

static void maps_once(void **state) {
    (void)state;
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    for (unsigned i = 0; i < 100; i++)
        put_site_at(world, cell, 40 * i, 1 + i % LONGEST);
    use_image(world);
    assert_int_equal(port_maps, 0);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(port_maps, 1);
    assert_int_equal(mapped_length, TEXT_SIZE);
    assert_int_equal(port_small_maps, 0);
    assert_int_equal(tp_key_update(cell, OTHER), TP_OK);
    assert_int_equal(tp_revert(), TP_OK);
    assert_int_equal(port_maps, 3);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(port_maps, 3);
    memset(world->alias, 0xcc, TEXT_SIZE);
    stop_library();
}

static void maps_each_edit(void **state) {
    (void)state;
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    for (unsigned i = 0; i < 100; i++)
        put_site_at(world, cell, 40 * i, 1 + i % LONGEST);
    use_image(world);
    port_mode = PORT_SMALL;
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(port_small_maps, 100);
    assert_int_equal(port_maps, 100);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(port_maps, 100);
    memset(world->alias, 0xcc, TEXT_SIZE);
    stop_library();
}

static void silent(void **state) {
    (void)state;
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    for (unsigned i = 0; i < 100; i++)
        put_site_at(world, cell, 40 * i, 1 + i % LONGEST);
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_key_update(cell, OTHER), TP_OK);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    assert_int_equal(tp_revert(), TP_OK);
    assert_int_equal(log_count, 0);
    assert_string_equal(port_log, "");
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(tp_revert(), TP_ERR_NOT_APPLIED);
        assert_int_equal(log_count, i);
        assert_string_equal(port_log, "textpatch: nothing has been applied");
    }
    /* The last error stays until the next one. */
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_last_error()->status, TP_ERR_NOT_APPLIED);
    memset(world->alias, 0xcc, TEXT_SIZE);
    stop_library();
}

static void two_images(void **state) {
    (void)state;
    struct world *world = start_library();
    for (unsigned i = 0; i < 2; i++) {
        const struct choice choice = {CODE("\xfb"), TP_FEATURE_ALWAYS};
        put_alternative(&worlds[i], 3, CODE("\xfa"), &choice, 1);
        use_image(&worlds[i]);
    }
    worlds[1].alias[0] ^= 1;
    assert_int_equal(tp_apply(), TP_ERR_UNEXPECTED_BYTES);
    assert_int_equal(port_maps, 0);
    assert_int_equal(world->text[0], 0xfa);
    worlds[1].alias[0] ^= 1;
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(port_maps, 2);
    assert_int_equal(worlds[0].text[0], 0xfb);
    assert_int_equal(worlds[1].text[0], 0xfb);
    stop_library();
}

static void without_log(void **state) {
    (void)state;
    static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text};
    empty_worlds();
    assert_int_equal(tp_init(&port), TP_OK);
    put_lock(&worlds[0]);
    use_image(&worlds[0]);
    assert_int_equal(tp_revert(), TP_ERR_NOT_APPLIED);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(worlds[0].text[0], 0x3e);
    assert_int_equal(log_count, 0);
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    uint64_t *cell;
    struct world *world = start_filled(&cell);
    put_site_at(world, cell, 100, 7);
    use_image(world);
    copy_text(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_true(neighbours_are_whole(world));
    world->alias[107] ^= 1;
    assert_false(neighbours_are_whole(world));
    memset(world->alias, 0xcc, TEXT_SIZE);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_once),     cmocka_unit_test(maps_each_edit),   cmocka_unit_test(crossings),
        cmocka_unit_test(dense),         cmocka_unit_test(end_of_text),      cmocka_unit_test(end_of_image),
        cmocka_unit_test(start_of_text), cmocka_unit_test(silent),           cmocka_unit_test(two_images),
        cmocka_unit_test(without_log),   cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
