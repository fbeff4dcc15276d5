/* SPDX-License-Identifier: MIT */
/*
 * live_switch: the whole kernel moves between two op tables in one batch, while all CPUs use them.
 *
 *   own <-> traced (natively native ops, under Xen PV those of a guest): classes of all kinds in each batch
 *   the same with a live revert of all images and a live apply in between
 *   traced ops count while they are in use, and only then
 *   one set of three syncs and one stop for each switch
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

enum { OPS = sizeof(struct tp_ops) / sizeof(uintptr_t) };
_Static_assert(OPS == 19, "live_switch.asm");

extern const uintptr_t live_traced_ops[OPS];
extern volatile uint64_t live_traced_calls;
extern struct tp_ops live_own_ops;
struct tp_ops live_own_ops; /* what traced ops go on to */

static enum tp_status note_table(const uintptr_t *functions) {
    enum tp_status status = TP_OK;
    for (unsigned i = 0; i < OPS && status == TP_OK; i++)
        status = tp_batch_set((uintptr_t *)&pv_ops + i, functions[i]);
    return status;
}

static enum tp_status switch_to(const void *functions) {
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = note_table(functions);
    return status == TP_OK ? tp_batch_commit() : status;
}

static enum tp_status move_table(unsigned state) {
    return switch_to(state ? (const void *)live_traced_ops : (const void *)&live_own_ops);
}

/* Traced, then the same by pristine text, then own ops by a live apply. */
static enum tp_status move_and_revert(unsigned state) {
    if (state == 1)
        return switch_to(live_traced_ops);
    if (state == 2)
        return tp_revert();
    enum tp_status status = switch_to(&live_own_ops);
    return status == TP_OK ? tp_apply() : status;
}

/* No branch before the last site: a compiler would make copies of what follows. */
ONE_COPY static bool masks_and_unmasks(void) {
    unsigned long before = save_fl();
    irq_disable();
    unsigned long inside = save_fl();
    bool masked = interrupts_are_masked();
    restore_fl(before);
    unsigned long after = save_fl();
    bool masked_after = interrupts_are_masked();
    return masked && !(inside & FLAGS_IF) && masked_after == !(before & FLAGS_IF) && !((before ^ after) & FLAGS_IF);
}

/* Where it was off before, it must not be turned on. */
ONE_COPY static bool enables(void) {
    if (interrupts_are_masked())
        return true;
    irq_disable();
    irq_enable();
    return !interrupts_are_masked();
}

ONE_COPY static bool releases(void) {
    uint8_t lock = 1;
    lock_release(&lock);
    return lock == 0;
}

ONE_COPY static uint64_t visit_ops(struct live_visit *visit) {
    (void)visit;
    unsigned long made = make_pte(0x1234), value = pte_val(0x4321);
    return made == 0x1234 && value == 0x4321 && masks_and_unmasks() && enables() && releases();
}

static const struct live_place places[] = {{visit_ops, {1, 1, 1}}};
static const struct live_place companion = {visit_companion, {LIVE_ONE, LIVE_ONE, LIVE_ONE}};

static void storm_switches(void) {
    run_storm(&(struct live_storm){.name = "switches",
                                   .places = places,
                                   .count = 1,
                                   .nmi_place = &companion,
                                   .states = 2,
                                   .rounds = 100,
                                   .move = move_table,
                                   .stores_alone = true,
                                   .burst = 20});
    print_format("# %u stops, %u more found a CPU inside; sites a switch: %u by trap, %u by store, %u stopped\n",
                 live_counts.stops, live_counts.busy, live_counts.steps[TP_STEP_INT3] / live_counts.steps[TP_STEP_END],
                 live_counts.steps[TP_STEP_STORE] / live_counts.steps[TP_STEP_END],
                 live_counts.steps[TP_STEP_STOPPED] / live_counts.steps[TP_STEP_END]);
    EXPECT_EQUAL(live_counts.syncs, 3 * live_counts.steps[TP_STEP_END]);
    EXPECT(live_counts.stops <= live_counts.steps[TP_STEP_END]);
    EXPECT(live_counts.steps[TP_STEP_STOPPED] > 0 && live_counts.steps[TP_STEP_STORE] > 0);
}

static void expect_tracing(bool traced) {
    struct live_visit visit = {0};
    uint64_t before = live_traced_calls;
    EXPECT_EQUAL(visit_ops(&visit), 1);
    EXPECT_EQUAL(live_traced_calls > before, traced);
}

static void switch_and_count(void) {
    expect_tracing(false);
    EXPECT_OK(move_table(1));
    expect_tracing(true);
    EXPECT_OK(tp_revert());
    expect_tracing(true);
    EXPECT_OK(tp_apply());
    expect_tracing(true);
    EXPECT_OK(move_table(0));
    expect_tracing(false);
}

static void storm_reverts(void) {
    run_storm(&(struct live_storm){.name = "reverts",
                                   .places = places,
                                   .count = 1,
                                   .nmi_place = &companion,
                                   .states = 3,
                                   .rounds = 60,
                                   .move = move_and_revert,
                                   .stores_alone = true,
                                   .burst = 20});
}

static void with_own_ops(void (*test)(void)) {
    live_own_ops = pv_ops;
    run_live_plainly(test);
}

static void switches(void) { with_own_ops(storm_switches); }
static void reverts(void) { with_own_ops(storm_reverts); }
static void counts(void) { with_own_ops(switch_and_count); }

KTAP_SUITE(live_switch, {"traced ops count", counts}, {"the whole table, under load", switches},
           {"live revert and apply, under load", reverts});
