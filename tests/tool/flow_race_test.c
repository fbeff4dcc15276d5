/* SPDX-License-Identifier: MIT */
/*
 * A walk over another thread's stack, which that thread goes on to use: the hook that is asked for a stack changes the frame
 * that is being looked at. What has been checked has to be what is used, or walks have no end.
 *
 *   registers   rip, cs, rsp, rbp and vector of a struct tp_regs change, to what would have been refused
 *   words       the same with five words
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <textpatch/regs.h>
#include <textpatch/unwind.h>

enum { TEXT = 0x1000000, WORDS_TEXT = 256, TEXT_SIZE = 512, OTHER_RIP = TEXT + 32, USER_CS = 3 };

static struct {
    uint64_t below[4];
    struct tp_regs regs;
    uint64_t above[4];
} stack;
static uint64_t other_stack[8];
static unsigned changes;

static void change(void) {
    changes++;
    stack.regs.rip = TEXT + WORDS_TEXT - 1;
    stack.regs.cs = USER_CS;
    stack.regs.rsp = (uintptr_t)&stack; /* lower than the walk is */
    stack.regs.rbp = 0xbad;
    stack.regs.vector = 3;
}

static bool find_stack(uintptr_t sp, struct tp_stack *out, void *argument) {
    (void)argument;
    if (sp - (uintptr_t)other_stack <= sizeof other_stack) {
        *out = (struct tp_stack){(uintptr_t)other_stack, (uintptr_t)(other_stack + 8)};
        change();
        return true;
    }
    *out = (struct tp_stack){(uintptr_t)&stack, (uintptr_t)(&stack + 1)};
    return sp >= out->start && sp <= out->end;
}

static struct tp_unwind walk_from(uintptr_t ip, uintptr_t sp) {
    static const uint32_t ips[] = {0, WORDS_TEXT}, blocks[] = {0, 1};
    static const struct tp_orc_entry entries[] = {{0, 0, TP_ORC_BASE_SP, TP_ORC_REGS}, {0, 0, TP_ORC_BASE_SP, TP_ORC_WORDS}};
    static struct tp_unwind_table table = {.text_start = TEXT, .text_size = TEXT_SIZE, .count = 2, .ips = ips,
                                           .blocks = blocks, .entries = entries};
    struct tp_unwind frame;
    memset(&stack, 0, sizeof stack);
    changes = 0;
    stack.regs.rip = OTHER_RIP;
    stack.regs.rsp = (uintptr_t)&other_stack[4];
    stack.regs.rbp = 0x600d;
    assert_int_equal(tp_unwind_add(&table), TP_OK);
    tp_unwind_start_at(&frame, ip, sp, 0x600d, find_stack, NULL);
    assert_true(tp_unwind_next(&frame));
    assert_int_equal(changes, 1);
    assert_int_equal(tp_unwind_remove(&table), TP_OK);
    return frame;
}

static void expect_first_values(const struct tp_unwind *frame) {
    assert_int_equal(frame->ip, OTHER_RIP);
    assert_int_equal(frame->sp, (uintptr_t)&other_stack[4]);
    assert_int_equal(frame->bp, 0x600d);
    assert_false(frame->behind);
}

static void test_registers(void **state) {
    (void)state;
    struct tp_unwind frame = walk_from(TEXT + 16, (uintptr_t)&stack.regs);
    expect_first_values(&frame);
}

static void test_words(void **state) {
    (void)state;
    struct tp_unwind frame = walk_from(TEXT + WORDS_TEXT + 16, (uintptr_t)&stack.regs.rip);
    expect_first_values(&frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_registers), cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
