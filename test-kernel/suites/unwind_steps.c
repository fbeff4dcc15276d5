/* SPDX-License-Identifier: MIT */
/*
 * unwind_steps: walks at every instruction of other suites' cases, whose text changes meanwhile. Native world.
 *
 *   each case of the suites below, stepped, #BP's handler too: the walks at each instruction find what calls, returns and
 *     int3s say; at sites in every form, inside them, in trampolines, and while batches have int3s in the text
 *   negative control: a table that speaks of the linked forms alone is wrong inside sites, and nowhere else
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "ktap.h"
#include "platform.h"
#include "shadow_steps.h"
#include "support.h"
#include "unwind_table.h"

/* The last ones switch live; the other CPUs are theirs to answer. */
#define FOR_EACH_STEPPED(macro)                                                                              \
    macro(ops) macro(op_calls) macro(op_registers) macro(alternatives) macro(static_calls) macro(static_keys) \
    macro(lock_prefix) macro(engine) macro(port_hooks) macro(bad_images) macro(live_order) macro(live_breakpoint) \
    macro(inline_calls)

#define DECLARE_STEPPED(name) extern const struct ktap_suite suite_##name;
#define LIST_STEPPED(name) &suite_##name,
FOR_EACH_STEPPED(DECLARE_STEPPED)
static const struct ktap_suite *const stepped[] = {FOR_EACH_STEPPED(LIST_STEPPED)};
enum { STEPPED = sizeof stepped / sizeof *stepped };

enum { STEPS_OF_A_CASE = 1000000, STEPS_LEAST = 1000000 };

#define REQUIRE_NATIVE()                                                                                     \
    do {                                                                                                     \
        if (world == WORLD_XEN_PV)                                                                           \
            SKIP("a PV guest's single steps end at each hypercall");                                         \
    } while (0)

/* ---- Suites ---- */

static const struct ktap_case *stepped_case;
static struct steps_report sum;

static void run_stepped_case(void) {
    stepped_case->run();
}

static void step_case(const struct ktap_suite *suite, const struct ktap_case *stepped_now) {
    close_case();
    open_case();
    if (!EXPECT_OK(tp_unwind_add(&kernel_table)))
        return;
    stepped_case = stepped_now;
    struct steps_report report = step_with_shadow(run_stepped_case, STEPS_OF_A_CASE);
    if (!EXPECT_EQUAL(report.shadow.wrong, 0)) {
        print_format("# in %s: %s\n", suite->name, stepped_case->name);
        print_shadow_fault(&report.shadow);
    }
    add_steps_report(&sum, &report);
    forget_table();
}

/* What sites of each kind can hold. */
#define FORM(name) (1u << TP_FORM_##name)
static const struct {
    uint8_t kind;
    uint16_t forms;
} expected_forms[] = {
    {TP_KIND_ALTERNATIVE, FORM(ORIGINAL) | FORM(REPLACEMENT)},
    {TP_KIND_OP, FORM(ORIGINAL) | FORM(INLINE) | FORM(DIRECT) | FORM(NOP) | FORM(TRAP)},
    {TP_KIND_STATIC_CALL, FORM(ORIGINAL) | FORM(INLINE) | FORM(DIRECT) | FORM(NOP) | FORM(RETURN)},
    {TP_KIND_TRAMPOLINE, FORM(ORIGINAL) | FORM(DIRECT)},
    {TP_KIND_STATIC_KEY, FORM(NOP) | FORM(JUMP)},
    {TP_KIND_LOCK_PREFIX, FORM(ORIGINAL) | FORM(PREFIX)},
};

static void expect_all_forms(void) {
    for (unsigned i = 0; i < sizeof expected_forms / sizeof *expected_forms; i++)
        EXPECT_EQUAL(stepped_forms(expected_forms[i].kind) & expected_forms[i].forms, expected_forms[i].forms);
}

static void step_suites(void) {
    REQUIRE_NATIVE();
    REQUIRE_TABLE();
    forget_table();
    sum = (struct steps_report){.steps = 0};
    steps_of_a_place = 500;
    forget_stepped_places();
    for (unsigned i = 0; i < STEPPED; i++)
        for (unsigned j = 0; j < stepped[i]->count; j++)
            step_case(stepped[i], &stepped[i]->cases[j]);
    print_steps_report(&sum);
    EXPECT(sum.steps >= STEPS_LEAST);
    EXPECT(sum.in_sites > 0);
    EXPECT(sum.in_trampolines > 0);
    EXPECT(sum.breakpoints > 0);
    EXPECT(sum.shadow.in_handlers > 0);
    EXPECT(sum.shadow.moves > 0);
    EXPECT_EQUAL(sum.shadow.left_out, 0);
    for (unsigned form = 0; form < STEP_FORMS; form++)
        EXPECT(sum.at_sites[form] > 0);
    print_stepped_sites();
    expect_all_forms();
}

/* ---- What the union is for ---- */

static void step_without_union(void) {
    REQUIRE_NATIVE();
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    forget_stepped_places();
    struct steps_report report = step_with_shadow(run_flags, STEPS_OF_A_CASE);
    EXPECT_EQUAL(report.shadow.wrong, 0);
    EXPECT(report.in_sites >= 7);
    forget_table();
    struct tp_unwind_table narrowed;
    REQUIRE(narrow_table(&narrowed));
    REQUIRE_OK(tp_unwind_add(&narrowed));
    struct steps_report wrong = step_with_shadow(run_flags, STEPS_OF_A_CASE);
    EXPECT_OK(tp_unwind_remove(&narrowed));
    EXPECT_EQUAL(wrong.steps, report.steps);
    print_format("# without the union %lu of %lu walks are wrong, %lu of them inside sites\n", wrong.shadow.wrong,
                 wrong.shadow.walks, wrong.shadow.wrong_in_sites);
    /* Two walks each between pushf and pop, and between push and popf, in two assembler functions, and in run_flags() if
     * rsp is counted from; and between push and pop. */
    EXPECT(wrong.shadow.wrong == 10 || wrong.shadow.wrong == 14);
    EXPECT_EQUAL(wrong.shadow.wrong_in_sites, wrong.shadow.wrong);
}

KTAP_SUITE(unwind_steps, {"at every instruction of other suites", step_suites},
           {"without the union, walks inside sites are wrong", step_without_union});
