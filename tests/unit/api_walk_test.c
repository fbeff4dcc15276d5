/* SPDX-License-Identifier: MIT */
/*
 * Random walks through states, against a fresh start.
 *
 * Cases
 *   walks              10^4 steps: set or clear a feature, assign a cell, update a key, add to one, apply, revert, and
 *                      things that must be refused. After each: audit; the text is what a fresh start from pristine
 *                      text and untouched tables gives in the state that the test says is shown (bug 18: whether a
 *                      key was updated before or after tp_apply makes no difference); reverted text is pristine
 *   walks_in_small     the same, 2,000 steps, with a port that maps single edits only
 *   images_come_and_go 2,000 steps with two of the three images added and removed on the way
 *   wrong_is_noticed   negative control: a fresh start in another state gives another text
 */
#include "population.h"

enum { CELLS = WORLDS * POPULATION_KEYS, FEATURES = 8, RECORDS = 150 };

/* What a text depends on. */
struct shown {
    bool applied[WORLDS], known[WORLDS];
    uint8_t features; /* FEATURE(0) to FEATURE(7) */
    bool alone, amd;
    uint64_t cells[CELLS];
};

static uint8_t pristine[WORLDS][TEXT_SIZE], expected[WORLDS][TEXT_SIZE];
static struct tables *untouched[WORLDS], *kept[WORLDS];
static struct world kept_worlds[WORLDS];
static struct tp_registry kept_registry;

static uint64_t *cell_at(unsigned n) {
    return population_cell(&worlds[n / POPULATION_KEYS], n % POPULATION_KEYS);
}

/* Records, keys, inline forms and cells; forms and index are not written or made anew. */
static void copy_tables(struct tables *to, const struct tables *from) {
    memcpy(to->sites, from->sites, 2 * RECORDS * sizeof to->sites[0]);
    memcpy(to->index, from->index, 2 * RECORDS * sizeof to->index[0]);
    memcpy(to->keys, from->keys, POPULATION_KEYS * sizeof to->keys[0]);
    memcpy(to->inlines, from->inlines, sizeof to->inlines);
    memcpy(to->cells, from->cells, POPULATION_KEYS * sizeof to->cells[0]);
}

static void keep_all(void) {
    kept_registry = tp_registry;
    memcpy(kept_worlds, worlds, sizeof worlds);
    for (unsigned i = 0; i < WORLDS; i++) {
        copy_tables(kept[i], worlds[i].tables);
        memcpy(expected[i], worlds[i].text, worlds[i].used);
    }
}

/* Back to the walk; `expected` gets what the fresh start gave. */
static void bring_back(void) {
    tp_registry = kept_registry;
    memcpy(worlds, kept_worlds, sizeof worlds);
    for (unsigned i = 0; i < WORLDS; i++) {
        static uint8_t fresh[TEXT_SIZE];
        copy_tables(worlds[i].tables, kept[i]);
        memcpy(fresh, worlds[i].text, worlds[i].used);
        memcpy(worlds[i].alias, expected[i], worlds[i].used);
        memcpy(expected[i], fresh, worlds[i].used);
    }
}

static void set_features(uint8_t bits, bool alone, bool amd) {
    for (unsigned i = 0; i < FEATURES; i++)
        assert_int_equal(bits >> i & 1 ? tp_feature_set(FEATURE(i)) : tp_feature_clear(FEATURE(i)), TP_OK);
    assert_int_equal(tp_set_cpu_count(alone ? 1 : 2), TP_OK);
    assert_int_equal(amd ? tp_feature_set(TP_FEATURE_VENDOR_AMD) : tp_feature_clear(TP_FEATURE_VENDOR_AMD),
                     TP_OK);
}

/* The text of a fresh start, in expected[]. */
static void start_afresh(const struct shown *shown) {
    enum port_mode mode = port_mode;
    bool any = false;
    keep_all();
    port_mode = PORT_WHOLE;
    tp_registry.images = NULL;
    set_features(shown->features, shown->alone, shown->amd);
    for (unsigned i = 0; i < WORLDS; i++) {
        memcpy(worlds[i].alias, pristine[i], worlds[i].used);
        copy_tables(worlds[i].tables, untouched[i]);
    }
    for (unsigned i = 0; i < CELLS; i++)
        *cell_at(i) = shown->cells[i];
    for (unsigned i = 0; i < WORLDS; i++)
        if (shown->applied[i])
            any = true, use_image(&worlds[i]);
    assert_int_equal(any ? tp_apply() : TP_OK, TP_OK);
    bring_back();
    port_mode = mode;
}

static bool text_is_expected(void) {
    for (unsigned i = 0; i < WORLDS; i++)
        if (memcmp(expected[i], worlds[i].text, worlds[i].used) != 0)
            return false;
    return true;
}

static void build_images(struct shown *shown, uint64_t seed, unsigned count) {
    *shown = (struct shown){.alone = true};
    start_library();
    random_state = seed;
    for (unsigned i = 0; i < WORLDS; i++) {
        /* Images that come and go have none, or they could hardly ever: see tp_image_add(). */
        if (i < count)
            add_inline(&worlds[i], INLINED(i), i ? tp_patchlet_irq_enable : tp_patchlet_save_fl,
                       i ? tp_patchlet_irq_enable_end : tp_patchlet_save_fl_end);
        put_population(&worlds[i], RECORDS);
        memcpy(pristine[i], worlds[i].text, worlds[i].used);
        untouched[i] = untouched[i] ? untouched[i] : malloc(sizeof(struct tables));
        kept[i] = kept[i] ? kept[i] : malloc(sizeof(struct tables));
        copy_tables(untouched[i], worlds[i].tables);
    }
    for (unsigned i = 0; i < count; i++) {
        use_image(&worlds[i]);
        shown->known[i] = true;
    }
}

static bool any_applied(const struct shown *shown) {
    return shown->applied[0] || shown->applied[1] || shown->applied[2];
}

static uint64_t choose_value(unsigned cell) {
    static const uint64_t functions[] = {WORK, OTHER, INLINED(0), INLINED(1), INLINED(2), NONE, RETURN0, 0};
    return cell % 3 == 2 ? next_random() % 3 : functions[next_random() % 8];
}

static unsigned choose_cell(const struct shown *shown) {
    unsigned cell;
    do
        cell = next_random() % CELLS;
    while (!shown->known[cell / POPULATION_KEYS]);
    return cell;
}

static void apply(struct shown *shown, const struct shown *next) {
    assert_int_equal(tp_apply(), TP_OK);
    shown->features = next->features, shown->alone = next->alone, shown->amd = next->amd;
    for (unsigned i = 0; i < CELLS; i++)
        shown->cells[i] = *cell_at(i);
    memcpy(shown->applied, shown->known, sizeof shown->applied);
}

/* `next` is what is wanted, but for the cells, which say that themselves. */
static void take_step(struct shown *shown, struct shown *next) {
    unsigned cell = choose_cell(shown);
    uint64_t value = choose_value(cell), before = *cell_at(cell);
    switch (next_random() % 8) {
    case 0:
        next->features ^= (uint8_t)(1 << next_random() % FEATURES);
        next->alone = next_random() % 4, next->amd = !(next_random() % 8);
        set_features(next->features, next->alone, next->amd);
        break;
    case 1:
        *cell_at(cell) = value;
        break;
    case 2:
    case 3:
        assert_int_equal(tp_key_update(cell_at(cell), value), TP_OK);
        shown->cells[cell] = any_applied(shown) ? value : shown->cells[cell];
        break;
    case 4:
        cell = cell / 3 * 3 + 2;
        assert_int_equal(tp_key_add(cell_at(cell), 1), TP_OK);
        shown->cells[cell] = any_applied(shown) ? *cell_at(cell) : shown->cells[cell];
        break;
    case 5:
        apply(shown, next);
        break;
    case 6:
        assert_int_equal(tp_revert(), any_applied(shown) ? TP_OK : TP_ERR_NOT_APPLIED);
        memset(shown->applied, 0, sizeof shown->applied);
        break;
    default:
        if (!any_applied(shown) || cell % 3 == 2)
            break;
        /* Refused where a site of it is shown; where none is, the update is as good as any. */
        if (tp_key_update(cell_at(cell), FAR) == TP_OK) {
            shown->cells[cell] = FAR;
            assert_int_equal(tp_key_update(cell_at(cell), value), TP_OK);
            shown->cells[cell] = value;
        } else {
            assert_int_equal(tp_last_error()->status, TP_ERR_OUT_OF_REACH);
            assert_int_equal(*cell_at(cell), before);
        }
    }
}

/* Images that nothing depends on may go; those that are out may come. */
static void change_images(struct shown *shown, const struct shown *next) {
    unsigned i = 1 + next_random() % 2;
    if (!shown->known[i]) {
        if (i == 2 && !shown->known[1])
            return; /* it has sites of the second one's keys */
        assert_int_equal(tp_image_add(&worlds[i].image), TP_OK);
        shown->known[i] = true;
        return;
    }
    assert_int_equal(any_applied(shown) ? tp_revert() : TP_OK, TP_OK);
    memset(shown->applied, 0, sizeof shown->applied);
    enum tp_status status = tp_image_remove(&worlds[i].image);
    assert_int_equal(status, i == 1 && shown->known[2] ? TP_ERR_IMAGE_IN_USE : TP_OK);
    shown->known[i] = status != TP_OK;
    if (next_random() % 2)
        apply(shown, next);
}

static void walk(uint64_t seed, unsigned steps, enum port_mode mode, bool with_images) {
    struct shown shown, next;
    build_images(&shown, seed, with_images ? 1 : WORLDS);
    next = shown;
    port_mode = mode;
    for (unsigned step = 0; step < steps; step++) {
        if (with_images && next_random() % 8 == 0)
            change_images(&shown, &next);
        else
            take_step(&shown, &next);
        if (tp_audit(NULL, NULL) != TP_OK)
            fail_msg("step %u: %s", step, port_log);
        start_afresh(&shown);
        if (!text_is_expected())
            fail_msg("step %u: the text is not that of a fresh start", step);
    }
    port_mode = PORT_WHOLE;
    stop_library();
}

static void walks(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        walk(seed, 2500, PORT_WHOLE, false);
}

static void walks_in_small(void **state) {
    (void)state;
    walk(5, 2000, PORT_SMALL, false);
}

static void images_come_and_go(void **state) {
    (void)state;
    walk(6, 2000, PORT_WHOLE, true);
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct shown shown, next;
    build_images(&shown, 7, WORLDS);
    next = shown;
    apply(&shown, &next);
    start_afresh(&shown);
    assert_true(text_is_expected());
    shown.features ^= 1;
    start_afresh(&shown);
    assert_false(text_is_expected());
    shown.features ^= 1;
    shown.cells[0] = shown.cells[0] == OTHER ? WORK : OTHER;
    start_afresh(&shown);
    assert_false(text_is_expected());
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks),
        cmocka_unit_test(walks_in_small),
        cmocka_unit_test(images_come_and_go),
        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
