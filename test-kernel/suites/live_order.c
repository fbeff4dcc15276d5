/* SPDX-License-Identifier: MIT */
/*
 * live_order: the steps of one update, its bytes, and who waits for them.
 *
 *   the steps and bytes of each class: trap, store, rendezvous; what takes no step at all
 *   one set of syncs whatever the number of sites, static calls, ops, branches and alternatives together
 *   counted keys: the first on and the last off change text, nothing else does; never below 0
 *   a second enabler on another CPU returns when the text is live (bug 20)
 *   tp_preempt_ok: not behind a site's first byte, and everywhere else
 */
#include <textpatch/textpatch.h>

#include "alternatives.h"
#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "smp.h"
#include "support.h"

/* ---- Steps and bytes ---- */

enum { STEPS_KEPT = 64 };
static struct {
    unsigned count;
    struct tp_trace of[STEPS_KEPT];
    uint8_t bytes[STEPS_KEPT][16];
} kept;

static void keep_step(const struct tp_trace *trace) {
    if (kept.count == STEPS_KEPT)
        return;
    kept.of[kept.count] = *trace;
    for (unsigned i = 0; i < trace->length && i < 16; i++)
        kept.bytes[kept.count][i] = trace->bytes[i];
    kept.count++;
}

static void keep_steps(void) {
    kept.count = 0;
    live_step_hook = keep_step;
}

static void expect_steps(const uint8_t *steps, unsigned count) {
    EXPECT_EQUAL(kept.count, count);
    for (unsigned i = 0; i < count && i < kept.count; i++)
        if (!EXPECT_EQUAL(kept.of[i].step, steps[i]))
            print_format("# step %u: %s\n", i, tp_step_text(kept.of[i].step));
}
#define EXPECT_STEPS(...) expect_steps((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void expect_written(unsigned number, unsigned class_chosen, uintptr_t site, unsigned offset, unsigned length) {
    EXPECT_EQUAL(kept.of[number].class_chosen, class_chosen);
    EXPECT_EQUAL(kept.of[number].site, site);
    EXPECT_EQUAL(kept.of[number].address, site + offset);
    EXPECT_EQUAL(kept.of[number].length, length);
}

/* companion's only site crosses a quadword. */
static void step_through_trap(void) {
    uintptr_t site = SITE_OF(visit_companion, 0).address;
    keep_steps();
    EXPECT_OK(tp_op_update(live_ops.companion, live_two));
    EXPECT_STEPS(TP_STEP_BEGIN, TP_STEP_SET, TP_STEP_INT3, TP_STEP_SYNC_INT3, TP_STEP_TAIL, TP_STEP_SYNC_TAIL,
                 TP_STEP_FIRST, TP_STEP_SYNC_LAST, TP_STEP_END);
    expect_written(2, TP_CLASS_TRAP, site, 0, 1);
    expect_written(4, TP_CLASS_TRAP, site, 1, 5);
    expect_written(6, TP_CLASS_TRAP, site, 0, 1);
    EXPECT_EQUAL(kept.bytes[2][0], 0xcc);
    EXPECT_EQUAL(kept.bytes[4][0], 0xe8);
    EXPECT_EQUAL(kept.bytes[6][0], 0x2e);
    EXPECT_EQUAL(branch_target(site + 1), (uintptr_t)live_two);
    EXPECT_EQUAL(live_counts.syncs, 3);
    EXPECT_OK(tp_op_update(live_ops.companion, live_one));
}

/* live_key's sites in quadwords go by stores, those across them by trap. */
static void step_through_store(void) {
    unsigned stores = 0;
    keep_steps();
    EXPECT_OK(tp_static_key_enable(live_key));
    for (unsigned i = 0; i < kept.count; i++) {
        if (kept.of[i].step != TP_STEP_STORE)
            continue;
        stores++;
        EXPECT(kept.of[i].site % 8 + kept.of[i].length <= 8);
        expect_written(i, TP_CLASS_STORE, kept.of[i].site, 0, kept.of[i].length);
    }
    EXPECT_EQUAL(stores, 3);
    EXPECT_OK(tp_static_key_disable(live_key));
}

static void step_through_rendezvous(void) {
    EXPECT_OK(tp_op_update(live_ops.mixed, live_stack));
    keep_steps();
    EXPECT_OK(tp_op_update(live_ops.mixed, live_one));
    EXPECT_STEPS(TP_STEP_BEGIN, TP_STEP_SET, TP_STEP_STOPPED, TP_STEP_STOPPED, TP_STEP_END);
    for (unsigned i = 2; i <= 3; i++) {
        expect_written(i, TP_CLASS_RENDEZVOUS, kept.of[i].site, 0, 6);
        EXPECT_EQUAL(kept.bytes[i][0], 0x2e);
        EXPECT_EQUAL(kept.bytes[i][1], 0xe8);
    }
    EXPECT_EQUAL(live_counts.stops, 1);
}

static void step_without_change(void) {
    keep_steps();
    EXPECT_OK(tp_op_update(live_ops.companion, live_one));
    EXPECT_OK(tp_apply());
    EXPECT_EQUAL(live_counts.syncs + live_counts.stops, 0);
}

static void takes_its_steps(void) {
    run_live_plainly(step_through_trap);
    run_live_plainly(step_through_store);
    run_live_plainly(step_through_rendezvous);
    run_live_plainly(step_without_change);
}

/* ---- One set of syncs ---- */

static enum tp_status note_everything(bool on) {
    enum tp_status status = tp_batch_set(&live_ops.plain, (uintptr_t)(on ? live_two : live_one));
    if (status == TP_OK)
        status = tp_batch_set(&live_ops.companion, (uintptr_t)(on ? live_inline_one : live_one));
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_live_call, (uintptr_t)(on ? live_three : live_one));
    if (status == TP_OK)
        status = tp_batch_add(&live_key, on ? 1 : -1);
    if (status == TP_OK)
        status = on ? tp_feature_set(CHOICE_A) : tp_feature_clear(CHOICE_A);
    return status == TP_OK ? tp_batch_take_features() : status;
}

static void change_everything(bool on) {
    REQUIRE_OK(tp_batch_begin());
    EXPECT_OK(note_everything(on));
    EXPECT_OK(tp_batch_commit());
}

static void expect_everything(bool on) {
    struct live_visit visit = {0};
    EXPECT_EQUAL(visit_op_page(&visit), on ? LIVE_TWO : LIVE_ONE);
    EXPECT_EQUAL(visit_companion(&visit), on ? LIVE_INLINE_ONE : LIVE_ONE);
    EXPECT_EQUAL(visit_trampoline(&visit), on ? LIVE_THREE : LIVE_ONE);
    EXPECT_EQUAL(visit_call_line(&visit), on ? LIVE_THREE : LIVE_ONE);
    EXPECT_EQUAL(visit_key_line(&visit), on ? LIVE_JUMPED : LIVE_FELL);
    EXPECT_EQUAL(nasm_two(), on ? 2 : 1);
    EXPECT_EQUAL(gas_two(), on ? 2 : 1);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

static void batch_everything(void) {
    for (unsigned round = 1; round <= 3; round++) {
        change_everything(true);
        expect_everything(true);
        EXPECT_EQUAL(live_counts.syncs, 6 * round - 3);
        change_everything(false);
        expect_everything(false);
        EXPECT_EQUAL(live_counts.syncs, 6 * round);
        EXPECT_EQUAL(live_counts.steps[TP_STEP_END], 2 * round);
    }
    EXPECT(live_counts.steps[TP_STEP_INT3] > 6 * 8);
    EXPECT(live_counts.steps[TP_STEP_STOPPED] > 0);
    EXPECT(live_counts.stops <= 6);
}

static void syncs_once(void) {
    run_live_plainly(batch_everything);
}

/* ---- Counts ---- */

static void expect_count(enum tp_status status, uint64_t count, unsigned batches) {
    struct live_visit visit = {0};
    EXPECT_OK(status);
    EXPECT_EQUAL(tp_static_key_count(live_key), count);
    EXPECT_EQUAL(visit_key_line(&visit), count ? LIVE_JUMPED : LIVE_FELL);
    EXPECT_EQUAL(live_counts.syncs, 3 * batches);
}

static void count_up_and_down(void) {
    expect_count(tp_static_key_increment(live_key), 1, 1);
    expect_count(tp_static_key_increment(live_key), 2, 1);
    expect_count(tp_static_key_increment(live_key), 3, 1);
    expect_count(tp_static_key_decrement(live_key), 2, 1);
    expect_count(tp_static_key_decrement(live_key), 1, 1);
    expect_count(tp_static_key_decrement(live_key), 0, 2);
    EXPECT_STATUS(tp_static_key_decrement(live_key), TP_ERR_BAD_ARGUMENT);
    expect_count(TP_OK, 0, 2);
}

static void counts(void) {
    run_live_plainly(count_up_and_down);
}

/* ---- A second caller ---- */

static struct {
    volatile bool begun, may_end, ended;
    enum tp_status status;
} first;

static void enable_slowly(void *unused) {
    (void)unused;
    first.status = tp_batch_begin();
    if (first.status == TP_OK)
        first.status = tp_batch_add(&live_key, 1);
    first.begun = true;
    uint64_t end = read_nanoseconds() + 30000000;
    while (read_nanoseconds() < end)
        __asm__ volatile("pause");
    if (first.status == TP_OK)
        first.status = tp_batch_commit();
    first.ended = true;
}

static void enable_twice(void) {
    struct live_visit visit = {0};
    first.begun = first.ended = false;
    run_on(1, enable_slowly, NULL);
    while (!first.begun)
        __asm__ volatile("pause");
    EXPECT(!first.ended);
    EXPECT_EQUAL(visit_key_line(&visit), LIVE_FELL);
    EXPECT_OK(tp_static_key_increment(live_key));
    EXPECT_EQUAL(visit_key_line(&visit), LIVE_JUMPED);
    EXPECT_EQUAL(tp_static_key_count(live_key), 2);
    EXPECT_EQUAL(live_counts.syncs, 3); /* the first one's: there was nothing left to change */
    wait_for(1);
    EXPECT_OK(first.status);
    EXPECT_OK(tp_static_key_disable(live_key));
}

static void waits_for_the_first(void) {
    run_live_plainly(enable_twice);
}

/* ---- Where a context may be set aside ---- */

static void expect_preempt_ok(uintptr_t site, unsigned length) {
    EXPECT(tp_preempt_ok(site - 1));
    EXPECT(tp_preempt_ok(site));
    for (unsigned i = 1; i < length; i++)
        EXPECT(!tp_preempt_ok(site + i));
    EXPECT(tp_preempt_ok(site + length));
}

static void ask_everywhere(void) {
    expect_preempt_ok(SITE_OF(visit_mixed_line, 0).address, 6);
    expect_preempt_ok(SITE_OF(visit_op_page, 0).address, 6);
    expect_preempt_ok(SITE_OF(visit_op_wide, 0).address, 14);
    expect_preempt_ok(SITE_OF(visit_key_short, 0).address, 2);
    EXPECT(tp_preempt_ok(0));
    EXPECT(tp_preempt_ok((uintptr_t)&kept));
    EXPECT(tp_preempt_ok((uintptr_t)text_start));
    EXPECT(tp_preempt_ok((uintptr_t)text_end));
}

static void knows_where(void) {
    run_live_plainly(ask_everywhere);
}

KTAP_SUITE(live_order, {"the steps of each class", takes_its_steps}, {"one set of syncs", syncs_once},
           {"counted keys", counts}, {"a second enabler waits", waits_for_the_first},
           {"where a context may be set aside", knows_where});
