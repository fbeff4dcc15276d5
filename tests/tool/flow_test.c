/* SPDX-License-Identifier: MIT */
/*
 * How `textpatch orc` follows code, on the kernels of flow_good.S and flow_faults.S.
 *
 *   good      no complaint and no warning, though there is more assembler than compiled code; the library takes the table
 *   labels    behind a call, a label goes on with the stack as it is; what is a function, or is called, doesn't; what
 *             nothing leads to is undefined
 *   lost      a label that one way leads to with a known stack, and another with one that isn't known, is undefined, and so
 *             is what lies behind; in whatever order they are followed; the control: two ways with known ones
 *   rbp       saved and never changed; a call of the next instruction; a function that goes to another stack
 *   inline    inline assembler that goes to another stack, or uses rbp, is undefined or right, and known again behind that
 *   language  a description with a personality routine
 *   thread    a walk, by the library, from a switched stack to a thread's start; the negative control: without the padding's
 *             entry it would have been a function's
 *   stripped  a kernel that was linked with -S has lost its hints, which is said
 *   faults    each is refused, with its place; the control: no fault
 */
#include "frames.h"

static const char *paths; /* a directory with all of them */

static void use_kernel(const char *name) {
    free(pristine);
    free(bytes);
    pristine = bytes = NULL;
    read_file(format_text("%s/%s.elf", paths, name));
    restore();
    good = read_kernel("good", pristine, file_size);
}

static void use_good(void) {
    use_kernel("flow_good");
    assert_string_equal(orc_complaint_of(), "");
    assert_string_equal(warned, "");
    assert_true(table_is_sound());
}

static void test_good(void **state) {
    (void)state;
    use_good();
}

/* ---- Entries ---- */

static void expect_entry(const char *label, int type, int base, int offset, int rule, int bp_offset) {
    struct tp_orc_entry entry = entry_at(address_of(label));
    if ((entry.type & TP_ORC_TYPE) != type || (entry.registers & TP_ORC_BASE) != base || entry.sp_offset != offset ||
        (entry.registers & TP_ORC_BP) != rule || entry.bp_offset != bp_offset)
        fail_msg("%s: type %u, base %u, %d, rbp %u, %d", label, entry.type, entry.registers & TP_ORC_BASE, entry.sp_offset,
                 entry.registers & TP_ORC_BP, entry.bp_offset);
}

static void expect_call(const char *label, int offset) {
    expect_entry(label, TP_ORC_CALL, TP_ORC_BASE_SP, offset, TP_ORC_BP_SAME, 0);
}

static void expect_undefined(const char *label) { expect_entry(label, TP_ORC_UNDEFINED, 0, 0, 0, 0); }

static void test_labels(void **state) {
    (void)state;
    use_good();
    expect_call("loops", 8);
    expect_call("loops_again", 16);
    expect_call("loops_behind", 16);
    expect_call("loops_return", 8);
    expect_call("behind_stops", 8);
    expect_call("called_behind", 8);
    expect_call("calls_behind_label", 16);
    expect_undefined("lonely");
    expect_undefined("lonely_inside");
}

static void test_lost(void **state) {
    (void)state;
    use_good();
    expect_undefined("lost_second_here");
    expect_undefined("lost_second_behind");
    expect_undefined("lost_first_here");
    expect_undefined("lost_first_behind");
    expect_undefined("lost_late_here");
    expect_undefined("lost_late_behind");
    expect_call("lost_late", 8);
    expect_call("lost_nowhere_here", 8);
    expect_call("lost_nowhere_behind", 8);
}

static void test_bp(void **state) {
    (void)state;
    use_good();
    expect_call("asks_where_inside", 16);
    expect_call("saves_return", 8);
    expect_entry("another_stack", TP_ORC_CALL, TP_ORC_BASE_BP, 16, TP_ORC_BP_SAVED, -16);
    expect_call("another_return", 8);
}

static void test_inline(void **state) {
    (void)state;
    use_good();
    expect_undefined("irq_lost");
    expect_call("irq_found", 16);
    expect_undefined("word_lost");
    expect_call("word_found", 8);
    expect_undefined("variable_lost");
    expect_call("variable_found", 8);
    expect_undefined("exchange_lost");
    expect_call("exchange_found", 8);
    expect_undefined("not_found_lost");
    expect_entry("bp_pushed", TP_ORC_CALL, TP_ORC_BASE_SP, 16, TP_ORC_BP_SAVED, -16);
    expect_call("bp_popped", 8);
    expect_entry("bp_lost", TP_ORC_CALL, TP_ORC_BASE_SP, 8, TP_ORC_BP_UNKNOWN, 0);
    expect_call("bp_found", 8);
    expect_undefined("frame_lost");
    expect_entry("frame_found", TP_ORC_CALL, TP_ORC_BASE_BP, 16, TP_ORC_BP_SAVED, -16);
}

static void test_language(void **state) {
    (void)state;
    use_good();
    expect_call("other_language", 8);
    expect_call("other_inside", 16);
}

/* ---- A walk ---- */

static uint64_t stack[8]; /* of a thread that hasn't run yet, as its maker has filled it */

static bool find_stack(uintptr_t sp, struct tp_stack *out, void *argument) {
    (void)argument;
    *out = (struct tp_stack){(uintptr_t)stack, (uintptr_t)(stack + 8)};
    return sp >= out->start && sp <= out->end;
}

static struct tp_unwind walk_thread(uintptr_t start) {
    struct read_table read = read_table();
    const uint64_t text = find_section(good, ".text")->address;
    struct tp_unwind frame;
    stack[5] = 0x1111; /* rbp */
    stack[6] = 0x2222; /* rbx */
    stack[7] = start - text + read.table.text_start;
    assert_int_equal(tp_unwind_add(&read.table), TP_OK);
    tp_unwind_start_at(&frame, address_of("switched") - text + read.table.text_start, (uintptr_t)&stack[5], 0, find_stack,
                       NULL);
    while (tp_unwind_next(&frame))
        ;
    assert_int_equal(tp_unwind_remove(&read.table), TP_OK);
    assert_int_equal(frame.ip, stack[7]);
    free_table(&read);
    return frame;
}

static void test_thread(void **state) {
    (void)state;
    use_good();
    struct tp_unwind last = walk_thread(address_of("thread_start"));
    assert_int_equal(last.end, TP_UNWIND_OUTERMOST);
    assert_true(last.reliable);
    assert_int_equal(last.bp, 0x1111);
    last = walk_thread(address_of("before_start") + 1); /* a ret's, which wants a caller */
    assert_int_equal(last.end, TP_UNWIND_LOST);
    expect_entry("before_start", TP_ORC_CALL, TP_ORC_BASE_SP, 8, TP_ORC_BP_SAME, 0);
}

/* ---- Faults ---- */

static void test_stripped(void **state) {
    (void)state;
    use_kernel("flow_stripped");
    if (!strstr(orc_complaint_of(), "tp_breakpoint_entry needs it: its hints were stripped"))
        fail_msg("it says: %s", said);
}

static const struct {
    const char *name, *wanted;
    bool is_union; /* `check` finds it too */
} faults[] = {
    {"flow_fault_1", "faulty+0x6: this returns with a call, frame at rsp+16", false},
    {"flow_fault_2", "faulty+0x2: this returns with a call, frame at rsp+8, rbp lost", false},
    {"flow_fault_3", "faulty: this takes the return address off the stack", false},
    {"flow_fault_4", "faulty+0x1: this is called, and otherwise reached with a call, frame at rsp+16", false},
    {"flow_fault_5", "faulty+0x3: the hint here says a call, frame at rsp+16, rbp in place, but from faulty+0x1 on", false},
    {"flow_fault_6", "faulty+0x5: inline assembler leaves", false},
    {"flow_fault_7", "faulty: two forms of this site disagree at byte 4", true},
    {"flow_fault_8", "faulty: this form leaves for faulty+0x9 with another stack than that has", false},
    {"flow_fault_9", "faulty+0x1: from here compiled is reached with a call, frame at rsp+16, rbp in place, where .eh_frame says", false},
};

static unsigned count_lines(const char *text) {
    unsigned lines = 0;
    for (; *text; text++)
        lines += strncmp(text, "\ntextpatch: ", 12) == 0;
    return lines;
}

static void test_faults(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) {
        use_kernel(faults[i].name);
        if (!strstr(orc_complaint_of(), faults[i].wanted) || count_lines(said) != 0)
            fail_msg("%s: it says: %s", faults[i].name, said);
        if (faults[i].is_union && !strstr(complaint_of(), "two forms disagree at byte 4"))
            fail_msg("%s: check says: %s", faults[i].name, said);
    }
    use_kernel("flow_fault_0");
    assert_string_equal(orc_complaint_of(), "");
    assert_int_equal(warnings, 0);
    use_kernel("flow_fault_10");
    assert_string_equal(orc_complaint_of(), "");
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warned, "speaks of the lesser part of its functions in C"));
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),     cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_lost),     cmocka_unit_test(test_bp),
                                       cmocka_unit_test(test_inline),   cmocka_unit_test(test_language),
                                       cmocka_unit_test(test_thread),   cmocka_unit_test(test_stripped),
                                       cmocka_unit_test(test_faults)};
    if (count != 2)
        return 2;
    paths = words[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
