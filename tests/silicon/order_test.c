/* SPDX-License-Identifier: MIT */
/*
 * The protocol itself: which steps, in which order, and how many syncs. Emulators and lucky CPUs can't tell.
 *
 * Cases
 *   thousand_by_trap     1,000 call sites across lines: three syncs, every step in its place
 *   thousand_by_store    1,000 in one quadword each: one sync
 *   mixed                by store, trap and rendezvous in one batch: three syncs and one stop
 *   nothing_to_do        no sync
 *   later_wins           cells noted twice, in any order: the last note counts, each site is written once
 *   skipped_sync         negative control: the port claims a sync that it did not make; the check finds it, each of three
 *   wrong_order          negative control: the check finds any two neighbours of unlike steps exchanged, any left out
 */
#include "crowd.h"
#include "harness.h"

enum { SITES = 1000, EVENTS_MAX = 16384, REAL_SYNC = TP_STEPS };

struct event {
    uint8_t step; /* enum tp_step, or REAL_SYNC */
    uint8_t byte; /* the first that was written */
    uintptr_t site, address;
};

static struct event events[EVENTS_MAX];
static unsigned event_count;

static void note(struct event event) {
    if (event_count < EVENTS_MAX)
        events[event_count++] = event;
}

static void note_step(const struct tp_trace *step) {
    note((struct event){step->step, step->length ? step->bytes[0] : 0, step->site, step->address});
}

static void note_sync(void) {
    note((struct event){.step = REAL_SYNC});
}

static void record(void) {
    event_count = 0;
    silicon_seen.syncs = silicon_seen.stops = 0;
    silicon_port.trace = note_step;
    silicon_control.synced = note_sync;
}

/* Where a step stands in a batch: stores are made with the first bytes. */
static unsigned rank_of(unsigned step) {
    static const uint8_t ranks[] = {[TP_STEP_BEGIN] = 0,     [TP_STEP_SET] = 1,   [TP_STEP_INT3] = 2,
                                    [TP_STEP_SYNC_INT3] = 3, [TP_STEP_TAIL] = 4,  [TP_STEP_SYNC_TAIL] = 5,
                                    [TP_STEP_FIRST] = 6,     [TP_STEP_STORE] = 6, [TP_STEP_SYNC_LAST] = 7,
                                    [TP_STEP_STOPPED] = 8,   [TP_STEP_END] = 9};
    return ranks[step];
}

static bool is_sync(unsigned step) {
    return step == TP_STEP_SYNC_INT3 || step == TP_STEP_SYNC_TAIL || step == TP_STEP_SYNC_LAST;
}

/* What has been seen of a batch so far. */
struct order {
    unsigned counts[TP_STEPS + 1];
    unsigned rank;
    bool synced; /* since the last byte was written */
};

static const char *check_event(struct order *order, const struct event *event) {
    if (event->step == REAL_SYNC) {
        order->synced = true;
        return NULL;
    }
    if (rank_of(event->step) < order->rank)
        return "a step comes too late";
    order->rank = rank_of(event->step);
    if (is_sync(event->step) && !order->synced)
        return "a sync is claimed and none was made";
    if (!event->site && order->counts[event->step] > 1)
        return "a step comes twice";
    if (event->site)
        order->synced = false;
    if (event->step == TP_STEP_INT3 && (event->byte != 0xcc || event->address != event->site))
        return "an int3 is none, or not on the first byte";
    if (event->step == TP_STEP_TAIL && event->address != event->site + 1)
        return "a tail isn't behind the first byte";
    return NULL;
}

static const char *check_counts(const unsigned *counts) {
    unsigned traps = counts[TP_STEP_INT3], firsts = counts[TP_STEP_FIRST];
    if (counts[TP_STEP_BEGIN] != 1 || counts[TP_STEP_SET] != 1 || counts[TP_STEP_END] != 1)
        return "no beginning, or no end";
    if (counts[TP_STEP_TAIL] != traps || firsts != traps)
        return "an int3 without a tail or a first byte";
    if (counts[TP_STEP_SYNC_INT3] != (traps != 0) || counts[TP_STEP_SYNC_TAIL] != (traps != 0) ||
        counts[TP_STEP_SYNC_LAST] != (traps + counts[TP_STEP_STORE] != 0))
        return "a sync is missing, or too many";
    return NULL;
}

/* NULL, or what is wrong with the batch that was recorded. */
static const char *check_order(struct order *order) {
    const char *wrong = NULL;
    *order = (struct order){.rank = 0};
    for (unsigned i = 0; i < event_count && !wrong; i++) {
        order->counts[events[i].step]++;
        wrong = check_event(order, &events[i]);
    }
    return wrong ? wrong : check_counts(order->counts);
}

static struct order good_order(void) {
    struct order order;
    const char *wrong = check_order(&order);
    if (wrong)
        fail_msg("%s", wrong);
    return order;
}

/* ---- Crowds ---- */

static struct crowd crowd;

static void start_crowd(bool across, const struct tp_live_options *options) {
    start_library(options);
    crowd_build(&crowd, SITES, 1, across);
    must(tp_image_add(&crowd.image));
    must(tp_apply());
}

static void stop_crowd(void) {
    silicon_port.trace = NULL;
    silicon_control.synced = NULL;
    must(tp_audit(NULL, NULL));
    stop_library();
}

static void thousand_by_trap(void **state) {
    (void)state;
    start_crowd(true, &(struct tp_live_options){.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR});
    record();
    must(tp_key_update(&crowd.cells[0], (uintptr_t)value_2));
    struct order order = good_order();
    assert_int_equal(order.counts[TP_STEP_INT3], SITES + 1); /* and the trampoline */
    assert_int_equal(order.counts[REAL_SYNC], 3);
    assert_int_equal(silicon_seen.syncs, 3);
    for (unsigned i = 0; i < SITES; i++)
        assert_int_equal(crowd_code(&crowd, i)(), 2);
    stop_crowd();
}

static void thousand_by_store(void **state) {
    (void)state;
    start_crowd(false, &(struct tp_live_options){.least_assurance = TP_ASSURANCE_PRACTICE});
    record();
    must(tp_key_update(&crowd.cells[0], (uintptr_t)value_2));
    struct order order = good_order();
    assert_int_equal(order.counts[TP_STEP_STORE], SITES + 1);
    assert_int_equal(order.counts[REAL_SYNC], 1);
    assert_int_equal(silicon_seen.syncs, 1);
    for (unsigned i = 0; i < SITES; i++)
        assert_int_equal(crowd_code(&crowd, i)(), 2);
    stop_crowd();
}

static void mixed(void **state) {
    (void)state;
    start_library(&(struct tp_live_options){.least_assurance = TP_ASSURANCE_PRACTICE});
    must(tp_key_update(&op_many_cell, (uintptr_t)value_5));
    record();
    must(tp_batch_begin());
    must(tp_batch_set(&op_many_cell, (uintptr_t)value_6));
    must(tp_batch_set(&op_whole_cell, (uintptr_t)value_2));
    must(tp_batch_set(&op_across_cell, (uintptr_t)value_2));
    must(tp_batch_add(&key_long_cell, 1));
    must(tp_batch_commit());
    struct order order = good_order();
    assert_int_equal(order.counts[TP_STEP_STOPPED], 1);
    assert_int_equal(order.counts[TP_STEP_STORE], 2);
    assert_int_equal(order.counts[TP_STEP_INT3], 1);
    assert_int_equal(order.counts[REAL_SYNC], 3);
    assert_int_equal(silicon_seen.stops, 1);
    assert_int_equal(op_many() * 1000 + op_whole() * 100 + op_across() * 10 + key_long(), 6222);
    silicon_port.trace = NULL;
    must(tp_key_update(&op_many_cell, (uintptr_t)value_1));
    must(tp_key_update(&op_whole_cell, (uintptr_t)value_1));
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    must(tp_key_update(&key_long_cell, 0));
    stop_crowd();
}

static void nothing_to_do(void **state) {
    (void)state;
    start_crowd(true, NULL);
    record();
    must(tp_apply());
    must(tp_key_update(&crowd.cells[0], (uintptr_t)value_1));
    must(tp_batch_begin());
    must(tp_batch_set(&crowd.cells[0], (uintptr_t)value_2));
    must(tp_batch_cancel());
    must(tp_batch_begin());
    must(tp_batch_commit());
    assert_int_equal(silicon_seen.syncs, 0);
    for (unsigned i = 0; i < event_count; i++)
        assert_int_equal(events[i].site, 0);
    stop_crowd();
}

static void later_wins(void **state) {
    (void)state;
    start_library(&(struct tp_live_options){.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR});
    crowd_build(&crowd, CROWD_CALLS_MAX * 2, CROWD_CALLS_MAX, true);
    must(tp_image_add(&crowd.image));
    must(tp_apply());
    record();
    must(tp_batch_begin());
    for (unsigned i = CROWD_CALLS_MAX; i-- > 0;)
        must(tp_batch_set(&crowd.cells[i], (uintptr_t)value_9));
    for (unsigned i = 0; i < CROWD_CALLS_MAX; i++)
        must(tp_batch_set(&crowd.cells[(i * 77) % CROWD_CALLS_MAX], (uintptr_t)value_2));
    must(tp_batch_commit());
    struct order order = good_order();
    assert_int_equal(order.counts[TP_STEP_INT3], CROWD_CALLS_MAX * 3);
    assert_int_equal(order.counts[REAL_SYNC], 3);
    for (unsigned i = 0; i < CROWD_CALLS_MAX * 2; i++)
        assert_int_equal(crowd_code(&crowd, i)(), 2);
    stop_crowd();
}

static void skipped_sync(void **state) {
    (void)state;
    struct order order;
    for (unsigned skipped = 1; skipped <= 3; skipped++) {
        start_crowd(true, NULL);
        record();
        silicon_control.skip_sync = skipped;
        must(tp_key_update(&crowd.cells[0], (uintptr_t)value_2));
        assert_non_null(check_order(&order));
        stop_crowd();
    }
}

static void exchange(struct event *one, struct event *other) {
    struct event saved = *one;
    *one = *other;
    *other = saved;
}

/* A sync that was made and the claim of it belong together; so do the steps of one kind. */
static bool may_be_exchanged(const struct event *one, const struct event *other) {
    return one->step == other->step || (one->step != REAL_SYNC && other->step != REAL_SYNC &&
                                        rank_of(one->step) == rank_of(other->step));
}

static void wrong_order(void **state) {
    (void)state;
    struct order order;
    start_library(&(struct tp_live_options){.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR});
    record();
    must(tp_key_update(&tp_static_call_call_across, (uintptr_t)value_2));
    good_order();
    for (unsigned i = 0; i + 1 < event_count; i++) {
        if (may_be_exchanged(&events[i], &events[i + 1]))
            continue;
        exchange(&events[i], &events[i + 1]);
        assert_non_null(check_order(&order));
        exchange(&events[i], &events[i + 1]);
    }
    for (unsigned i = 0; i < event_count; i++) {
        struct event saved = events[i];
        memmove(&events[i], &events[i + 1], (event_count - i - 1) * sizeof *events);
        event_count--;
        assert_non_null(check_order(&order));
        memmove(&events[i + 1], &events[i], (event_count - i) * sizeof *events);
        event_count++;
        events[i] = saved;
    }
    good_order();
    silicon_port.trace = NULL;
    must(tp_key_update(&tp_static_call_call_across, (uintptr_t)value_1));
    stop_crowd();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousand_by_trap), cmocka_unit_test(thousand_by_store), cmocka_unit_test(mixed),
        cmocka_unit_test(nothing_to_do),    cmocka_unit_test(later_wins),        cmocka_unit_test(skipped_sync),
        cmocka_unit_test(wrong_order),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
