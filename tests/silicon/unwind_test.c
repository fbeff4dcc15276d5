/* SPDX-License-Identifier: MIT */
/*
 * Walks (textpatch/unwind.h) at every instruction that this machine's CPU executes of code with sites of every kind, and
 * of the library while it changes them live: unwind_steps.h. The program's table is the tool's, as a kernel's is.
 *
 * Cases
 *   every_instruction    pristine, applied, after each of many changes and in the middle of each, at every step of the
 *                        protocol, with int3s in the text; reverted. At least 10^6 steps. Every walk finds what calls,
 *                        returns and int3s say: at sites in every form, inside them, in trampolines, in #BP's entries and
 *                        handler before, while and after something is moved. Negative control: at some int3s a walk that
 *                        takes rip as it is, behind the int3, is wrong
 *   without_the_union    negative control: a table whose entries of a site all say what its first does is wrong where
 *                        rsp is not what it was there, between push and pop, and nowhere else
 */
#include "harness.h"

#include <textpatch/unwind.h>

#include "unwind_sites.h"
#include "unwind_steps.h"

enum { STEPS_LEAST = 1000000 };

static struct tp_unwind_table table;
/* Failures in stepped code, where cmocka must not jump away: the first one. */
static const char *failure;
static unsigned failure_line;

static void note_failure(const char *what, unsigned line) {
    if (!failure)
        failure_line = line;
    failure = failure ? failure : what;
}
#define LOOK(good)                                                                                             \
    do {                                                                                                       \
        if (!(good))                                                                                           \
            note_failure(#good, __LINE__);                                                                     \
    } while (0)
#define LOOK_OK(call) LOOK((call) == TP_OK)

static int start_unwinding(void **state) {
    start_process(state);
    start_trapping();
    must(tp_kernel_unwind_table(&table));
    table.stays = false;
    return 0;
}

/* As the linker has left all sites; changes go by int3, wherever they can. */
static int start_pristine(void **state) {
    (void)state;
    static const struct tp_live_options by_int3 = {.least_class = TP_CLASS_TRAP,
                                                   .least_assurance = TP_ASSURANCE_VENDOR};
    silicon_reset();
    program = (struct tp_image){.name = "program"};
    silicon_program_image(&program);
    must(tp_init(&silicon_port));
    must(tp_set_live_options(&by_int3));
    must(tp_image_add(&program));
    must(tp_set_cpu_count(2));
    must(tp_unwind_add(&table));
    return 0;
}

static int finish(void **state) {
    (void)state;
    must(tp_unwind_remove(&table));
    must(tp_finish());
    return 0;
}

/* ---- Every instruction ---- */

static void use_all(void) {
    LOOK(use_sites());
}

static void use_meanwhile(const struct tp_trace *step) {
    (void)step;
    use_all();
}

static void change(void *cell, uint64_t value) {
    LOOK_OK(tp_batch_set(cell, value));
}
#define CHANGE(cell, function) change(&(cell), (uint64_t)(uintptr_t)(function))

static void begin_changes(void) {
    LOOK_OK(tp_batch_begin());
}

static void make_changes(void) {
    LOOK_OK(tp_batch_take_features());
    LOOK_OK(tp_batch_commit());
    use_all();
}

/* Inline forms become calls, calls become inline forms. */
static void change_all(void) {
    begin_changes();
    CHANGE(unwind_ops.save, save_flags_far);
    CHANGE(unwind_ops.restore, restore_flags_far);
    CHANGE(unwind_ops.pass, pass_far);
    CHANGE(unwind_ops.tail, pass_by_stack);
    CHANGE(tp_static_call_unwind_call, pass_by_stack);
    change(&unwind_key, true);
    LOOK_OK(tp_feature_set(UNWIND_PUSH_ONE));
    LOOK_OK(tp_feature_set(UNWIND_PUSH_TWO));
    make_changes();
}

static void change_to_nothing(void) {
    unwind_targets_pass = false;
    begin_changes();
    CHANGE(unwind_ops.pass, tp_identity64);
    CHANGE(unwind_ops.tail, tp_nop_function);
    CHANGE(tp_static_call_unwind_call, tp_nop_function);
    make_changes();
    LOOK_OK(tp_static_call_update_ret0(unwind_call));
    use_all();
}

static void change_back(void) {
    begin_changes();
    CHANGE(unwind_ops.save, save_flags);
    CHANGE(unwind_ops.restore, restore_flags);
    CHANGE(unwind_ops.pass, pass_by_stack);
    CHANGE(unwind_ops.tail, pass_far);
    LOOK_OK(tp_feature_clear(UNWIND_PUSH_ONE));
    LOOK_OK(tp_feature_clear(UNWIND_PUSH_TWO));
    make_changes();
    LOOK_OK(tp_static_call_update(unwind_call, pass_far));
    LOOK_OK(tp_static_key_disable(unwind_key));
    LOOK_OK(tp_op_update(unwind_ops.tail, pass_by_stack));
    LOOK_OK(tp_op_update(unwind_ops.tail, pass_far));
    unwind_targets_pass = true;
    use_all();
}

static void live_through_all(void) {
    use_all();
    LOOK_OK(tp_apply());
    use_all();
    LOOK_OK(tp_cpus_running(true));
    silicon_port.trace = use_meanwhile;
    change_all();
    change_to_nothing();
    change_back();
    LOOK_OK(tp_revert());
    silicon_port.trace = NULL;
    use_all();
    LOOK_OK(tp_cpus_running(false));
}

static void must_be_right(const struct step_counts *counts) {
    if (counts->shadow.wrong)
        print_shadow_fault(&counts->shadow);
    assert_int_equal(counts->shadow.wrong, 0);
    assert_int_equal(counts->misjudged, 0);
    if (failure)
        fail_msg("%s, line %u", failure, failure_line);
}

static void every_instruction(void **state) {
    struct step_counts counts;
    (void)state;
    step_on_cpu(live_through_all, &counts);
    print_step_counts(&counts);
    must_be_right(&counts);
    assert_true(counts.steps >= STEPS_LEAST);
    assert_true(counts.displaced > 0 && counts.in_sites > counts.displaced);
    assert_true(counts.in_trampolines > 0);
    assert_true(counts.breakpoints > 0);
    assert_true(counts.lost_at_int3 > 0 && counts.lost_at_int3 < counts.breakpoints);
    assert_true(counts.shadow.in_handlers > 0);
    assert_true(counts.shadow.moves > 0);
    for (unsigned form = 0; form < STEP_FORMS; form++)
        assert_true(counts.at_sites[form] > 0);
}

/* ---- What the union is for ---- */

static struct tp_orc_entry *narrowed_entries;

static bool narrow(const struct tp_site_info *site, void *argument) {
    const struct tp_unwind_table *narrowed = argument;
    uint32_t start = (uint32_t)(site->address - narrowed->text_start), first = 0;
    for (uint32_t i = 0; i < narrowed->count && narrowed->ips[i] < start + site->length; i++) {
        if (narrowed->ips[i] <= start)
            first = i;
        else
            narrowed_entries[i] = narrowed_entries[first];
    }
    return true;
}

static struct tp_unwind_table narrow_table(void) {
    struct tp_unwind_table narrowed = table;
    narrowed_entries = malloc(table.count * sizeof *narrowed_entries);
    assert_non_null(narrowed_entries);
    memcpy(narrowed_entries, table.entries, table.count * sizeof *narrowed_entries);
    narrowed.entries = narrowed_entries;
    tp_for_each_site(narrow, &narrowed);
    return narrowed;
}

static void use_pushing(void) {
    LOOK(use_pushing_sites());
}

static void without_the_union(void **state) {
    struct step_counts right, wrong;
    (void)state;
    must(tp_feature_set(UNWIND_PUSH_ONE));
    must(tp_feature_set(UNWIND_PUSH_TWO));
    must(tp_apply());
    step_on_cpu(use_pushing, &right);
    must_be_right(&right);
    must(tp_unwind_remove(&table));
    struct tp_unwind_table narrowed = narrow_table();
    must(tp_unwind_add(&narrowed));
    displaced_are_wrong = true;
    step_on_cpu(use_pushing, &wrong);
    displaced_are_wrong = false;
    must(tp_unwind_remove(&narrowed));
    free(narrowed_entries);
    printf("# without the union %lu of %lu walks are wrong, %lu of them inside sites\n", wrong.shadow.wrong,
           wrong.shadow.walks, wrong.shadow.wrong_in_sites);
    assert_int_equal(wrong.steps, right.steps);
    assert_int_equal(wrong.misjudged, 0);
    assert_int_equal(wrong.shadow.wrong, right.displaced);
    assert_int_equal(wrong.shadow.wrong_in_sites, wrong.shadow.wrong);
    assert_true(wrong.shadow.wrong >= 10);
    must(tp_unwind_add(&table));
    must(tp_revert());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_instruction, start_pristine, finish),
        cmocka_unit_test_setup_teardown(without_the_union, start_pristine, finish),
    };
    return cmocka_run_group_tests(tests, start_unwinding, NULL);
}
