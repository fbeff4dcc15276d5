/* SPDX-License-Identifier: MIT */
/*
 * live_errors: what is refused while CPUs run, and CPUs that don't answer. Nothing is changed by what is refused.
 *
 *   with interrupts masked, in #BP, in an NMI: TP_ERR_WRONG_CONTEXT
 *   batches: one in another, none, a cell that is no key, counts below 0, options meanwhile; what is cancelled is
 *     forgotten
 *   a port without a hook: each of them is named; without stop_cpus all works but what needs it
 *   #BP that doesn't lead to the library (bug 6)
 *   a site that can't be changed live: a call inside, which would return there (bug 25)
 *   a mute CPU: named within the time-out, at each sync and at a stop; sites mean their cells meanwhile, on CPUs that
 *     answer and in NMIs of the one that doesn't; then resumed (bug 24)
 *   a CPU that is inside a site at every try
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "smp.h"
#include "support.h"

static const struct tp_live_options by_trap = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR};

/* ---- Contexts ---- */

enum { CALLS = 6 };
static enum tp_status refused[CALLS];

static void call_all(void) {
    static struct tp_image image;
    refused[0] = tp_op_update(live_ops.plain, live_two);
    refused[1] = tp_static_key_increment(live_key);
    refused[2] = tp_apply();
    refused[3] = tp_revert();
    refused[4] = tp_batch_begin();
    refused[5] = tp_image_add(&image);
}

static void expect_refused(uint64_t text) {
    for (unsigned i = 0; i < CALLS; i++) {
        if (!EXPECT_STATUS(refused[i], TP_ERR_WRONG_CONTEXT))
            print_format("# call %u\n", i);
        refused[i] = TP_OK;
    }
    EXPECT_EQUAL(hash_text(), text);
    EXPECT(live_ops.plain == live_one);
    EXPECT_EQUAL(tp_static_key_count(live_key), 0);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_BEGIN], 0);
}

static void call_in_breakpoint(struct tp_regs *regs) {
    (void)regs;
    call_all();
}

static void call_in_nmi(struct tp_regs *regs) {
    (void)regs;
    call_all();
}

static void call_everywhere(void) {
    struct live_visit visit = {0};
    uint64_t text = hash_text();
    mask_interrupts();
    call_all();
    unmask_interrupts();
    expect_refused(text);
    live_foreign_hook = call_in_breakpoint;
    visit_int3(&visit);
    expect_refused(text);
    uint64_t before = nmi_count(0);
    nmi_hook = call_in_nmi;
    EXPECT(send_nmi(0));
    while (nmi_count(0) == before)
        __asm__ volatile("pause");
    expect_refused(text);
}

static void refuses_contexts(void) {
    run_live_plainly(call_everywhere);
}

/* ---- Batches ---- */

static void expect_no_batch(void) {
    EXPECT_STATUS(tp_batch_set(&live_ops.plain, 0), TP_ERR_NO_BATCH);
    EXPECT_STATUS(tp_batch_add(&live_key, 1), TP_ERR_NO_BATCH);
    EXPECT_STATUS(tp_batch_take_features(), TP_ERR_NO_BATCH);
    EXPECT_STATUS(tp_batch_commit(), TP_ERR_NO_BATCH);
    EXPECT_STATUS(tp_batch_cancel(), TP_ERR_NO_BATCH);
    EXPECT_STATUS(tp_batch_resume(), TP_ERR_NO_BATCH);
}

static enum tp_status other_status;

static void call_from_another_cpu(void *unused) {
    (void)unused;
    other_status = tp_batch_set(&live_ops.plain, (uintptr_t)live_two);
}

static void misuse_batches(void) {
    static uint64_t stranger;
    uint64_t text = hash_text();
    expect_no_batch();
    REQUIRE_OK(tp_batch_begin());
    EXPECT_STATUS(tp_batch_begin(), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_apply(), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_revert(), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_static_key_enable(live_key), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_set_live_options(&by_trap), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_cpus_running(false), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_batch_set(&stranger, 1), TP_ERR_UNKNOWN_KEY);
    EXPECT_STATUS(tp_batch_add(&stranger, 1), TP_ERR_UNKNOWN_KEY);
    EXPECT_STATUS(tp_batch_add(&live_key, -1), TP_ERR_BAD_ARGUMENT);
    EXPECT_STATUS(tp_batch_resume(), TP_ERR_NO_BATCH);
    run_on(1, call_from_another_cpu, NULL);
    wait_for(1);
    EXPECT_STATUS(other_status, TP_ERR_NO_BATCH);
    EXPECT_OK(tp_batch_set(&live_ops.plain, (uintptr_t)live_two));
    EXPECT_OK(tp_batch_cancel());
    expect_no_batch();
    EXPECT_EQUAL(hash_text(), text);
    EXPECT(live_ops.plain == live_one);
    EXPECT_EQUAL(stranger, 0);
    REQUIRE_OK(tp_batch_begin()); /* what was cancelled isn't in the next one */
    EXPECT_OK(tp_batch_commit());
    EXPECT_EQUAL(hash_text(), text);
    EXPECT_STATUS(tp_set_live_options(&(struct tp_live_options){.call_scheme = TP_SCHEME_PREFIX}), TP_ERR_IMAGE_KNOWN);
    EXPECT_STATUS(tp_set_live_options(&(struct tp_live_options){.least_class = 9}), TP_ERR_BAD_ARGUMENT);
}

static void refuses_misuse(void) {
    run_live_plainly(misuse_batches);
}

/* ---- Hooks ---- */

static const char *missing;

static void expect_missing(void) {
    uint64_t text = hash_text();
    EXPECT_STATUS(tp_op_update(live_ops.plain, live_two), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_TEXT(tp_last_error()->hook, missing);
    EXPECT_STATUS(tp_batch_begin(), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_STATUS(tp_apply(), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_TEXT(tp_last_error()->hook, missing);
    EXPECT_EQUAL(hash_text(), text);
    EXPECT(live_ops.plain == live_one);
}

static void expect_named(const struct tp_port *port, const char *hook) {
    missing = hook;
    run_live(&(struct live_setup){.port = port, .options = live_defaults}, expect_missing);
}

static void need_stop_cpus(void) {
    EXPECT_OK(tp_op_update(live_ops.mixed, live_stack));
    EXPECT_STATUS(tp_op_update(live_ops.mixed, live_one), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_TEXT(tp_last_error()->hook, "stop_cpus");
    EXPECT(live_ops.mixed == live_stack);
}

static void names_hooks(void) {
    struct tp_port port = live_port;
    port.lock = NULL;
    expect_named(&port, "lock");
    port = live_port;
    port.unlock = NULL;
    expect_named(&port, "unlock");
    port = live_port;
    port.caller = NULL;
    expect_named(&port, "caller");
    port = live_port;
    port.may_wait = NULL;
    expect_named(&port, "may_wait");
    port = live_port;
    port.sync_cpus = NULL;
    expect_named(&port, "sync_cpus");
    port = live_port;
    port.stop_cpus = NULL;
    run_live(&(struct live_setup){.port = &port, .options = live_defaults}, need_stop_cpus);
    live_ops.mixed = live_one;
}

static bool pass_over(struct tp_regs *regs) {
    (void)regs;
    return true;
}

static void misses_breakpoints(void) {
    REQUIRE(start_library(&live_port));
    EXPECT_OK(tp_set_cpu_count(2));
    EXPECT_OK(tp_apply());
    exception_handler before = set_exception_handler(VECTOR_BREAKPOINT, pass_over);
    EXPECT_STATUS(tp_cpus_running(true), TP_ERR_NO_BREAKPOINT);
    set_exception_handler(VECTOR_BREAKPOINT, before);
}

/* ---- Impossible sites ---- */

static void change_the_impossible(void) {
    uint64_t text = hash_text();
    EXPECT_EQUAL(live_calls_inside(), LIVE_ONE);
    EXPECT_OK(tp_feature_set(LIVE_FEATURE));
    EXPECT_STATUS(tp_apply(), TP_ERR_CLASS_IMPOSSIBLE);
    EXPECT_EQUAL(tp_last_error()->site, SITE_OF(live_calls_inside, 0).address);
    EXPECT_EQUAL(hash_text(), text);
    EXPECT_EQUAL(live_calls_inside(), LIVE_ONE);
    EXPECT_OK(tp_feature_clear(LIVE_FEATURE));
    EXPECT_OK(tp_apply());
}

static void refuses_the_impossible(void) {
    run_live_plainly(change_the_impossible);
}

/* ---- Silence ---- */

enum { SILENT_CPU = 1 };
static enum tp_step mute_after;

static void mute_at_step(const struct tp_trace *trace) {
    if (trace->step == mute_after)
        set_mute(SILENT_CPU, true);
}

static volatile unsigned nmi_answers, nmi_mistakes;

static void visit_by_nmi(struct tp_regs *regs) {
    struct live_visit visit = {0};
    (void)regs;
    nmi_mistakes += visit_companion(&visit) != LIVE_TWO || visit.damage;
    nmi_answers++;
}

/* By a mute CPU too: it takes NMIs. */
static void expect_new_meaning(void) {
    struct live_visit visit = {0};
    EXPECT_EQUAL(visit_companion(&visit), LIVE_TWO);
    EXPECT_EQUAL(visit.damage, 0);
    nmi_answers = nmi_mistakes = 0;
    nmi_hook = visit_by_nmi;
    EXPECT(send_nmi(SILENT_CPU));
    uint64_t end = read_nanoseconds() + 5000000000;
    while (!nmi_answers && read_nanoseconds() < end)
        __asm__ volatile("pause");
    EXPECT_EQUAL(nmi_answers, 1);
    EXPECT_EQUAL(nmi_mistakes, 0);
}

static void expect_stuck(enum tp_status status) {
    EXPECT_STATUS(tp_batch_set(&live_ops.plain, (uintptr_t)live_two), TP_ERR_BATCH_STUCK);
    EXPECT_STATUS(tp_batch_commit(), TP_ERR_BATCH_STUCK);
    EXPECT_STATUS(tp_batch_cancel(), TP_ERR_BATCH_STUCK);
    EXPECT_STATUS(tp_op_update(live_ops.plain, live_two), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_cpus_running(false), TP_ERR_BATCH_OPEN);
    EXPECT_STATUS(tp_batch_resume(), status);
}

static void fall_silent(enum tp_step step) {
    mute_after = step;
    live_step_hook = mute_at_step;
    uint64_t begin = read_nanoseconds();
    EXPECT_STATUS(tp_op_update(live_ops.companion, live_two), TP_ERR_CPU_SILENT);
    EXPECT(read_nanoseconds() - begin < 20 * call_timeout);
    EXPECT_EQUAL(tp_last_error()->value, SILENT_CPU);
    live_step_hook = NULL;
    expect_new_meaning();
    expect_stuck(TP_ERR_CPU_SILENT);
    expect_new_meaning();
    set_mute(SILENT_CPU, false);
    EXPECT_OK(tp_batch_resume());
    expect_new_meaning();
    EXPECT_STATUS(tp_batch_resume(), TP_ERR_NO_BATCH);
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_EQUAL(branch_target(SITE_OF(visit_companion, 0).address + 1), (uintptr_t)live_two);
    EXPECT_OK(tp_op_update(live_ops.companion, live_one));
}

static void fall_silent_at_each_sync(void) {
    uint64_t own_timeout = call_timeout;
    call_timeout = 250000000; /* longer than a busy host takes a virtual CPU away */
    fall_silent(TP_STEP_INT3);
    fall_silent(TP_STEP_TAIL);
    fall_silent(TP_STEP_FIRST);
    call_timeout = own_timeout;
}

static void names_a_silent_cpu(void) {
    run_live(&(struct live_setup){.options = by_trap}, fall_silent_at_each_sync);
}

/* Nothing is written before all have stopped: the old form stands, and means what it did. */
static void fall_silent_at_stop(void) {
    struct live_visit visit = {0};
    uint64_t own_timeout = call_timeout;
    call_timeout = 250000000; /* longer than a busy host takes a virtual CPU away */
    EXPECT_OK(tp_op_update(live_ops.mixed, live_several_one));
    set_mute(SILENT_CPU, true);
    EXPECT_STATUS(tp_op_update(live_ops.mixed, live_two), TP_ERR_CPU_SILENT);
    EXPECT_EQUAL(tp_last_error()->value, SILENT_CPU);
    EXPECT_EQUAL(visit_mixed_line(&visit), LIVE_SEVERAL_ONE);
    expect_stuck(TP_ERR_CPU_SILENT);
    set_mute(SILENT_CPU, false);
    EXPECT_OK(tp_batch_resume());
    EXPECT_EQUAL(visit_mixed_line(&visit), LIVE_TWO);
    EXPECT_OK(tp_op_update(live_ops.mixed, live_one));
    call_timeout = own_timeout;
}

static void names_a_silent_cpu_at_a_stop(void) {
    run_live_plainly(fall_silent_at_stop);
}

static void stay_inside(void) {
    struct live_visit visit = {0};
    EXPECT_OK(tp_op_update(live_ops.mixed, live_several_one));
    live_faults.never = true;
    EXPECT_STATUS(tp_op_update(live_ops.mixed, live_two), TP_ERR_CPU_BUSY);
    EXPECT_EQUAL(visit_mixed_line(&visit), LIVE_SEVERAL_ONE);
    expect_stuck(TP_ERR_CPU_BUSY);
    live_faults.never = false;
    EXPECT_OK(tp_batch_resume());
    EXPECT_EQUAL(visit_mixed_line(&visit), LIVE_TWO);
    EXPECT_OK(tp_op_update(live_ops.mixed, live_one));
}

static void gives_up_on_a_busy_cpu(void) {
    run_live_plainly(stay_inside);
}

KTAP_SUITE(live_errors, {"wrong contexts", refuses_contexts}, {"batches misused", refuses_misuse},
           {"a port without a hook", names_hooks}, {"#BP that leads elsewhere", misses_breakpoints},
           {"a site that can't be changed live", refuses_the_impossible},
           {"a CPU that is silent at a sync", names_a_silent_cpu},
           {"a CPU that is silent at a stop", names_a_silent_cpu_at_a_stop},
           {"a CPU that is inside at every try", gives_up_on_a_busy_cpu});
