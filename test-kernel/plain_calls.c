/* SPDX-License-Identifier: MIT */
#include "plain_calls.h"

#include "one_copy.h"

long value_plus_one(long value) { return value + 1; }
long value_times_ten(long value) { return value * 10; }
TP_DEFINE_STATIC_CALL(inline_value, value_plus_one);

void note_more(long *to, long by) { *to += by; }
void note_alone(long *to, long by) { *to = by; }
TP_DEFINE_STATIC_CALL_NULL(inline_note, note_more);

/* ---- The calls ---- */

ONE_COPY long value_in_middle(long value) { return tp_static_call(inline_value)(value) + BEHIND; }
ONE_COPY long value_twice(long value) {
    return tp_static_call(inline_value)(tp_static_call(inline_value)(value) + BEHIND);
}
/* A jmp, unless the compiler does without. */
ONE_COPY long value_last(long value) { return tp_static_call(inline_value)(value - 1); }
ONE_COPY void note_last(long *to, long by) { tp_static_call(inline_note)(to, by); }
ONE_COPY long note_in_middle(long start, long by) {
    long note = start;
    tp_static_call(inline_note)(&note, by);
    return note + BEHIND;
}

/* ---- Whether they are sites ---- */

/* A site of some static call that lies at or behind an address, within what these functions have of text. */
static bool is_found(const void *function, const void *cell, struct tp_site_info *info) {
    enum { FUNCTION_MAX = 128 };
    uintptr_t start = (uintptr_t)function;
    for (uintptr_t at = start; at < start + FUNCTION_MAX; at++)
        if (tp_describe_site(at, info))
            return info->kind == TP_KIND_STATIC_CALL && info->cell == cell;
    return false;
}

bool calls_are_found(void) {
    struct tp_site_info info;
    return is_found((const void *)value_in_middle, &tp_static_call_inline_value, &info);
}
