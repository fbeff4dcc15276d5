/* SPDX-License-Identifier: MIT */
/*
 * live_controls: what the storms would say if the protocol were wrong. Each of its parts is taken out, and is missed.
 *
 *   without the int3, CPUs execute the old first byte with the new tail (bug 21's like; a plain memcpy does the same)
 *   without the first, the middle, the last sync, the steps are out of order, each by its own words (bug 21)
 *   where stop_cpus doesn't ask who stands inside a site, values are half of the one and half of the other (bug 10, 31)
 *   a callee that writes above its frame is noticed by the visits
 *   a CPU that executes what another state means is noticed by a storm
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "support.h"

typedef unsigned long target(void);

/* ---- No int3 ---- */

/*
 *   b8 f3 03 00 00   mov eax, 1011
 *   b8 xx xx xx xx   mov eax, rel32     where there should be an int3 in front
 *   e8 xx xx xx xx   call live_one
 * The other way round would be a call of nowhere, so that the int3 is left alone.
 */
static bool drops_int3;

static enum tp_status move_inline_call(unsigned state) {
    enum { MOV_EAX = 0xb8 };
    live_faults.int3_byte = MOV_EAX;
    live_faults.int3_site = drops_int3 && state == 1 ? SITE_OF(visit_call_line, 0).address : 0;
    return tp_static_call_update(live_call, state == 1 ? live_one : live_inline_one);
}

static struct live_result storm_inline_call(const char *name) {
    static const struct live_place places[] = {{visit_call_line, {LIVE_INLINE_ONE, LIVE_ONE}}};
    struct live_result result = storm(&(struct live_storm){.name = name,
                                                           .places = places,
                                                           .count = 1,
                                                           .states = 2,
                                                           .rounds = 60,
                                                           .move = move_inline_call,
                                                           .without_own_visits = true});
    EXPECT_OK(tp_static_call_update(live_call, live_one));
    return result;
}

static void storm_without_int3(void) {
    drops_int3 = false;
    EXPECT_EQUAL(storm_inline_call("with int3").wrong, 0);
    drops_int3 = true;
    EXPECT(storm_inline_call("without int3").wrong > 0);
}

static void misses_int3(void) {
    run_live_plainly(storm_without_int3);
}

/* ---- No sync ---- */

/* Under no load: text would be stale for good where an emulator is not helped (live_port.h). */
static void drop_sync(unsigned number, const char *fault) {
    live_faults.dropped_syncs = 1u << number;
    EXPECT_OK(tp_static_call_update(live_call, live_two));
    EXPECT(live_order_faults > 0);
    EXPECT_TEXT(live_order_fault(), fault);
    live_faults.dropped_syncs = 0;
    forget_live_order_faults();
    EXPECT_OK(tp_static_call_update(live_call, live_one));
    EXPECT_EQUAL(live_order_faults, 0);
}

static void drop_each_sync(void) {
    drop_sync(0, "a tail without a sync since the int3");
    drop_sync(1, "a first byte without a sync since the tail");
    drop_sync(2, "an end without a sync since the last byte");
}

static void misses_each_sync(void) {
    run_live(&(struct live_setup){.options = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR}},
             drop_each_sync);
}

/* ---- No look at who stands inside ---- */

static enum tp_status move_several(unsigned state) {
    return tp_op_update(live_ops.mixed, state ? live_several_two : live_several_one);
}

static struct live_result storm_several(const char *name) {
    static const struct live_place places[] = {{visit_mixed_line, {LIVE_SEVERAL_ONE, LIVE_SEVERAL_TWO}},
                                               {visit_mixed_store, {LIVE_SEVERAL_ONE, LIVE_SEVERAL_TWO}}};
    static const struct live_place companion = {visit_companion, {LIVE_ONE, LIVE_ONE}};
    struct live_result result = storm(&(struct live_storm){.name = name,
                                                           .places = places,
                                                           .count = 2,
                                                           .nmi_place = &companion,
                                                           .states = 2,
                                                           .rounds = 200,
                                                           .move = move_several});
    EXPECT_OK(tp_op_update(live_ops.mixed, live_one));
    return result;
}

/* A CPU is found inside by chance, which a storm cut short may not give. */
enum { STORMS_MAX = 10 };

static void storm_with_question(void) {
    for (unsigned storms = 0; storms < STORMS_MAX && !live_counts.busy; storms++)
        EXPECT_EQUAL(storm_several("asked who stands inside").wrong, 0);
    EXPECT(live_counts.busy > 0);
}

static void storm_without_question(void) {
    uint64_t wrong = 0;
    storm_with_question();
    live_faults.everywhere = true;
    for (unsigned storms = 0; storms < STORMS_MAX && !wrong; storms++)
        wrong = storm_several("not asked").wrong;
    EXPECT(wrong > 0);
    live_faults.everywhere = false;
}

static void misses_the_question(void) {
    if (command_line_has("lockstep"))
        SKIP("CPUs take turns so evenly here that no stop finds one inside a site");
    run_live_plainly(storm_without_question);
}

/* ---- Visits and storms themselves ---- */

static void visit_damaged(void) {
    for (unsigned skew = 0; skew <= 8; skew += 8) {
        struct live_visit visit = {.skew = skew};
        EXPECT_EQUAL(visit_op_line(&visit), LIVE_ONE);
        EXPECT_EQUAL(visit.damage, 0);
        EXPECT_OK(tp_op_update(live_ops.plain, live_damage_stack));
        EXPECT_EQUAL(visit_op_line(&visit), LIVE_TWO);
        EXPECT_EQUAL(visit.damage, 1);
        EXPECT_OK(tp_op_update(live_ops.plain, live_damage_register));
        EXPECT_EQUAL(visit_op_line(&visit), LIVE_TWO);
        EXPECT_EQUAL(visit.damage, 2);
        EXPECT_OK(tp_op_update(live_ops.plain, live_one));
    }
}

static void notices_damage(void) {
    run_live_plainly(visit_damaged);
}

static enum tp_status move_nothing(unsigned state) {
    (void)state;
    return TP_OK;
}

static void storm_of_nothing(void) {
    static const struct live_place places[] = {{visit_op_line, {LIVE_ONE, LIVE_TWO}}};
    struct live_result result = storm(&(struct live_storm){.name = "a state that nothing follows",
                                                           .places = places,
                                                           .count = 1,
                                                           .states = 2,
                                                           .rounds = 30,
                                                           .move = move_nothing});
    EXPECT(result.wrong >= result.rounds);
}

static void notices_a_wrong_state(void) {
    run_live_plainly(storm_of_nothing);
}

KTAP_SUITE(live_controls, {"without the int3", misses_int3}, {"without each sync", misses_each_sync},
           {"without asking who stands inside", misses_the_question}, {"damage is noticed", notices_damage},
           {"a wrong state is noticed", notices_a_wrong_state});
