/* SPDX-License-Identifier: MIT */
/*
 * Rendering is a function of record and state, and of nothing else.
 *
 * Cases
 *   twice_the_same   3,000 mixed sites in three images x views x random states: the same bytes again, whatever the
 *                    buffer held before, and nothing behind them
 *   reads_no_text    the same with the text inaccessible and the tables read-only: a read of the one or a write of
 *                    the other is a fault
 *   text_unheeded    bytes of text that are no site's form change nothing
 *   faults_noticed   negative control: with the text inaccessible, an audit does fault
 */
#include "population.h"
#include "render.h"

#include <signal.h>
#include <sys/wait.h>

static void start_images(void) {
    start_library();
    random_state = 21;
    for (unsigned i = 0; i < WORLDS; i++) {
        put_population(&worlds[i], 1000);
        add_inline(&worlds[i], INLINED(i), tp_patchlet_save_fl, tp_patchlet_save_fl_end);
        use_image(&worlds[i]);
    }
}

static void choose_state(void) {
    static const uint64_t functions[] = {WORK, OTHER, INLINED(0), INLINED(1), NONE, RETURN0};
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(next_random() % 2 ? tp_feature_set(FEATURE(i)) : tp_feature_clear(FEATURE(i)),
                         TP_OK);
    for (unsigned i = 0; i < WORLDS * POPULATION_KEYS; i++)
        *population_cell(&worlds[i / POPULATION_KEYS], i % POPULATION_KEYS) =
            i % 3 == 2 ? next_random() % 2 : functions[next_random() % 6];
    latch();
}

/* A hash of all places in all views; the buffer is filled with `fill` before. */
static uint64_t render_all(int fill) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < WORLDS; i++)
        for (uint32_t place = 0; place < worlds[i].image.place_count; place++)
            for (enum tp_view view = TP_VIEW_PRISTINE; view <= TP_VIEW_WANTED; view += 2) {
                uint8_t bytes[TP_SITE_LENGTH_MAX + 1], form;
                unsigned length = worlds[i].image.sites[place].length;
                memset(bytes, fill, sizeof bytes);
                assert_int_equal(tp_render(&worlds[i].image, place, view, bytes, &form), TP_OK);
                assert_int_equal(bytes[length], (uint8_t)fill);
                hash = hash * 31 + hash_bytes(bytes, length) + form;
            }
    return hash;
}

static void twice_the_same(void **state) {
    (void)state;
    uint64_t last = 0;
    start_images();
    for (unsigned round = 0; round < 20; round++) {
        choose_state();
        uint64_t hash = render_all(0);
        assert_int_equal(render_all(0xff), hash);
        assert_int_not_equal(hash, last);
        last = hash;
    }
    stop_library();
}

static void protect(int text, int tables) {
    for (unsigned i = 0; i < WORLDS; i++) {
        assert_int_equal(mprotect(worlds[i].text, TEXT_SIZE, text), 0);
        assert_int_equal(
            mprotect(worlds[i].alias, TEXT_SIZE, text == PROT_NONE ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
        assert_int_equal(mprotect(worlds[i].tables, sizeof(struct tables), tables), 0);
    }
}

static void reads_no_text(void **state) {
    (void)state;
    start_images();
    choose_state();
    uint64_t hash = render_all(0);
    protect(PROT_NONE, PROT_READ);
    assert_int_equal(render_all(0), hash);
    protect(PROT_READ, PROT_READ | PROT_WRITE);
    stop_library();
}

static void text_unheeded(void **state) {
    (void)state;
    start_images();
    choose_state();
    uint64_t hash = render_all(0);
    for (unsigned i = 0; i < WORLDS; i++)
        memset(worlds[i].alias, 0, worlds[i].used);
    assert_int_equal(render_all(0), hash);
    stop_library();
}

static void faults_noticed(void **state) {
    (void)state;
    int status;
    start_images();
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        protect(PROT_NONE, PROT_READ);
        _exit(tp_audit(NULL, NULL) == TP_OK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) > 1);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twice_the_same),
        cmocka_unit_test(reads_no_text),
        cmocka_unit_test(text_unheeded),
        cmocka_unit_test(faults_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
