/* SPDX-License-Identifier: MIT */
/*
 * live_storm: all CPUs execute what CPU 0 changes, thousands of times; live_load.h says how they are judged.
 *
 *   call <-> call, of op calls and static calls, in a quadword and across quadwords, lines and pages, as call, jmp, jcc
 *     and through trampolines: by classes as they come, by trap through each #BP entry, by the prefix, by stores alone
 *   nop <-> jmp, of 5 and 2 bytes: by classes as they come, and by trap
 *   call <-> inline <-> inline, of one instruction: by classes as they come, and by trap
 *   forms of several instructions: by rendezvous, with a companion in the same batch that NMIs execute meanwhile
 *   everything by rendezvous
 *   registers and stack around each interrupted site are whole, with rsp even and odd to 16 (bug 8)
 *   the other CPUs' next two executions of each site are waited for after every move (bug 20)
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"

struct live_ops live_ops = {live_one, live_one, live_one};
TP_OPS(live) {
    TP_OP(live_ops.plain);
    TP_OP(live_ops.mixed);
    TP_OP(live_ops.companion);
}
TP_DEFINE_STATIC_CALL(live_call, live_one);
TP_DEFINE_STATIC_KEY_FALSE(live_key);

typedef unsigned long target(void);

/* ---- Calls ---- */

#define EACH_CALL {LIVE_ONE, LIVE_TWO, LIVE_THREE}
static const struct live_place call_places[] = {
    {visit_op_store, EACH_CALL},   {visit_op_quadword, EACH_CALL}, {visit_op_line, EACH_CALL},
    {visit_op_page, EACH_CALL},    {visit_op_wide, EACH_CALL},     {visit_trampoline, EACH_CALL},
    {visit_call_store, EACH_CALL}, {visit_call_line, EACH_CALL},   {visit_tail, EACH_CALL},
    {visit_taken, EACH_CALL},      {visit_not_taken, {LIVE_FELL, LIVE_FELL, LIVE_FELL}},
};
enum { CALL_PLACES = sizeof call_places / sizeof *call_places };

static enum tp_status move_calls(unsigned state) {
    static target *const targets[] = {live_one, live_two, live_three};
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = tp_batch_set(&live_ops.plain, (uintptr_t)targets[state]);
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_live_call, (uintptr_t)targets[state]);
    return status == TP_OK ? tp_batch_commit() : status;
}

static void storm_calls_by(const char *name, const struct live_place *nmi_place, unsigned rounds) {
    run_storm(&(struct live_storm){.name = name,
                                   .places = call_places,
                                   .count = CALL_PLACES,
                                   .nmi_place = nmi_place,
                                   .states = 3,
                                   .rounds = rounds,
                                   .move = move_calls,
                                   .burst = 4});
}

/* What NMIs execute is of the class trap; the first place alone may be a store. */
static void storm_calls(void) {
    storm_calls_by("calls", &call_places[2], 500);
}

static const struct tp_live_options by_trap = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR};

static void calls_as_they_come(void) {
    run_live_plainly(storm_calls);
    EXPECT(live_counts.steps[TP_STEP_STORE] > 0);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
    EXPECT_EQUAL(live_counts.stops, 0);
}

/* All sites were set by trap: three syncs each time. */
static void expect_traps_alone(void) {
    EXPECT_EQUAL(live_counts.steps[TP_STEP_STORE], 0);
    EXPECT_EQUAL(live_counts.stops, 0);
    EXPECT_EQUAL(live_counts.syncs, 3 * live_counts.steps[TP_STEP_END]);
    EXPECT_EQUAL(live_counts.foreign, 0);
}

static void calls_by_trap(void) {
    run_live(&(struct live_setup){.options = by_trap}, storm_calls);
    expect_traps_alone();
}

static void calls_by_trap_on_own_stack(void) {
    if (world == WORLD_XEN_PV)
        SKIP("Xen PV has no IST");
    run_live(&(struct live_setup){.options = by_trap, .own_stack = true}, storm_calls);
    expect_traps_alone();
}

static void calls_by_copied_frame(void) {
    if (world == WORLD_XEN_PV)
        SKIP("the entry with the copied frame is a native one");
    run_live(&(struct live_setup){.options = by_trap, .entry = tp_breakpoint_entry_copied}, storm_calls);
    expect_traps_alone();
}

static void calls_by_copied_frame_on_own_stack(void) {
    if (world == WORLD_XEN_PV)
        SKIP("Xen PV has no IST");
    run_live(&(struct live_setup){.options = by_trap, .entry = tp_breakpoint_entry_copied, .own_stack = true},
             storm_calls);
    expect_traps_alone();
}

/* The stub of this kernel has no gap, but a stack of its own serves as well. */
static volatile uint64_t handled;

static bool handle_breakpoint(struct tp_regs *regs) {
    __atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
    return tp_handle_breakpoint((struct tp_regs *)(void *)regs) == TP_BREAKPOINT_RESUME;
}

extern const uint8_t native_stubs[];

static void calls_by_the_kernels_entry(void) {
    if (world == WORLD_XEN_PV)
        SKIP("Xen PV has no IST");
    exception_handler before = set_exception_handler(VECTOR_BREAKPOINT, handle_breakpoint);
    handled = 0;
    run_live(&(struct live_setup){.options = by_trap,
                                  .entry = (void (*)(void))(uintptr_t)(native_stubs + 16 * VECTOR_BREAKPOINT),
                                  .own_stack = true},
             storm_calls);
    set_exception_handler(VECTOR_BREAKPOINT, before);
    print_format("# %lu int3 bytes were hit\n", handled);
    EXPECT(handled > live_counts.steps[TP_STEP_INT3]);
    expect_traps_alone();
}

static void calls_without_middle_sync(void) {
    run_live(&(struct live_setup){.options = {.least_class = TP_CLASS_TRAP,
                                              .least_assurance = TP_ASSURANCE_VENDOR,
                                              .without_middle_sync = true}},
             storm_calls);
    EXPECT_EQUAL(live_counts.syncs, 2 * live_counts.steps[TP_STEP_END]);
}

/* ---- The other schemes ---- */

/*
 * 2e e8 behind an int3 is a call already: what it calls changes by one store. The other sites go by rendezvous, and
 * NMIs stay away from them.
 */
static void storm_calls_by_prefix(void) {
    storm_calls_by("calls by the prefix", &call_places[0], 500);
}

static void calls_by_prefix(void) {
    run_live(&(struct live_setup){.options = {.least_class = TP_CLASS_TRAP,
                                              .least_assurance = TP_ASSURANCE_PRACTICE,
                                              .call_scheme = TP_SCHEME_PREFIX}},
             storm_calls_by_prefix);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_STORE], 0);
}

static void calls_by_stores(void) {
    run_live(&(struct live_setup){.options = {.least_assurance = TP_ASSURANCE_PRACTICE,
                                              .call_scheme = TP_SCHEME_STORE}},
             storm_calls);
    EXPECT(live_counts.steps[TP_STEP_STORE] > 0);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_INT3], 0);
    EXPECT_EQUAL(live_counts.stops, 0);
    EXPECT_EQUAL(live_counts.syncs, live_counts.steps[TP_STEP_END]);
}

/* ---- Branches ---- */

#define EACH_BRANCH {LIVE_FELL, LIVE_JUMPED}
#define EACH_INVERSE {LIVE_JUMPED, LIVE_FELL}
static const struct live_place branch_places[] = {
    {visit_key_line, EACH_BRANCH},        {visit_key_store, EACH_BRANCH},    {visit_key_short, EACH_BRANCH},
    {visit_key_short_line, EACH_BRANCH},  {visit_key_inverse, EACH_INVERSE}, {visit_key_inverse_line, EACH_INVERSE},
};

static enum tp_status move_branches(unsigned state) {
    return state ? tp_static_key_enable(live_key) : tp_static_key_disable(live_key);
}

static void storm_branches(void) {
    run_storm(&(struct live_storm){.name = "branches",
                                   .places = branch_places,
                                   .count = sizeof branch_places / sizeof *branch_places,
                                   .states = 2,
                                   .rounds = 500,
                                   .move = move_branches,
                                   .stores_alone = true,
                                   .burst = 10});
}

static void branches_as_they_come(void) {
    run_live_plainly(storm_branches);
    EXPECT(live_counts.steps[TP_STEP_STORE] > 0);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
}

static void branches_by_trap(void) {
    run_live(&(struct live_setup){.options = by_trap}, storm_branches);
    expect_traps_alone();
}

/* ---- Inline forms ---- */

static enum tp_status move_mixed(target *mixed, target *companion) {
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = tp_batch_set(&live_ops.mixed, (uintptr_t)mixed);
    if (status == TP_OK)
        status = tp_batch_set(&live_ops.companion, (uintptr_t)companion);
    return status == TP_OK ? tp_batch_commit() : status;
}

static enum tp_status move_inlines(unsigned state) {
    static target *const targets[] = {live_one, live_inline_one, live_inline_two, live_two, live_inline_two};
    return move_mixed(targets[state], state % 2 ? live_three : live_one);
}

#define EACH_INLINE {LIVE_ONE, LIVE_INLINE_ONE, LIVE_INLINE_TWO, LIVE_TWO, LIVE_INLINE_TWO}
static const struct live_place inline_places[] = {
    {visit_mixed_line, EACH_INLINE},
    {visit_mixed_store, EACH_INLINE},
    {visit_companion, {LIVE_ONE, LIVE_THREE, LIVE_ONE, LIVE_THREE, LIVE_ONE}},
};

static void storm_inlines(void) {
    run_storm(&(struct live_storm){.name = "inline forms",
                                   .places = inline_places,
                                   .count = 3,
                                   .states = 5,
                                   .rounds = 500,
                                   .move = move_inlines,
                                   .stores_alone = true,
                                   .burst = 10});
}

static void inlines_as_they_come(void) {
    run_live_plainly(storm_inlines);
    EXPECT(live_counts.steps[TP_STEP_STORE] > 0);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
}

static void inlines_by_trap(void) {
    run_live(&(struct live_setup){.options = by_trap}, storm_inlines);
    expect_traps_alone();
}

/* ---- Several instructions ---- */

static enum tp_status move_several(unsigned state) {
    static target *const targets[] = {live_one,         live_several_one, live_several_two,
                                      live_inline_one,  live_stack,       live_several_one};
    return move_mixed(targets[state], state % 2 ? live_three : live_one);
}

#define EACH_SEVERAL {LIVE_ONE, LIVE_SEVERAL_ONE, LIVE_SEVERAL_TWO, LIVE_INLINE_ONE, LIVE_STACK, LIVE_SEVERAL_ONE}
static const struct live_place several_places[] = {
    {visit_mixed_line, EACH_SEVERAL},
    {visit_mixed_store, EACH_SEVERAL},
    {visit_companion, {LIVE_ONE, LIVE_THREE, LIVE_ONE, LIVE_THREE, LIVE_ONE, LIVE_THREE}},
};

static void storm_several(void) {
    run_storm(&(struct live_storm){.name = "several instructions",
                                   .places = several_places,
                                   .count = 3,
                                   .nmi_place = &several_places[2],
                                   .states = 6,
                                   .rounds = 500,
                                   .move = move_several,
                                   .stores_alone = true,
                                   .burst = 10});
}

static void several_by_rendezvous(void) {
    run_live(&(struct live_setup){.options = by_trap}, storm_several);
    print_format("# %u stops, %u more found a CPU inside\n", live_counts.stops, live_counts.busy);
    EXPECT(live_counts.steps[TP_STEP_STOPPED] > 0);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
}

static void storm_calls_stopped(void) {
    static const struct live_place companion = {visit_companion, {LIVE_ONE, LIVE_ONE, LIVE_ONE}};
    storm_calls_by("calls by rendezvous", &companion, 500);
}

static void calls_by_rendezvous(void) {
    run_live(&(struct live_setup){.options = {.least_class = TP_CLASS_RENDEZVOUS,
                                              .least_assurance = TP_ASSURANCE_VENDOR}},
             storm_calls_stopped);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_INT3] + live_counts.steps[TP_STEP_STORE], 0);
    EXPECT_EQUAL(live_counts.syncs, 0);
    EXPECT_EQUAL(live_counts.stops, live_counts.steps[TP_STEP_END]);
}

KTAP_SUITE(live_storm, {"calls, by classes as they come", calls_as_they_come},
           {"calls by trap", calls_by_trap},
           {"calls by trap, with IST", calls_by_trap_on_own_stack},
           {"calls by a copied frame", calls_by_copied_frame},
           {"calls by a copied frame, with IST", calls_by_copied_frame_on_own_stack},
           {"calls by the kernel's own #BP entry", calls_by_the_kernels_entry},
           {"calls by trap without the middle sync", calls_without_middle_sync},
           {"calls by the prefix", calls_by_prefix},
           {"calls by stores", calls_by_stores},
           {"branches, by classes as they come", branches_as_they_come},
           {"branches by trap", branches_by_trap},
           {"call <-> inline, by classes as they come", inlines_as_they_come},
           {"call <-> inline by trap", inlines_by_trap},
           {"several instructions by rendezvous", several_by_rendezvous},
           {"calls by rendezvous", calls_by_rendezvous});
