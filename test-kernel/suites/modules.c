/* SPDX-License-Identifier: MIT */
/*
 * modules: a module of plain C, through tools/link-module, loaded at run time: its calls of static calls are sites.
 *
 *   loaded, each of its calls leads to a trampoline, the kernel's or its own; applied, to the target; with other functions,
 *     of the kernel and of the module, none, RET0 and inlined ones, whichever registered them; its key, its alternative
 *   it stays while one of the kernel's static calls has a function of its, and goes then; the kernel's calls go on
 *   live, it comes and goes, here and there, while all CPUs call it and targets move
 *   live, between the steps of a change its calls mean their cells: the int3s in it are the library's
 *   a walk from a function that it calls is reliable to the end with its table, and is not without it
 *   negative controls: calls that miss from its records go by the trampoline; files that are no whole modules are refused
 * Where the kernel was linked without the tool there is no module, and all is skipped.
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "../modules/calls.h"
#include "backend.h"
#include "ktap.h"
#include "live_load.h"
#include "module_loader.h"
#include "smp.h"
#include "support.h"

/* ---- What the kernel gives to modules ---- */

long kernel_plus_one(long value) { return value + 1; }
void kernel_more(long *to, long by) { *to += by; }
TP_DEFINE_STATIC_CALL(kernel_value, kernel_plus_one);
TP_DEFINE_STATIC_CALL_NULL(kernel_note, kernel_more);

static const struct export exports[] = {
    EXPORT(kernel_plus_one), EXPORT_STATIC_CALL(kernel_value), EXPORT_STATIC_CALL(kernel_note), EXPORTS_END};

static long kernel_times_ten(long value) { return value * 10; }
/* What the module has, too. */
static long kernel_times_three(long value) { return value * 3; }
static long kernel_plus_seven(long value) { return value + 7; }
static void kernel_twice(long *to, long by) { *to += 2 * by; }

ONE_COPY static long kernel_in_middle(long value) { return tp_static_call(kernel_value)(value) + BEHIND; }
ONE_COPY static long kernel_note_in_middle(long start, long by) {
    long note = start;
    tp_static_call(kernel_note)(&note, by);
    return note + BEHIND;
}

/* ---- The module ---- */

extern const uint8_t module_file[], module_file_end[];

static struct module_room rooms[2] __attribute__((section(".data.module_rooms")));
static struct module module;
static const struct module_calls *calls;

static size_t file_size(void) { return (size_t)(module_file_end - module_file); }

/* The room is filled after the link, behind the compiler's back. */
static bool there_is_a_module(void) {
    const volatile uint8_t *file = module_file;
    return file[0] == 0x7f && file[1] == 'E' && file[2] == 'L' && file[3] == 'F';
}

#define REQUIRE_MODULE()                                                                                     \
    do {                                                                                                     \
        if (!there_is_a_module())                                                                            \
            SKIP("no module was put into this kernel: it was linked without the tool");                      \
    } while (0)

static bool load_into(unsigned room) {
    if (!EXPECT(load_module(&module, module_file, file_size(), exports, &rooms[room]))) {
        print_format("# %s: %s\n", module.fault, module.culprit);
        return false;
    }
    calls = find_in_module(&module, "module_calls");
    return EXPECT(calls != NULL);
}

static bool add_module(unsigned room) {
    if (!load_into(room))
        return false;
    return EXPECT_OK(tp_image_add(&module.image)) && EXPECT_OK(tp_apply());
}

static void remove_module(void) {
    EXPECT_OK(tp_image_remove(&module.image));
    unload_module(&module);
}

/* All of the text is the kernel's again; the cells too. */
static void end_module(void) {
    unload_module(&module);
    unprotect_text();
    tp_static_call_kernel_value.target = (void (*)(void))kernel_plus_one;
    tp_static_call_kernel_note.target = tp_nop_function;
}

/* ---- Its sites ---- */

static uint8_t byte_at(uintptr_t address) { return *(const volatile uint8_t *)address; }
static uintptr_t leads_to(uintptr_t address) { return branch_target(address + (byte_at(address) == 0x0f)); }

static struct found_call {
    const void *function;
    const struct tp_static_call *call;
    uintptr_t address;
    uint8_t opcode; /* as linked: e8, e9, or the second byte of a jcc */
} found[8];
enum { VALUE_CALLS = 4, NOTE_CALLS = 2, FOUND = 7 };

static void list_calls(void) {
    const void *const functions[FOUND] = {calls->value_in_middle, calls->value_last,     calls->value_jumped,
                                          calls->value_if_zero,   calls->note_in_middle, calls->note_last,
                                          calls->own_in_middle};
    for (unsigned i = 0; i < FOUND; i++) {
        const struct tp_static_call *call = i < VALUE_CALLS ? &tp_static_call_kernel_value : &tp_static_call_kernel_note;
        found[i] = (struct found_call){.function = functions[i], .call = i + 1 == FOUND ? calls->own_call : call};
    }
}

static void expect_linked(struct found_call *call) {
    struct tp_site_info info = find_site((uintptr_t)call->function, 0);
    call->address = info.address;
    call->opcode = byte_at(info.address + (byte_at(info.address) == 0x0f));
    EXPECT(info.image == &module.image);
    EXPECT_EQUAL(info.kind, TP_KIND_STATIC_CALL);
    EXPECT(info.cell == call->call);
    EXPECT_EQUAL(info.length, call->opcode >> 4 == 8 ? 6 : 5);
    struct tp_site_info trampoline = {.kind = 0};
    EXPECT(tp_describe_site(leads_to(info.address), &trampoline));
    EXPECT_EQUAL(trampoline.address, leads_to(info.address));
    EXPECT_EQUAL(trampoline.kind, TP_KIND_TRAMPOLINE);
    EXPECT(trampoline.cell == call->call);
    EXPECT(trampoline.image == (call->call == calls->own_call ? &module.image : &kernel_image));
}

/* Calls of one static call hold some bytes, or if NULL a call; jumps lead to its target. */
static void expect_held(const struct tp_static_call *call, const uint8_t bytes[5]) {
    for (unsigned i = 0; i < FOUND; i++) {
        if (found[i].call != call)
            continue;
        if (bytes && found[i].opcode == 0xe8)
            expect_bytes((const void *)found[i].address, bytes, 5, __func__, __LINE__);
        else
            EXPECT_EQUAL(leads_to(found[i].address), (uintptr_t)call->target);
    }
}

static void expect_values(long (*function)(long)) {
    EXPECT_EQUAL(calls->value_in_middle(5), function(5) + BEHIND);
    EXPECT_EQUAL(calls->value_last(5), function(4));
    EXPECT_EQUAL(calls->value_jumped(5), function(6));
    EXPECT_EQUAL(calls->value_if_zero(5, 0), function(5));
    EXPECT_EQUAL(calls->value_if_zero(5, 1), -1);
    EXPECT_EQUAL(kernel_in_middle(5), function(5) + BEHIND);
}

static void expect_notes(long by_three) {
    long note = 50;
    EXPECT_EQUAL(calls->note_in_middle(50, 3), 50 + by_three + BEHIND);
    EXPECT_EQUAL(kernel_note_in_middle(50, 3), 50 + by_three + BEHIND);
    calls->note_last(&note, 3);
    EXPECT_EQUAL(note, 50 + by_three);
}

static const uint8_t nop[] = {0x0f, 0x1f, 0x44, 0x00, 0x00}, ret0[] = {0x2e, 0x2e, 0x2e, 0x31, 0xc0},
                     plus_seven[] = {0x2e, 0x48, 0x8d, 0x47, 0x07}, plus_five[] = {0x2e, 0x48, 0x8d, 0x47, 0x05};

long value_plus_five(long value); /* the suite inline_calls has it: the kernel registers its inline form */

static void expect_value(long (*function)(long), const uint8_t inlined[5]) {
    EXPECT_OK(tp_static_call_update(kernel_value, function));
    expect_held(&tp_static_call_kernel_value, inlined);
    expect_values(function);
}

static long zero(long value) { return value - value; }

static void move_values(void) {
    expect_values(kernel_plus_one);
    expect_value(kernel_times_ten, NULL);
    expect_value(calls->times_three, NULL);
    expect_value(calls->plus_seven, plus_seven);
    expect_value(value_plus_five, plus_five);
    EXPECT_OK(tp_static_call_update_ret0(kernel_value));
    expect_held(&tp_static_call_kernel_value, ret0);
    expect_values(zero);
    expect_value(kernel_plus_one, NULL);
}

static void move_notes(void) {
    expect_notes(0);
    EXPECT_BYTES(found[VALUE_CALLS].address, nop[0], nop[1], nop[2], nop[3], nop[4]);
    if (found[VALUE_CALLS + 1].opcode == 0xe9)
        EXPECT_BYTES(found[VALUE_CALLS + 1].address, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
    EXPECT_OK(tp_static_call_update(kernel_note, calls->twice));
    expect_held(&tp_static_call_kernel_note, NULL);
    expect_notes(6);
    EXPECT_OK(tp_static_call_update(kernel_note, kernel_more));
    expect_held(&tp_static_call_kernel_note, NULL);
    expect_notes(3);
    EXPECT_OK(tp_static_call_update(kernel_note, NULL));
    expect_notes(0);
}

/* What else it has. */
static void expect_own(void) {
    uint64_t first = (uintptr_t)calls->times_three;
    EXPECT_EQUAL(calls->own_in_middle(5), 15 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)kernel_times_ten));
    EXPECT_EQUAL(calls->own_in_middle(5), 50 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)calls->plus_seven));
    expect_held(calls->own_call, plus_seven);
    EXPECT_EQUAL(calls->own_in_middle(5), 12 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, first));
    EXPECT_EQUAL(calls->own_in_middle(5), 15 + BEHIND);
    EXPECT_EQUAL(calls->branch(), 0);
    EXPECT_OK(tp_key_add(calls->key, 1));
    EXPECT_EQUAL(calls->branch(), 1);
    EXPECT_OK(tp_key_add(calls->key, -1));
    EXPECT_EQUAL(calls->branch(), 0);
    EXPECT_EQUAL(calls->alternative(), 2);
}

static void add_and_look(void) {
    REQUIRE(start_applied());
    REQUIRE(load_into(0));
    list_calls();
    EXPECT_EQUAL(calls->alternative(), 1);
    REQUIRE_OK(tp_image_add(&module.image));
    for (unsigned i = 0; i < FOUND; i++)
        expect_linked(&found[i]);
    expect_values(kernel_plus_one); /* by the trampolines yet */
    expect_notes(0);
    REQUIRE_OK(tp_apply());
    move_values();
    move_notes();
    expect_own();
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_image_remove(&module.image));
}

static void follows_targets(void) {
    REQUIRE_MODULE();
    add_and_look();
    end_module();
}

/* ---- It stays as long as it is needed ---- */

static void need_module(void) {
    REQUIRE(start_applied());
    REQUIRE(add_module(0));
    EXPECT_OK(tp_static_call_update(kernel_value, calls->plus_seven));
    EXPECT_STATUS(tp_image_remove(&module.image), TP_ERR_IMAGE_IN_USE);
    EXPECT_EQUAL(kernel_in_middle(5), 12 + BEHIND);
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_IN_USE); /* its calls' keys are there */
    EXPECT_OK(tp_image_remove(&module.image));
    EXPECT_EQUAL(kernel_in_middle(5), 6 + BEHIND);
}

static void stays_if_needed(void) {
    REQUIRE_MODULE();
    need_module();
    end_module();
}

/* ---- Live ---- */

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

static const struct live_storm load = {.name = "modules",
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
        int3s_seen += byte_at(found[i].address) == 0xcc;
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

/* ---- Walks ---- */

static struct walk {
    unsigned frames, in_module;
    uint8_t end;
    bool reliable;
} walk;

/* This CPU's stack, as far as the walk may need it. */
static bool find_boot_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    *stack = (struct tp_stack){(uintptr_t)argument & ~(uintptr_t)7, (uintptr_t)boot_stack_top};
    return sp >= stack->start && sp <= stack->end;
}

ONE_COPY static long walk_from_here(long value) {
    struct tp_unwind frame;
    walk = (struct walk){.frames = 1};
    tp_unwind_here(&frame, find_boot_stack, (uint8_t *)__builtin_frame_address(0) - 4 * sizeof frame);
    while (tp_unwind_next(&frame)) {
        uintptr_t place = tp_unwind_place(&frame);
        walk.frames++;
        walk.in_module += place >= module.image.text_start && place < module.image.text_end;
    }
    walk.end = frame.end;
    walk.reliable = frame.reliable;
    return value;
}

static void expect_whole_walk(void) {
    EXPECT_EQUAL(calls->value_in_middle(5), 5 + BEHIND);
    EXPECT_EQUAL(walk.in_module, 1);
    EXPECT_EQUAL(walk.end, TP_UNWIND_OUTERMOST);
    EXPECT(walk.reliable);
    EXPECT(walk.frames >= 5);
}

static void walk_through_module(void) {
    REQUIRE(start_applied());
    REQUIRE(add_module(0));
    REQUIRE(module.has_table);
    EXPECT_EQUAL(module.table.text_start, module.image.text_start);
    EXPECT_OK(tp_static_call_update(kernel_value, walk_from_here));
    REQUIRE_OK(tp_unwind_add(&module.table));
    expect_whole_walk();
    EXPECT_OK(tp_unwind_remove(&module.table));
    EXPECT_EQUAL(calls->value_in_middle(5), 5 + BEHIND); /* the control */
    EXPECT(!walk.reliable || walk.end == TP_UNWIND_LOST);
    EXPECT_OK(tp_unwind_add(&module.table));
    expect_whole_walk();
    EXPECT_OK(tp_unwind_remove(&module.table));
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    remove_module();
}

static void walks_through(void) {
    static struct tp_unwind_table table;
    REQUIRE_MODULE();
    enum tp_status status = tp_kernel_unwind_table(&table);
    if (status == TP_ERR_EMPTY_TABLE)
        SKIP("this kernel was linked without an unwind table");
    REQUIRE_OK(status);
    table.stays = false;
    REQUIRE_OK(tp_unwind_add(&table));
    walk_through_module();
    EXPECT_OK(tp_unwind_remove(&table));
    end_module();
}

/* ---- Controls ---- */

/* Without its records of calls, which are the last, the module's calls are the trampoline's. */
static void leave_out_calls(void) {
    REQUIRE(start_applied());
    REQUIRE(load_into(0));
    list_calls();
    struct tp_image *image = &module.image;
    while (image->site_count && (image->sites[image->site_count - 1].kind & 0xf) == TP_KIND_STATIC_CALL)
        image->site_count--;
    REQUIRE_OK(tp_image_add(image));
    REQUIRE_OK(tp_apply());
    struct tp_site_info info;
    EXPECT(!tp_describe_site((uintptr_t)calls->value_jumped + 4, &info));
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_times_ten));
    EXPECT_BYTES((uintptr_t)calls->value_jumped + 4, 0xe9);
    EXPECT_EQUAL(leads_to((uintptr_t)calls->value_jumped + 4), (uintptr_t)tp_static_call(kernel_value));
    expect_values(kernel_times_ten);
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    remove_module();
}

static void goes_by_trampoline(void) {
    REQUIRE_MODULE();
    leave_out_calls();
    end_module();
}

static void refuses_others(void) {
    REQUIRE_MODULE();
    static const struct export too_few[] = {EXPORT(kernel_plus_one), EXPORTS_END};
    EXPECT(!load_module(&module, module_file, file_size(), too_few, &rooms[0]));
    EXPECT_TEXT(module.fault, "nobody has the symbol");
    EXPECT(module.culprit[0] == 't');
    EXPECT(!load_module(&module, module_file, 1000, exports, &rooms[0]));
    EXPECT_TEXT(module.fault, "its section headers are not in the file");
    EXPECT(!load_module(&module, text_start, 4096, exports, &rooms[0]));
    EXPECT_TEXT(module.fault, "it is no module");
    module.image = (struct tp_image){.name = NULL};
}

KTAP_SUITE(modules, {"its calls are sites", follows_targets}, {"it stays while it is needed", stays_if_needed},
           {"it comes and goes under load", comes_and_goes},
           {"between the steps its calls mean their cells", mean_their_cells},
           {"walks through it", walks_through}, {"negative control: without records", goes_by_trampoline},
           {"files that are no modules", refuses_others});
