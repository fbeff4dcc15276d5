/* SPDX-License-Identifier: MIT */
/*
 * unwind: walks at every instruction of other suites' cases, whose text changes meanwhile.
 *
 *   the linked table is one, and its first walk ends where the kernel was entered
 *   each case of the suites below, stepped: the walk at each instruction finds what calls and returns say
 *   steps inside sites, among them those between pushf and pop
 *   negative control: a table that speaks of the linked forms alone is wrong inside sites, and nowhere else
 *   a walk from a timer's interrupt, wherever it comes, ends where the kernel was entered
 *   garbage on the stack, and none at all: lost
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "shadow_steps.h"
#include "support.h"

#define FOR_EACH_STEPPED(macro)                                                                              \
    macro(ops) macro(op_calls) macro(op_registers) macro(alternatives) macro(static_calls) macro(static_keys) \
    macro(lock_prefix) macro(engine) macro(port_hooks)

#define DECLARE_STEPPED(name) extern const struct ktap_suite suite_##name;
#define LIST_STEPPED(name) &suite_##name,
FOR_EACH_STEPPED(DECLARE_STEPPED)
static const struct ktap_suite *const stepped[] = {FOR_EACH_STEPPED(LIST_STEPPED)};
enum { STEPPED = sizeof stepped / sizeof *stepped };

enum { STEPS_OF_A_CASE = 1000000, STEPS_LEAST = 100000, HERTZ = 1000, WALKS = 50 };

static struct tp_unwind_table table;

/* Whether the kernel was linked with a table, and walks use it now. */
static bool use_table(void) {
    enum tp_status status = tp_kernel_unwind_table(&table);
    if (status == TP_ERR_EMPTY_TABLE)
        return false;
    table.stays = false;
    return EXPECT_OK(status) && EXPECT_OK(tp_unwind_add(&table));
}

#define REQUIRE_TABLE()                                                                                      \
    do {                                                                                                     \
        if (!use_table())                                                                                    \
            SKIP("this kernel was linked without an unwind table");                                          \
    } while (0)

static void forget_table(void) { EXPECT_OK(tp_unwind_remove(&table)); }

static void walk_home(void) {
    REQUIRE_TABLE();
    struct tp_unwind frame;
    unsigned depth = 0;
    EXPECT(table.text_start == (uintptr_t)text_start);
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    EXPECT(frame.ip > (uintptr_t)walk_home);
    while (tp_unwind_next(&frame))
        depth++;
    EXPECT_EQUAL(frame.end, TP_UNWIND_OUTERMOST);
    EXPECT(frame.reliable);
    EXPECT(depth >= 2); /* kernel_main() and who called it */
    forget_table();
}

/* ---- Steps ---- */

static const struct ktap_case *stepped_case;

static void run_stepped_case(void) { stepped_case->run(); }

static void print_fault(const struct shadow_report *report) {
    print_format("# %lu of %lu walks are wrong; first at %lx: %s at depth %u is %lx, not %lx\n", report->wrong,
                 report->steps, report->at, report->first_fault, report->depth, report->found, report->expected);
}

static struct shadow_report sum;

static void add_report(const struct shadow_report *report) {
    sum.steps += report->steps;
    sum.frames += report->frames;
    sum.wrong += report->wrong;
    sum.in_sites += report->in_sites;
    sum.places += report->places;
    sum.left_alone += report->left_alone;
    if (report->deepest > sum.deepest)
        sum.deepest = report->deepest;
}

static void step_suite(const struct ktap_suite *suite) {
    for (unsigned i = 0; i < suite->count; i++) {
        close_case();
        open_case();
        if (!EXPECT_OK(tp_unwind_add(&table)))
            return;
        stepped_case = &suite->cases[i];
        struct shadow_report report = step_with_shadow(run_stepped_case, STEPS_OF_A_CASE);
        if (!EXPECT_EQUAL(report.wrong, 0)) {
            print_format("# in %s: %s\n", suite->name, stepped_case->name);
            print_fault(&report);
        }
        add_report(&report);
        forget_table();
    }
}

static void step_suites(void) {
    if (world == WORLD_XEN_PV)
        SKIP("a PV guest's single steps end at each hypercall");
    REQUIRE_TABLE();
    forget_table();
    sum = (struct shadow_report){.steps = 0};
    forget_stepped_places();
    for (unsigned i = 0; i < STEPPED; i++)
        step_suite(stepped[i]);
    print_format("# %lu steps of %lu instructions, %lu steps inside sites, %lu frames, %u deep, %lu functions ran on\n",
                 sum.steps, sum.places, sum.in_sites, sum.frames, sum.deepest, sum.left_alone);
    EXPECT(sum.steps >= STEPS_LEAST);
    EXPECT(sum.in_sites > 100);
}

/* ---- What the union is for ---- */

ONE_COPY static void run_flags(void) {
    unsigned long flags = nasm_save_fl();
    nasm_restore_fl(flags);
    flags = gas_save_fl();
    gas_restore_fl(flags);
    flags = save_fl();
    restore_fl(flags);
}

enum { ENTRIES = 16384 };
static struct tp_orc_entry narrow_entries[ENTRIES];

/* In sites, each entry says what the site's first does. */
static bool narrow(const struct tp_site_info *site, void *argument) {
    struct tp_unwind_table *narrowed = argument;
    uint32_t start = (uint32_t)(site->address - narrowed->text_start), first = 0;
    for (uint32_t i = 0; i < narrowed->count && narrowed->ips[i] < start + site->length; i++) {
        if (narrowed->ips[i] <= start)
            first = i;
        else
            narrow_entries[i] = narrow_entries[first];
    }
    return true;
}

static void step_without_union(void) {
    if (world == WORLD_XEN_PV)
        SKIP("a PV guest's single steps end at each hypercall");
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    forget_stepped_places();
    struct shadow_report report = step_with_shadow(run_flags, STEPS_OF_A_CASE);
    EXPECT_EQUAL(report.wrong, 0);
    EXPECT(report.in_sites >= 6);
    forget_table();
    REQUIRE(table.count <= ENTRIES);
    struct tp_unwind_table narrowed = table;
    for (uint32_t i = 0; i < table.count; i++)
        narrow_entries[i] = table.entries[i];
    narrowed.entries = narrow_entries;
    tp_for_each_site(narrow, &narrowed);
    REQUIRE_OK(tp_unwind_add(&narrowed));
    struct shadow_report wrong = step_with_shadow(run_flags, STEPS_OF_A_CASE);
    EXPECT_OK(tp_unwind_remove(&narrowed));
    EXPECT_EQUAL(wrong.steps, report.steps);
    print_format("# without the union %lu of %lu walks are wrong, %lu of them inside sites\n", wrong.wrong, wrong.steps,
                 wrong.wrong_in_sites);
    /* Between pushf and pop, and between push and popf: in two assembler functions, and here if rsp is counted from. */
    EXPECT(wrong.wrong == 4 || wrong.wrong == 6);
    EXPECT_EQUAL(wrong.wrong_in_sites, wrong.wrong);
}

/* ---- From interrupts ---- */

static volatile unsigned walks, lost;
static uintptr_t lost_at;

static void walk_from_tick(struct tp_regs *regs) {
    struct tp_unwind frame;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame)) {
    }
    walks++;
    if (frame.end == TP_UNWIND_OUTERMOST && frame.reliable)
        return;
    lost++;
    lost_at = regs->rip;
}

/* The tick's own entry is on the way, too. */
static void walk_through_tick(struct tp_regs *regs) {
    struct tp_unwind frame;
    bool passed = false;
    walk_from_tick(regs);
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame))
        passed |= frame.regs == regs && frame.ip == regs->rip && frame.sp == regs->rsp && !frame.behind;
    if (!passed || frame.end != TP_UNWIND_OUTERMOST || !frame.reliable) {
        lost++;
        lost_at = frame.ip;
    }
}

static void walk_from_ticks(void) {
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    walks = lost = 0;
    timer_hook = walk_through_tick;
    start_timer(HERTZ);
    for (unsigned patience = 100000; walks < WALKS && patience > 0; patience--) {
        unmask_interrupts();
        for (unsigned i = 0; i < 100; i++)
            run_flags();
        mask_interrupts();
    }
    stop_timer();
    timer_hook = NULL;
    EXPECT(walks >= WALKS);
    if (!EXPECT_EQUAL(lost, 0))
        print_format("# the last one at %lx\n", lost_at);
    forget_table();
}

/* ---- Garbage ---- */

static bool find_no_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)sp, (void)stack, (void)argument;
    return false;
}

static void walk_garbage(void) {
    REQUIRE_TABLE();
    static uint64_t garbage[64];
    struct tp_unwind frame;
    struct tp_regs regs = {.rip = (uintptr_t)walk_garbage, .rsp = (uintptr_t)garbage, .cs = 8};
    for (unsigned i = 0; i < 64; i++)
        garbage[i] = i * 0x0123456789abcdef;
    tp_unwind_start(&frame, &regs, find_kernel_stack, NULL);
    EXPECT(!tp_unwind_next(&frame));
    EXPECT_EQUAL(frame.end, TP_UNWIND_LOST);
    tp_unwind_here(&frame, find_no_stack, NULL);
    EXPECT(!tp_unwind_next(&frame));
    EXPECT_EQUAL(frame.end, TP_UNWIND_LOST);
    forget_table();
}

KTAP_SUITE(unwind, {"a walk from here ends where the kernel was entered", walk_home},
           {"at every instruction of other suites", step_suites},
           {"without the union, walks inside sites are wrong", step_without_union},
           {"from a timer's interrupt", walk_from_ticks},
           {"garbage", walk_garbage});
