/* SPDX-License-Identifier: MIT */
/*
 * A module: calls of static calls in plain C, the kernel's and one of its own. The suites modules and live_modules load it.
 */
#include "calls.h"

#include "one_copy.h"

ONE_COPY static long value_in_middle(long value) { return tp_static_call(kernel_value)(value) + BEHIND; }
ONE_COPY static long value_last(long value) { return tp_static_call(kernel_value)(value - 1); }
ONE_COPY static long note_in_middle(long start, long by) {
    long note = start;
    tp_static_call(kernel_note)(&note, by);
    return note + BEHIND;
}
ONE_COPY static void note_last(long *to, long by) { tp_static_call(kernel_note)(to, by); }

static long times_three(long value) { return value * 3; }
static void twice(long *to, long by) { *to += 2 * by; }
TP_DEFINE_STATIC_CALL(module_own, times_three);
ONE_COPY static long own_in_middle(long value) { return tp_static_call(module_own)(value) + BEHIND; }

TP_DEFINE_STATIC_KEY_FALSE(module_key);
ONE_COPY static long branch(void) { return tp_static_branch_unlikely(module_key) ? 1 : 0; }

/* In assembler. */
long module_value_called(long value), module_value_jumped(long value), module_value_if_zero(long value, long selector);
long module_plus_seven(long value), module_alternative(void);

const struct module_calls module_calls = {
    .value_in_middle = value_in_middle,
    .value_last = value_last,
    .value_called = module_value_called,
    .value_jumped = module_value_jumped,
    .value_if_zero = module_value_if_zero,
    .note_in_middle = note_in_middle,
    .note_last = note_last,
    .own_in_middle = own_in_middle,
    .own_call = &tp_static_call_module_own,
    .times_three = times_three,
    .plus_seven = module_plus_seven,
    .twice = twice,
    .branch = branch,
    .key = &module_key,
    .alternative = module_alternative,
};
