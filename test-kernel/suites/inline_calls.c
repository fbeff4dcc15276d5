/* SPDX-License-Identifier: MIT */
/*
 * inline_calls: plain calls of static calls, found by `textpatch sites` in the linked kernel, are sites of their own.
 *
 *   a call in the middle, two in one function, a tail call, a jmp and two jcc: as linked each leads to the trampoline
 *   applied, each holds a call, jmp or jcc of its target; with another function, none, RET0 and an inlined one what
 *     textpatch/static_call.h says; arguments and values are right in each; reverted it is as linked
 *   live, between the steps of a change CPU 0 finds what the cell means
 *   live, all CPUs call while targets move among function, none, RET0 and inlined: as classes come, and by trap
 *   negative control: judged by another target's values, the same visits are wrong
 * In a kernel that was linked without the tool all but the values is skipped; by `quick` the load is.
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "support.h"

static long value_plus_one(long value) { return value + 1; }
static long value_times_ten(long value) { return value * 10; }
long value_plus_five(long value); /* inlined where a call stands: lea rax, [rdi + 5] */
TP_DEFINE_STATIC_CALL(inline_value, value_plus_one);

static void note_more(long *to, long by) { *to += by; }
static void note_alone(long *to, long by) { *to = by; }
void note_less(long *to, long by); /* inlined: sub [rdi], rsi */
TP_DEFINE_STATIC_CALL_NULL(inline_note, note_more);

/* ---- The calls ---- */

enum { BEHIND = 100 };

ONE_COPY static long value_in_middle(long value) { return tp_static_call(inline_value)(value) + BEHIND; }
ONE_COPY static long value_twice(long value) {
    return tp_static_call(inline_value)(tp_static_call(inline_value)(value) + BEHIND);
}
/* A jmp, unless the compiler does without. */
ONE_COPY static long value_last(long value) { return tp_static_call(inline_value)(value - 1); }
ONE_COPY static void note_last(long *to, long by) { tp_static_call(inline_note)(to, by); }
ONE_COPY static long note_in_middle(long start, long by) {
    long note = start;
    tp_static_call(inline_note)(&note, by);
    return note + BEHIND;
}

/* In assembler. */
long value_jumped(long value);                                /* of the value + 1 */
long value_if_zero(long value, long selector);                /* else -1 */
void note_if_not_zero(long *to, long by, long selector);

/* ---- Where they are ---- */

/* A site of some static call that lies at or behind an address, within what these functions have of text. */
static bool is_found(const void *function, const void *cell, struct tp_site_info *info) {
    enum { FUNCTION_MAX = 128 };
    uintptr_t start = (uintptr_t)function;
    for (uintptr_t at = start; at < start + FUNCTION_MAX; at++)
        if (tp_describe_site(at, info))
            return info->kind == TP_KIND_STATIC_CALL && info->cell == cell;
    return false;
}

/* Asked of the running kernel. */
static bool calls_are_found(void) {
    struct tp_site_info info;
    return is_found((const void *)value_in_middle, &tp_static_call_inline_value, &info);
}

#define REQUIRE_FOUND()                                                                                      \
    do {                                                                                                     \
        if (!calls_are_found())                                                                              \
            SKIP("this kernel was linked without the tool, so calls go by the trampoline");                  \
    } while (0)

enum { MIDDLE, TWICE, AGAIN, LAST, JUMPED, IF_ZERO, NOTE_MIDDLE, NOTE_LAST, NOTE_IF, SITES };

static struct call_site {
    const void *function;
    const void *cell;
    unsigned nth;
    uint8_t opcode; /* 0: the compiler's choice of e8 and e9 */
    uintptr_t address;
} sites[SITES] = {
    [MIDDLE] = {(const void *)value_in_middle, &tp_static_call_inline_value, 0, 0xe8, 0},
    [TWICE] = {(const void *)value_twice, &tp_static_call_inline_value, 0, 0xe8, 0},
    [AGAIN] = {(const void *)value_twice, &tp_static_call_inline_value, 1, 0, 0},
    [LAST] = {(const void *)value_last, &tp_static_call_inline_value, 0, 0, 0},
    [JUMPED] = {(const void *)value_jumped, &tp_static_call_inline_value, 0, 0xe9, 0},
    [IF_ZERO] = {(const void *)value_if_zero, &tp_static_call_inline_value, 0, 0x84, 0},
    [NOTE_MIDDLE] = {(const void *)note_in_middle, &tp_static_call_inline_note, 0, 0xe8, 0},
    [NOTE_LAST] = {(const void *)note_last, &tp_static_call_inline_note, 0, 0, 0},
    [NOTE_IF] = {(const void *)note_if_not_zero, &tp_static_call_inline_note, 0, 0x85, 0},
};

static uintptr_t trampoline_of(const struct call_site *site) {
    return site->cell == &tp_static_call_inline_value ? (uintptr_t)tp_static_call(inline_value)
                                                      : (uintptr_t)tp_static_call(inline_note);
}

static uint8_t byte_at(uintptr_t address) { return *(const volatile uint8_t *)address; }

/* What a branch of any of the three kinds leads to. */
static uintptr_t leads_to(uintptr_t address) { return branch_target(address + (byte_at(address) == 0x0f)); }

/* As linked: the opcode is known from here on. */
static void find_call(struct call_site *site) {
    struct tp_site_info info = find_site((uintptr_t)site->function, site->nth);
    bool conditional = byte_at(info.address) == 0x0f;
    uint8_t opcode = byte_at(info.address + conditional);
    site->address = info.address;
    EXPECT_EQUAL(info.kind, TP_KIND_STATIC_CALL);
    EXPECT(info.cell == site->cell);
    EXPECT_EQUAL(info.length, conditional ? 6 : 5);
    EXPECT_EQUAL(info.form, TP_FORM_ORIGINAL);
    EXPECT(site->opcode ? opcode == site->opcode : opcode == 0xe8 || opcode == 0xe9);
    EXPECT_EQUAL(leads_to(info.address), trampoline_of(site));
    site->opcode = opcode;
}

static void expect_branches(const void *cell, const void *target) {
    for (unsigned i = 0; i < SITES; i++) {
        if (sites[i].cell != cell)
            continue;
        EXPECT_EQUAL(byte_at(sites[i].address + (sites[i].opcode >> 4 == 8)), sites[i].opcode);
        EXPECT_EQUAL(leads_to(sites[i].address), (uintptr_t)target);
    }
}

/* Calls hold these bytes, jmp and jcc lead to a function. */
static void expect_calls_hold(const void *cell, const uint8_t bytes[5], const void *target) {
    for (unsigned i = 0; i < SITES; i++) {
        if (sites[i].cell != cell)
            continue;
        if (sites[i].opcode == 0xe8)
            expect_bytes((const void *)sites[i].address, bytes, 5, __func__, __LINE__);
        else
            EXPECT_EQUAL(leads_to(sites[i].address), (uintptr_t)target);
    }
}

/* ---- Values ---- */

static void expect_values(long (*function)(long)) {
    EXPECT_EQUAL(value_in_middle(5), function(5) + BEHIND);
    EXPECT_EQUAL(value_twice(5), function(function(5) + BEHIND));
    EXPECT_EQUAL(value_last(5), function(4));
    EXPECT_EQUAL(value_jumped(5), function(6));
    EXPECT_EQUAL(value_if_zero(5, 0), function(5));
    EXPECT_EQUAL(value_if_zero(5, 1), -1);
}

static void note_nothing(long *to, long by) { (void)to, (void)by; }
static long value_zero(long value) { return value - value; }

static void expect_notes(void (*function)(long *, long)) {
    long note = 50, expected = 50, untouched = 50;
    function(&expected, 3);
    EXPECT_EQUAL(note_in_middle(50, 3), expected + BEHIND);
    note_last(&note, 3);
    EXPECT_EQUAL(note, expected);
    note = 50;
    note_if_not_zero(&note, 3, 1);
    EXPECT_EQUAL(note, expected);
    note_if_not_zero(&untouched, 3, 0);
    EXPECT_EQUAL(untouched, 50);
}

/* ---- At boot ---- */

static const uint8_t ret0[] = {0x2e, 0x2e, 0x2e, 0x31, 0xc0}, plus_five[] = {0x2e, 0x48, 0x8d, 0x47, 0x05},
                     less[] = {0x2e, 0x2e, 0x48, 0x29, 0x37};

static void find_calls(void) {
    for (unsigned i = 0; i < SITES; i++)
        find_call(&sites[i]);
}

static void are_sites(void) {
    expect_values(value_plus_one); /* nothing runs yet */
    expect_notes(note_nothing);
    REQUIRE(start_library(&alias_port));
    REQUIRE_FOUND();
    find_calls();
    REQUIRE_OK(tp_apply());
    expect_branches(&tp_static_call_inline_value, (const void *)value_plus_one);
    expect_values(value_plus_one);
    expect_notes(note_nothing);
    REQUIRE_OK(tp_revert());
    for (unsigned i = 0; i < SITES; i++)
        EXPECT_EQUAL(leads_to(sites[i].address), trampoline_of(&sites[i]));
}

static void move_values(void) {
    const void *cell = &tp_static_call_inline_value;
    EXPECT_OK(tp_static_call_update(inline_value, value_times_ten));
    expect_branches(cell, (const void *)value_times_ten);
    expect_values(value_times_ten);
    EXPECT_OK(tp_static_call_update(inline_value, value_plus_five));
    expect_calls_hold(cell, plus_five, (const void *)value_plus_five);
    EXPECT_EQUAL(find_site(sites[MIDDLE].address, 0).form, TP_FORM_INLINE);
    expect_values(value_plus_five);
    EXPECT_OK(tp_static_call_update_ret0(inline_value));
    expect_calls_hold(cell, ret0, (const void *)tp_return0);
    expect_values(value_zero);
    EXPECT_OK(tp_static_call_update(inline_value, value_plus_one));
    expect_branches(cell, (const void *)value_plus_one);
    expect_values(value_plus_one);
}

/* Of a tail call without a target a return is left, and of a conditional one a jcc to the nearest. */
static void expect_no_notes(void) {
    EXPECT_BYTES(sites[NOTE_MIDDLE].address, 0x0f, 0x1f, 0x44, 0x00, 0x00);
    if (sites[NOTE_LAST].opcode == 0xe9)
        EXPECT_BYTES(sites[NOTE_LAST].address, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
    else
        EXPECT_BYTES(sites[NOTE_LAST].address, 0x0f, 0x1f, 0x44, 0x00, 0x00); /* the compiler made it a call */
    EXPECT_EQUAL(leads_to(sites[NOTE_IF].address), (uintptr_t)tp_nop_function);
    expect_notes(note_nothing);
}

static void move_notes(void) {
    const void *cell = &tp_static_call_inline_note;
    expect_no_notes();
    EXPECT_OK(tp_static_call_update(inline_note, note_more));
    expect_branches(cell, (const void *)note_more);
    expect_notes(note_more);
    EXPECT_OK(tp_static_call_update(inline_note, note_less));
    expect_calls_hold(cell, less, (const void *)note_less);
    expect_notes(note_less);
    EXPECT_OK(tp_static_call_update(inline_note, NULL));
    expect_no_notes();
}

static void follow_targets(void) {
    REQUIRE(start_library(&alias_port));
    REQUIRE_FOUND();
    find_calls();
    REQUIRE_OK(tp_apply());
    move_values();
    move_notes();
    EXPECT_EQUAL(count_differences(NULL), 0);
}

/* ---- Live ---- */

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
    EXPECT(looks > STATES * PLACES * SITES);
    EXPECT_EQUAL(live_counts.foreign, 0);
}

static bool found_in_this_kernel(void) {
    bool found = start_library(&alias_port) && calls_are_found();
    EXPECT_OK(tp_finish());
    return found;
}

#define REQUIRE_FOUND_LIVE()                                                                                 \
    do {                                                                                                     \
        if (!found_in_this_kernel())                                                                         \
            SKIP("this kernel was linked without the tool, so calls go by the trampoline");                  \
    } while (0)

static void reset_cells(void) {
    tp_static_call_inline_value.target = (void (*)(void))value_plus_one;
    tp_static_call_inline_note.target = tp_nop_function;
}

static void mean_their_cells(void) {
    REQUIRE_FOUND_LIVE();
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
    REQUIRE_FOUND_LIVE();
    run_live_plainly(storm_calls);
    EXPECT(live_counts.steps[TP_STEP_INT3] > 0);
    EXPECT_EQUAL(live_counts.stops, 0);
    EXPECT_EQUAL(live_counts.foreign, 0);
    reset_cells();
}

static void move_by_trap(void) {
    SKIP_IF_QUICK();
    REQUIRE_FOUND_LIVE();
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
    REQUIRE_FOUND_LIVE();
    run_live_plainly(storm_misjudged);
    reset_cells();
}

KTAP_SUITE(inline_calls, {"each plain call is a site", are_sites},
           {"function, none, RET0 and inlined", follow_targets},
           {"between the steps a site means its cell", mean_their_cells},
           {"all CPUs call while targets move", move_live}, {"the same by trap", move_by_trap},
           {"negative control: by another target's values", counts_wrong_values});
