/* SPDX-License-Identifier: MIT */
/*
 * live_modules: a module of plain C (the suite modules) while all CPUs run.
 *
 *   it comes and goes, here and there, while all CPUs call it, and targets move, to its own functions too: by classes as
 *     they come, and by trap
 *   between the steps of a change its calls mean their cells: the int3s in it are the library's
 *   negative control: judged by another target's values, visits are wrong
 */
#include <textpatch/textpatch.h>

#include "live_load.h"
#include "loaded_module.h"
#include "smp.h"
#include "support.h"

/* What the module has, too. */
static long kernel_times_three(long value) { return value * 3; }
static long kernel_plus_seven(long value) { return value + 7; }
static void kernel_twice(long *to, long by) { *to += 2 * by; }

/* ---- Who is in it ---- */

static volatile bool module_runs;
static volatile unsigned module_users;

/* The kernel counts who is in the module, and waits for them before it goes. */
static bool enter_module(void) {
    __atomic_add_fetch(&module_users, 1, __ATOMIC_SEQ_CST);
    if (module_runs)
        return true;
    __atomic_sub_fetch(&module_users, 1, __ATOMIC_SEQ_CST);
    return false;
}

static void leave_module(void) { __atomic_sub_fetch(&module_users, 1, __ATOMIC_SEQ_CST); }

static void stop_module(void) {
    __atomic_store_n(&module_runs, false, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&module_users, __ATOMIC_SEQ_CST))
        __asm__ volatile("pause");
}

enum { KEPT_VALUE = 0x5ca1ab0 };

/* By the module while it is there, else by the kernel's own call, whose values are the same. */
#define VISIT(name, by_module, by_kernel)                                                                    \
    static uint64_t name(struct live_visit *visit) {                                                         \
        volatile uint64_t kept[2] = {KEPT_VALUE + visit->skew, KEPT_VALUE};                                  \
        long value;                                                                                          \
        if (enter_module()) {                                                                                \
            value = (by_module);                                                                             \
            leave_module();                                                                                  \
        } else {                                                                                             \
            value = (by_kernel);                                                                             \
        }                                                                                                    \
        visit->damage += kept[0] != KEPT_VALUE + visit->skew || kept[1] != KEPT_VALUE;                       \
        return (uint64_t)value;                                                                              \
    }

static long note_last(long start, long by) {
    calls->note_last(&start, by);
    return start;
}

VISIT(visit_in_middle, calls->value_in_middle(5), kernel_in_middle(5))
VISIT(visit_last, calls->value_last(6) + BEHIND, kernel_in_middle(5))
VISIT(visit_jumped, calls->value_jumped(4) + BEHIND, kernel_in_middle(5))
VISIT(visit_if_zero, calls->value_if_zero(5, 0) + BEHIND, kernel_in_middle(5))
VISIT(visit_note_in_middle, calls->note_in_middle(50, 3), kernel_note_in_middle(50, 3))
VISIT(visit_note_last, note_last(50, 3) + BEHIND, kernel_note_in_middle(50, 3))
static uint64_t visit_kernel(struct live_visit *visit) {
    (void)visit;
    return (uint64_t)kernel_in_middle(5);
}

enum { STATES = 5 };
#define EACH_VALUE {106, 150, 115, 112, 100}
#define EACH_NOTE {153, 150, 156, 153, 150}
static const struct live_place places[] = {
    {visit_in_middle, EACH_VALUE}, {visit_last, EACH_VALUE},          {visit_jumped, EACH_VALUE},
    {visit_if_zero, EACH_VALUE},   {visit_note_in_middle, EACH_NOTE}, {visit_note_last, EACH_NOTE},
    {visit_kernel, EACH_VALUE},
};
enum { PLACES = sizeof places / sizeof *places };

/* The module's functions only while it is there. */
static enum tp_status move_both(unsigned state) {
    long (*const values[STATES])(long) = {kernel_plus_one, kernel_times_ten,
                                          module_runs ? calls->times_three : kernel_times_three,
                                          module_runs ? calls->plus_seven : kernel_plus_seven, NULL};
    void (*const notes[STATES])(long *, long) = {kernel_more, NULL, module_runs ? calls->twice : kernel_twice,
                                                 kernel_more, NULL};
    uint64_t value = values[state] ? (uintptr_t)values[state] : (uintptr_t)tp_return0;
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_kernel_value, value);
    if (status == TP_OK)
        status = tp_batch_set(&tp_static_call_kernel_note, (uintptr_t)notes[state]);
    return status == TP_OK ? tp_batch_commit() : status;
}

static struct live_storm load = {.name = "modules",
                                       .places = places,
                                       .count = PLACES,
                                       .states = STATES,
                                       .move = move_both,
                                       .stores_alone = true,
                                       .burst = 6};

/* Through all states, and back to the first. */
static bool move_round(void) {
    for (unsigned i = 0; i < STATES; i++)
        if (!EXPECT_OK(move_load()) || !EXPECT(await_visits()))
            return false;
    return true;
}

static void come_and_go(void) {
    enum { TIMES = 6 };
    uintptr_t places_seen[2] = {0, 0};
    start_load(&load);
    for (unsigned i = 0; i < TIMES; i++) {
        if (!add_module(i % 2))
            break;
        places_seen[i % 2] = (uintptr_t)calls->value_in_middle;
        module_runs = true;
        if (!move_round())
            break;
        expect_own();
        EXPECT_EQUAL(count_differences(NULL), 0);
        stop_module();
        remove_module();
        if (!move_round())
            break;
    }
    stop_module();
    struct live_result result = stop_load();
    EXPECT(places_seen[0] && places_seen[1] && places_seen[0] != places_seen[1]);
    EXPECT_EQUAL(result.wrong, 0);
    EXPECT_EQUAL(result.damaged, 0);
    EXPECT_EQUAL(result.rounds, TIMES * 2 * STATES);
    EXPECT(result.nmi_visits > 0 && result.timer_visits > 0);
    print_format("# %u loads, %lu visits, by NMI %lu, by timer %lu, between steps %lu\n", TIMES, result.visits,
                 result.nmi_visits, result.timer_visits, result.step_visits);
}

static const struct live_setup by_trap = {.options = {.least_class = TP_CLASS_TRAP,
                                                      .least_assurance = TP_ASSURANCE_VENDOR}};

static void comes_and_goes(void) {
    REQUIRE_MODULE();
    run_live_plainly(come_and_go);
    end_module();
    run_live(&by_trap, come_and_go);
    EXPECT_EQUAL(live_counts.steps[TP_STEP_STORE], 0);
    EXPECT_EQUAL(live_counts.foreign, 0);
    end_module();
}

/* ---- Between the steps ---- */

static unsigned state_before, state_after, looks, int3s_seen;

static void look_between(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_INT3)
        return;
    unsigned state = trace->step > TP_STEP_INT3 ? state_after : state_before;
    for (unsigned i = 0; i < FOUND; i++)
        int3s_seen += *(const volatile uint8_t *)found[i].address == 0xcc;
    for (unsigned i = 0; i < PLACES; i++) {
        struct live_visit visit = {0};
        EXPECT_EQUAL(places[i].visit(&visit), places[i].values[state]);
        EXPECT_EQUAL(visit.damage, 0);
        looks++;
    }
}

static void step_and_look(void) {
    REQUIRE(add_module(1));
    list_calls();
    for (unsigned i = 0; i < FOUND; i++)
        found[i].address = find_site((uintptr_t)found[i].function, 0).address;
    module_runs = true;
    EXPECT_OK(move_both(0));
    looks = int3s_seen = 0;
    live_step_hook = look_between;
    for (unsigned move = 1; move <= STATES; move++) {
        state_before = move - 1;
        state_after = move % STATES;
        EXPECT_OK(move_both(state_after));
    }
    live_step_hook = NULL;
    EXPECT(looks > STATES * PLACES * FOUND);
    EXPECT(int3s_seen > STATES * FOUND);
    EXPECT_EQUAL(live_counts.foreign, 0);
    stop_module();
    remove_module();
}

static void mean_their_cells(void) {
    REQUIRE_MODULE();
    run_live(&by_trap, step_and_look);
    end_module();
}

/* ---- Control ---- */

static void misjudge(void) {
    static const struct live_place misjudged[] = {{visit_in_middle, {106, 150, 115, 113, 100}}};
    load.places = misjudged;
    load.count = 1;
    start_load(&load);
    if (add_module(0)) {
        module_runs = true;
        move_round();
        stop_module();
        remove_module();
    }
    struct live_result result = stop_load();
    EXPECT(result.wrong > 0);
    EXPECT_EQUAL(result.damaged, 0);
    load.places = places;
    load.count = PLACES;
}

static void counts_wrong_values(void) {
    REQUIRE_MODULE();
    run_live_plainly(misjudge);
    end_module();
}

KTAP_SUITE(live_modules, {"it comes and goes under load", comes_and_goes},
           {"between the steps its calls mean their cells", mean_their_cells},
           {"negative control: by another target's values", counts_wrong_values});
