/* SPDX-License-Identifier: MIT */
/*
 * The order of things, and who waits for whom.
 *
 *   1   a batch of 512 sites, keys in descending order, each noted twice
 *   6   a kernel whose #BP doesn't lead to the library
 *   20  a second enabler, while the first one's int3 stands
 *   21  what a CPU may have fetched, byte by byte, at any time since its last serialisation
 *   24  a CPU that does not answer, at each of the syncs
 */
#include "bugs.h"

#include "crowd.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* ---- 1 ---- */

void bug_1(void) {
    static struct crowd crowd;
    begin(&by_trap);
    crowd_build(&crowd, 2 * CROWD_CALLS_MAX, CROWD_CALLS_MAX, true);
    must(tp_image_add(&crowd.image));
    must(tp_apply());
    must(tp_batch_begin());
    for (unsigned i = CROWD_CALLS_MAX; i-- > 0;)
        must(tp_batch_set(&crowd.cells[i], (uintptr_t)value_9));
    for (unsigned i = CROWD_CALLS_MAX; i-- > 0;)
        must(tp_batch_set(&crowd.cells[i], (uintptr_t)value_2));
    must(tp_batch_commit());
    for (unsigned i = 0; i < crowd.sites; i++)
        require(crowd_code(&crowd, i)() == 2, "1: site %u calls what was noted first", i);
    end();
}

/* ---- 6 ---- */

static void pass_over(int signal_number) {
    (void)signal_number;
}

void bug_6(void) {
    struct sigaction ours, theirs = {.sa_handler = pass_over};
    begin_alone(&by_trap);
    sigaction(SIGTRAP, &theirs, &ours);
    must_answer(TP_ERR_NO_BREAKPOINT, tp_cpus_running(true));
    sigaction(SIGTRAP, &ours, NULL);
    must(tp_cpus_running(true));
    end();
}

/* ---- 20 ---- */

static pthread_t second;
static atomic_int second_thread;
static atomic_bool second_waits, second_is_done;

static void take_lock(void) {
    second_waits |= gettid() == second_thread;
    silicon_port.lock();
}

static void *enable_second(void *unused) {
    second_thread = gettid();
    must(tp_key_add(&key_long_across_cell, 1));
    second_is_done = true;
    return unused;
}

static void let_second_try(const struct tp_trace *step) {
    if (step->step != TP_STEP_INT3)
        return;
    pthread_create(&second, NULL, enable_second, NULL);
    while (!second_waits && !second_is_done)
        sched_yield();
    require(!second_is_done, "20: a second enabler has returned, and the branch is not live");
}

void bug_20(void) {
    bug_port.lock = take_lock;
    begin(&by_trap);
    bug_port.trace = let_second_try;
    must(tp_key_add(&key_long_across_cell, 1));
    pthread_join(second, NULL);
    bug_port.trace = NULL;
    require(key_long_across_cell == 2 && key_long_across() == 2, "20: not counted twice");
    must(tp_key_add(&key_long_across_cell, -2));
    end();
}

/* ---- 21 ---- */

enum { SITE = 6, VERSIONS = 8 };

static uint8_t old_form[SITE], new_form[SITE], versions[VERSIONS][SITE];
static unsigned version_count;

static void note_version(void) {
    require(version_count < VERSIONS, "21: too many versions");
    memcpy(versions[version_count++], op_across_site, SITE);
}

static void serialize_all(void) {
    version_count = 0;
    note_version();
}

/* Bytes of any versions, mixed in any way. An int3 in front is safe whatever follows. */
static void try_mixtures(uint8_t *bytes, unsigned length) {
    for (unsigned i = 0; length < SITE && i < version_count; i++) {
        bytes[length] = versions[i][length];
        try_mixtures(bytes, length + 1);
    }
    require(length < SITE || bytes[0] == 0xcc || !memcmp(bytes, old_form, SITE) || !memcmp(bytes, new_form, SITE),
            "21: a CPU may execute %02x %02x %02x %02x %02x %02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
            bytes[5]);
}

static void note_step(const struct tp_trace *step) {
    uint8_t bytes[SITE];
    if (step->site != (uintptr_t)op_across_site)
        return;
    note_version();
    try_mixtures(bytes, 0);
}

static void change_watched(uintptr_t to) {
    uint8_t *const site = op_across_site;
    memcpy(old_form, site, SITE);
    serialize_all();
    bug_port.trace = note_step;
    silicon_control.synced = serialize_all;
    must(tp_key_update(&op_across_cell, to));
    require(version_count == 1 && !memcmp(versions[0], new_form, SITE),
            "21: after the call has returned, a CPU may execute what it had fetched before");
}

void bug_21(void) {
    begin(&by_trap);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_2));
    memcpy(new_form, op_across_site, SITE);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    change_watched((uintptr_t)value_2);
    memcpy(new_form, old_form, SITE);
    change_watched((uintptr_t)value_1);
    end();
}

/* ---- 24 ---- */

void bug_24(void) {
    begin(&by_trap);
    for (unsigned sync = 1; sync <= 3; sync++) {
        silicon_seen.syncs = 0;
        silicon_control.silent_cpu = 6;
        silicon_control.silent_sync = sync;
        must_answer(TP_ERR_CPU_SILENT, tp_key_update(&op_across_cell, (uintptr_t)value_2));
        require(tp_last_error()->value == 6, "24: the silent CPU is not named");
        require(op_across() == 2, "24: what is half patched does not work");
        go_on();
        must(tp_audit(NULL, NULL));
        must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    }
    end();
}
