/* SPDX-License-Identifier: MIT */
/*
 * live_inline_calls: the sites of the suite inline_calls, changed while they run.
 *
 *   between the steps of a change CPU 0 finds what the cell means
 *   all CPUs call while targets move among function, none, RET0 and inlined: as classes come, and by trap
 *   negative control: judged by another target's values, the same visits are wrong
 * In a kernel that was linked without the tool all is skipped; by `quick` the load is.
 */
#include "ktap.h"
#include "live_load.h"
#include "plain_calls.h"
#include "platform.h"
#include "support.h"

/* ---- Targets and visits ---- */

enum { STATES = 4 };
static long (*const values[STATES])(long) = {value_plus_one, value_times_ten, value_plus_five, (void *)tp_return0};
static void (*const notes[STATES])(long *, long) = {note_more, NULL, note_less, note_alone};

static enum tp_status move_both(unsigned state) {
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_inline_value, (uintptr_t)values[state]);
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_inline_note, (uintptr_t)notes[state]);
    return status == TP_OK ? tp_batch_commit() : status;
}

/* A call must leave alone what its caller keeps. */
enum { KEPT = 4, KEPT_VALUE = 0x5ca1ab0 };

static void keep(volatile uint64_t kept[KEPT], const struct live_visit *visit) {
    for (unsigned i = 0; i < KEPT; i++)
        kept[i] = KEPT_VALUE + i + visit->skew;
}

static void look_at_kept(const volatile uint64_t kept[KEPT], struct live_visit *visit) {
    bool whole = true;
    for (unsigned i = 0; i < KEPT; i++)
        whole &= kept[i] == KEPT_VALUE + i + visit->skew;
    visit->damage += !whole;
}

#define VISIT_VALUE(name, call)                                                                              \
    static uint64_t name(struct live_visit *visit) {                                                         \
        volatile uint64_t kept[KEPT];                                                                        \
        keep(kept, visit);                                                                                   \
        long value = (call);                                                                                 \
        look_at_kept(kept, visit);                                                                           \
        return (uint64_t)value;                                                                              \
    }
#define VISIT_NOTE(name, call)                                                                               \
    static uint64_t name(struct live_visit *visit) {                                                         \
        volatile uint64_t kept[KEPT];                                                                        \
        long note = 50;                                                                                      \
        keep(kept, visit);                                                                                   \
        call;                                                                                                \
        look_at_kept(kept, visit);                                                                           \
        return (uint64_t)note;                                                                               \
    }

VISIT_VALUE(visit_in_middle, value_in_middle(5) - BEHIND)
VISIT_VALUE(visit_last, value_last(6))
VISIT_VALUE(visit_jumped, value_jumped(4))
VISIT_VALUE(visit_if_zero, value_if_zero(5, 0))
VISIT_VALUE(visit_unless, value_if_zero(5, 1))
VISIT_VALUE(visit_note_in_middle, note_in_middle(50, 3) - BEHIND)
VISIT_NOTE(visit_note_last, note_last(&note, 3))
VISIT_NOTE(visit_note_if, note_if_not_zero(&note, 3, 1))

#define EACH_VALUE {6, 50, 10, 0}
#define EACH_NOTE {53, 50, 47, 3}
static const struct live_place places[] = {
    {visit_in_middle, EACH_VALUE},      {visit_last, EACH_VALUE},     {visit_jumped, EACH_VALUE},
    {visit_if_zero, EACH_VALUE},        {visit_unless, {-1, -1, -1, -1}},
    {visit_note_in_middle, EACH_NOTE},  {visit_note_last, EACH_NOTE}, {visit_note_if, EACH_NOTE},
};
enum { PLACES = sizeof places / sizeof *places };

static const struct live_setup by_trap = {.options = {.least_class = TP_CLASS_TRAP,
                                                      .least_assurance = TP_ASSURANCE_VENDOR}};

/* ---- Between the steps ---- */

static unsigned state_before, state_after, looks;

static void look_between(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_INT3)
        return;
    unsigned state = trace->step > TP_STEP_INT3 ? state_after : state_before;
    for (unsigned i = 0; i < PLACES; i++) {
        struct live_visit visit = {0};
        EXPECT_EQUAL(places[i].visit(&visit), places[i].values[state]);
        EXPECT_EQUAL(visit.damage, 0);
        looks++;
    }
}

static void step_and_look(void) {
    REQUIRE_OK(move_both(0));
    looks = 0;
    live_step_hook = look_between;
    for (unsigned move = 1; move <= STATES; move++) {
        state_before = move - 1;
        state_after = move % STATES;
        EXPECT_OK(move_both(state_after));
    }
    live_step_hook = NULL;
    EXPECT(looks > STATES * PLACES * PLAIN_CALLS);
    EXPECT_EQUAL(live_counts.foreign, 0);
}

static bool found_in_this_kernel(void) {
    bool found = start_library(&alias_port) && calls_are_found();
    EXPECT_OK(tp_finish());
    return found;
}

static void reset_cells(void) {
    tp_static_call_inline_value.target = (void (*)(void))value_plus_one;
    tp_static_call_inline_note.target = tp_nop_function;
}

static void mean_their_cells(void) {
    REQUIRE_FOUND(found_in_this_kernel());
    run_live(&by_trap, step_and_look);
    reset_cells();
}

/* ---- Storms ---- */

#define SKIP_IF_QUICK()                                                                                      \
    do {                                                                                                     \
        if (command_line_has("quick"))                                                                       \
            SKIP("takes long");                                                                              \
    } while (0)

static const struct live_storm calls = {.name = "plain calls",
                                        .places = places,
                                        .count = PLACES,
                                        .states = STATES,
                                        .rounds = 200,
                                        .move = move_both,
                                        .stores_alone = true,
                                        .burst = 6};

static void storm_calls(void) { run_storm(&calls); }

static void move_live(void) {
    SKIP_IF_QUICK();
    REQUIRE_FOUND(found_in_this_kernel());
    run_live_plainly(storm_calls);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
    EXPECT_EQUAL(live_counts.stops, 0);
    EXPECT_EQUAL(live_counts.foreign, 0);
    reset_cells();
}

static void move_by_trap(void) {
    SKIP_IF_QUICK();
    REQUIRE_FOUND(found_in_this_kernel());
    run_live(&by_trap, storm_calls);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_STORE], 0);
    EXPECT_EQUAL(live_counts.stops, 0);
    EXPECT_EQUAL(live_counts.syncs, 3 * live_counts.steps[TP_STEP_END]);
    reset_cells();
}

/* What a call of the inlined function's neighbour would return. */
static void storm_misjudged(void) {
    static const struct live_place misjudged[] = {{visit_in_middle, {6, 50, 11, 0}}, {visit_note_if, {53, 50, 47, 4}}};
    struct live_storm storm_of = calls;
    storm_of.name = "plain calls, misjudged";
    storm_of.places = misjudged;
    storm_of.count = 2;
    storm_of.rounds = 30;
    struct live_result result = storm(&storm_of);
    EXPECT(result.wrong > 0);
    EXPECT(result.wrong < result.visits + result.nmi_visits + result.timer_visits + result.step_visits);
    EXPECT_EQUAL(result.damaged, 0);
}

static void counts_wrong_values(void) {
    SKIP_IF_QUICK();
    REQUIRE_FOUND(found_in_this_kernel());
    run_live_plainly(storm_misjudged);
    reset_cells();
}

KTAP_SUITE(live_inline_calls, {"between the steps a site means its cell", mean_their_cells},
           {"all CPUs call while targets move", move_live}, {"the same by trap", move_by_trap},
           {"negative control: by another target's values", counts_wrong_values});
