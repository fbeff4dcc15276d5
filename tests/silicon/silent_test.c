/* SPDX-License-Identifier: MIT */
/*
 * CPUs that don't answer, and callers that must not call.
 *
 * Cases
 *   stop_unanswered   one thread doesn't stop: named, nothing written; resumed when it listens again
 *   sync_unanswered   each of the three syncs: named; the text goes on working, half patched; resumed
 *   others_wait       while a batch is stuck, another thread's change waits, and is made afterwards
 *   stuck_refuses     what the caller may not do before it has resumed
 *   wrong_context     a context that may not wait: refused, nothing changed
 *   nested            a batch inside a batch, and what needs one without one
 *   found_inside      stops that find a CPU between the instructions of a site are made again
 */
#include "harness.h"

#include <signal.h>
#include <time.h>

static struct peer peer;
static const struct tp_live_options no_stores = {.least_class = TP_CLASS_TRAP,
                                                 .least_assurance = TP_ASSURANCE_VENDOR};

static void block_stop(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

/* Executed by the peer. */
static unsigned go_deaf(void) {
    block_stop(SIG_BLOCK);
    return 1;
}

static unsigned listen_again(void) {
    block_stop(SIG_UNBLOCK);
    return 1;
}

static void begin(void) {
    start_library(&no_stores);
    peer_start(&peer, 1);
}

static void finish(void) {
    assert_int_equal(peer.wrong, 0);
    peer_end(&peer);
    must(tp_audit(NULL, NULL));
    stop_library();
}

static void stop_unanswered(void **state) {
    (void)state;
    begin();
    must(tp_key_update(&op_many_cell, (uintptr_t)value_5));
    peer_give(&peer, go_deaf, 1);
    peer_give(&peer, op_many, 5);
    silicon_control.stop_patience = 30;
    peer_change(&peer, 6);
    for (unsigned i = 0; i < 3; i++) {
        must_answer(TP_ERR_CPU_SILENT, i ? tp_batch_resume() : tp_key_update(&op_many_cell, (uintptr_t)value_6));
        assert_int_equal(tp_last_error()->value, 1);
        assert_int_equal(op_many(), 5);
        peer_wait(&peer);
    }
    peer_give(&peer, listen_again, 1);
    peer_give(&peer, op_many, 5);
    silicon_control.stop_patience = 2000;
    peer_change(&peer, 6);
    must(tp_batch_resume());
    peer_changed(&peer);
    assert_int_equal(op_many(), 6);
    must_answer(TP_ERR_NO_BATCH, tp_batch_resume());
    peer_give(&peer, NULL, 0);
    must(tp_key_update(&op_many_cell, (uintptr_t)value_1));
    finish();
}

static void sync_unanswered(void **state) {
    (void)state;
    begin();
    peer_give(&peer, op_across, 1);
    for (unsigned sync = 1; sync <= 3; sync++) {
        unsigned new_value = 1 + sync % 2;
        silicon_seen.syncs = 0;
        silicon_control.silent_sync = sync;
        silicon_control.silent_cpu = 6;
        peer_change(&peer, new_value);
        must_answer(TP_ERR_CPU_SILENT, tp_key_update(&op_across_cell, (uintptr_t)(sync % 2 ? value_2 : value_1)));
        assert_int_equal(tp_last_error()->value, 6);
        for (unsigned i = 0; i < 100; i++)
            peer_wait(&peer);
        silicon_control.silent_sync = 0;
        must(tp_batch_resume());
        assert_int_equal(silicon_seen.syncs, 4);
        peer_changed(&peer);
        must(tp_audit(NULL, NULL));
    }
    peer_change(&peer, 1);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    peer_changed(&peer);
    finish();
}

static atomic_bool other_is_done;

static void *change_other(void *unused) {
    enum tp_status status = tp_key_update(&key_long_across_cell, 1);
    other_is_done = true;
    return status == TP_OK ? unused : &program;
}

static void get_stuck(void) {
    silicon_seen.syncs = 0;
    silicon_control.silent_sync = 2;
    silicon_control.silent_cpu = 3;
    must_answer(TP_ERR_CPU_SILENT, tp_key_update(&op_across_cell, (uintptr_t)value_2));
    silicon_control.silent_sync = 0;
}

static void others_wait(void **state) {
    (void)state;
    pthread_t other;
    void *result;
    begin();
    get_stuck();
    other_is_done = false;
    assert_int_equal(pthread_create(&other, NULL, change_other, NULL), 0);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    assert_false(other_is_done);
    assert_int_equal(key_long_across(), 1);
    must(tp_batch_resume());
    pthread_join(other, &result);
    assert_null(result);
    assert_int_equal(key_long_across(), 2);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    must(tp_key_update(&key_long_across_cell, 0));
    finish();
}

static void stuck_refuses(void **state) {
    (void)state;
    begin();
    get_stuck();
    must_answer(TP_ERR_BATCH_STUCK, tp_batch_cancel());
    assert_int_not_equal(tp_batch_begin(), TP_OK);
    assert_int_not_equal(tp_key_update(&op_whole_cell, (uintptr_t)value_2), TP_OK);
    assert_int_not_equal(tp_apply(), TP_OK);
    assert_int_not_equal(tp_revert(), TP_OK);
    assert_int_not_equal(tp_finish(), TP_OK);
    assert_int_not_equal(tp_cpus_running(false), TP_OK);
    assert_int_not_equal(tp_image_remove(&program), TP_OK);
    assert_int_equal(op_across(), 2);
    assert_int_equal(op_whole(), 1);
    must(tp_batch_resume());
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    finish();
}

static void wrong_context(void **state) {
    (void)state;
    begin();
    silicon_may_wait = false;
    must_answer(TP_ERR_WRONG_CONTEXT, tp_key_update(&op_across_cell, (uintptr_t)value_2));
    must_answer(TP_ERR_WRONG_CONTEXT, tp_key_add(&key_long_cell, 1));
    must_answer(TP_ERR_WRONG_CONTEXT, tp_apply());
    must_answer(TP_ERR_WRONG_CONTEXT, tp_revert());
    must_answer(TP_ERR_WRONG_CONTEXT, tp_batch_begin());
    silicon_may_wait = true;
    assert_int_equal(op_across_cell, (uintptr_t)value_1);
    assert_int_equal(key_long_cell, 0);
    assert_int_equal(silicon_seen.syncs, 0);
    finish();
}

static void nested(void **state) {
    (void)state;
    uint64_t unknown = 0;
    begin();
    must_answer(TP_ERR_NO_BATCH, tp_batch_set(&op_across_cell, 0));
    must_answer(TP_ERR_NO_BATCH, tp_batch_add(&key_long_cell, 1));
    must_answer(TP_ERR_NO_BATCH, tp_batch_take_features());
    must_answer(TP_ERR_NO_BATCH, tp_batch_commit());
    must_answer(TP_ERR_NO_BATCH, tp_batch_cancel());
    must(tp_batch_begin());
    must_answer(TP_ERR_BATCH_OPEN, tp_batch_begin());
    must_answer(TP_ERR_BATCH_OPEN, tp_key_update(&op_across_cell, (uintptr_t)value_2));
    must_answer(TP_ERR_BATCH_OPEN, tp_apply());
    must_answer(TP_ERR_UNKNOWN_KEY, tp_batch_set(&unknown, 1));
    must_answer(TP_ERR_BAD_ARGUMENT, tp_batch_add(&key_long_cell, -1));
    must(tp_batch_set(&op_across_cell, (uintptr_t)value_2));
    must(tp_batch_commit());
    assert_int_equal(op_across(), 2);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    finish();
}


static void found_inside(void **state) {
    (void)state;
    begin();
    must(tp_key_update(&op_many_cell, (uintptr_t)value_5));
    peer_give(&peer, op_many, 5);
    for (unsigned i = 1; i <= 2000; i++) {
        peer_change(&peer, 5 + i % 2);
        must(tp_key_update(&op_many_cell, (uintptr_t)(i % 2 ? value_6 : value_5)));
        peer_changed(&peer);
    }
    printf("# %lu stops, of which %lu found it inside\n", silicon_seen.stops, silicon_seen.busy);
    assert_true(silicon_seen.busy > 0);
    peer_give(&peer, NULL, 0);
    must(tp_key_update(&op_many_cell, (uintptr_t)value_1));
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_unanswered), cmocka_unit_test(sync_unanswered), cmocka_unit_test(others_wait),
        cmocka_unit_test(stuck_refuses),   cmocka_unit_test(wrong_context),   cmocka_unit_test(nested),
        cmocka_unit_test(found_inside),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
