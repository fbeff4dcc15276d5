/* SPDX-License-Identifier: MIT */
/*
 * A port with the hooks of the stage "live", for what can be told without other CPUs: they answer as the test says.
 *
 * Calls
 *   start_live()   start_crowd(), applied, other CPUs run
 *   stop_live()
 *   live           how the hooks behave, what they were asked
 */
#ifndef TP_TEST_LIVE_H
#define TP_TEST_LIVE_H

#include "expect.h"

#include <signal.h>
#include <ucontext.h>

#include <textpatch/live.h>

static struct live_port {
    bool may_not_wait;
    unsigned silent_syncs; /* so many to come are not answered, by CPU 3 */
    unsigned silent_stops, busy_stops;
    uintptr_t caller;
    unsigned syncs, stops, locks, steps[TP_STEPS];
} live;

static void take_lock(void) { live.locks++; }
static void give_lock(void) { live.locks--; }
static uintptr_t ask_caller(void) { return live.caller; }
static bool ask_may_wait(void) { return !live.may_not_wait; }
static void note_step(const struct tp_trace *trace) { live.steps[trace->step]++; }

static bool sync_nobody(unsigned *silent) {
    live.syncs++;
    *silent = 3;
    if (!live.silent_syncs)
        return true;
    live.silent_syncs--;
    return false;
}

static enum tp_stop stop_nobody(bool (*may_proceed)(uintptr_t), void (*write)(void *), void *argument,
                                unsigned *silent) {
    live.stops++;
    *silent = 3;
    if (live.silent_stops) {
        live.silent_stops--;
        return TP_STOP_SILENT;
    }
    if (live.busy_stops) {
        live.busy_stops--;
        return TP_STOP_BUSY;
    }
    assert_true(may_proceed((uintptr_t)stop_nobody));
    write(argument);
    return TP_STOP_DONE;
}

static const struct tp_port live_port = {.map_text = map_text,
                                         .unmap_text = unmap_text,
                                         .log = log_message,
                                         .lock = take_lock,
                                         .unlock = give_lock,
                                         .caller = ask_caller,
                                         .may_wait = ask_may_wait,
                                         .sync_cpus = sync_nobody,
                                         .stop_cpus = stop_nobody,
                                         .trace = note_step};

/* No site is executed here: this is for the int3 of tp_cpus_running(). */
static bool passes_over_int3;

static inline void take_breakpoint(int number, siginfo_t *info, void *context) {
    greg_t *interrupted = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct tp_regs regs = {.rip = (uint64_t)interrupted[REG_RIP]};
    (void)number, (void)info;
    if (!passes_over_int3 && tp_handle_breakpoint(&regs) == TP_BREAKPOINT_RESUME)
        interrupted[REG_RIP] = (greg_t)regs.rip;
}

/* The library anew, with another port. */
static inline void restart_with(const struct tp_port *port) {
    assert_int_equal(tp_finish(), TP_OK);
    assert_int_equal(tp_init(port), TP_OK);
    assert_int_equal(tp_feature_clear(TP_FEATURE_VENDOR_AMD), TP_OK);
    assert_int_equal(tp_set_cpu_count(2), TP_OK);
}

static inline void run_others(struct world *world) {
    use_image(world);
    assert_int_equal(tp_apply(), TP_OK);
    assert_int_equal(tp_cpus_running(true), TP_OK);
}

/* A crowd of good sites; the caller may put more before run_others(). */
static inline struct world *start_live(unsigned count) {
    const struct sigaction action = {.sa_sigaction = take_breakpoint, .sa_flags = SA_SIGINFO};
    struct world *world = start_crowd(count);
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    restart_with(&live_port);
    live = (struct live_port){.caller = 1};
    return world;
}

static inline void stop_live(void) {
    assert_int_equal(live.locks, 0);
    assert_int_equal(tp_cpus_running(false), TP_OK);
    stop_library();
}

#endif
