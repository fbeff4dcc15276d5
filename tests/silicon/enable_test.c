/* SPDX-License-Identifier: MIT */
/*
 * Two threads that enable one key.
 *
 * Cases
 *   second_waits      the second enabler calls while the first is between its steps; it returns when the code is live,
 *                     and not before: it finds the new text, whichever step the first one was held up at
 *   many_enablers     both increment and decrement as they like: who has incremented finds the key on
 *   count_only        with the key on, a further enabler writes no text and makes no sync
 */
#include "harness.h"

#include <time.h>

static const struct tp_live_options no_stores = {.least_class = TP_CLASS_TRAP,
                                                 .least_assurance = TP_ASSURANCE_VENDOR};

static uint8_t first_byte(void) {
    return *(volatile uint8_t *)key_long_across_site;
}

static atomic_int second_began, second_status;
static atomic_bool second_is_done, second_saw_it_live;

static void *enable_second(void *unused) {
    silicon_pin(1);
    silicon_enter(1);
    second_began = 1;
    int status = (int)tp_key_add(&key_long_across_cell, 1);
    second_saw_it_live = first_byte() == 0xe9 && key_long_across() == 2;
    second_status = status;
    second_is_done = true;
    silicon_leave();
    return unused;
}

static unsigned held_step;
static bool returned_early;
static pthread_t second;

/* In the first one's call: the second one has every chance to return too early. */
static void hold_up(const struct tp_trace *step) {
    if (step->step != held_step || second_began)
        return;
    pthread_create(&second, NULL, enable_second, NULL);
    while (!second_began)
        sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    returned_early = second_is_done;
}

static void second_waits(void **state) {
    (void)state;
    start_library(&no_stores);
    for (held_step = TP_STEP_BEGIN; held_step <= TP_STEP_SYNC_LAST; held_step++) {
        if (held_step == TP_STEP_STORE)
            continue;
        second_began = 0;
        second_is_done = second_saw_it_live = false;
        silicon_port.trace = hold_up;
        must(tp_key_add(&key_long_across_cell, 1));
        assert_int_equal(first_byte(), 0xe9);
        assert_true(second_began);
        pthread_join(second, NULL);
        assert_false(returned_early);
        assert_true(second_saw_it_live);
        assert_int_equal(second_status, TP_OK);
        assert_int_equal(key_long_across_cell, 2);
        silicon_port.trace = NULL;
        must(tp_key_add(&key_long_across_cell, -2));
        assert_int_equal(first_byte(), 0x0f);
    }
    stop_library();
}

enum { ROUNDS = 20000 };
static atomic_ulong not_live, refused;

static void *enable_often(void *number) {
    silicon_pin((unsigned)(uintptr_t)number);
    if (number)
        silicon_enter((unsigned)(uintptr_t)number);
    for (unsigned i = 0; i < ROUNDS; i++) {
        refused += tp_key_add(&key_long_across_cell, 1) != TP_OK;
        not_live += key_long_across() != 2;
        refused += tp_key_add(&key_long_across_cell, -1) != TP_OK;
    }
    if (number)
        silicon_leave();
    return NULL;
}

static void many_enablers(void **state) {
    (void)state;
    start_library(&no_stores);
    pthread_create(&second, NULL, enable_often, (void *)1);
    enable_often(NULL);
    pthread_join(second, NULL);
    assert_int_equal(refused, 0);
    assert_int_equal(not_live, 0);
    assert_int_equal(key_long_across_cell, 0);
    must(tp_audit(NULL, NULL));
    stop_library();
}

static void count_only(void **state) {
    (void)state;
    start_library(&no_stores);
    must(tp_key_add(&key_long_across_cell, 1));
    silicon_seen.syncs = 0;
    must(tp_key_add(&key_long_across_cell, 1));
    must(tp_key_add(&key_long_across_cell, -1));
    assert_int_equal(silicon_seen.syncs, 0);
    must(tp_key_add(&key_long_across_cell, -1));
    assert_int_equal(silicon_seen.syncs, 3);
    assert_int_equal(key_long_across(), 1);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_waits),
        cmocka_unit_test(many_enablers),
        cmocka_unit_test(count_only),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
