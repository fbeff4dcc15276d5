/* SPDX-License-Identifier: MIT */
/*
 * Plain calls of two static calls, in all ways that there are, and what they may lead to. For the suites inline_calls and
 * live_inline_calls.
 */
#ifndef PLAIN_CALLS_H
#define PLAIN_CALLS_H

#include <stdbool.h>

#include <textpatch/textpatch.h>

/* ---- Targets ---- */

long value_plus_one(long value);
long value_times_ten(long value);
long value_plus_five(long value); /* inlined where a call stands: lea rax, [rdi + 5] */
TP_DECLARE_STATIC_CALL(inline_value, value_plus_one); /* of value_plus_one */

void note_more(long *to, long by);
void note_alone(long *to, long by);
void note_less(long *to, long by); /* inlined: sub [rdi], rsi */
TP_DECLARE_STATIC_CALL(inline_note, note_more); /* of none */

/* ---- Calls ---- */

enum { BEHIND = 100, PLAIN_CALLS = 9 };

long value_in_middle(long value); /* + BEHIND */
long value_twice(long value);     /* of the value of the value, + BEHIND in between */
long value_last(long value);      /* of the value - 1 */
void note_last(long *to, long by);
long note_in_middle(long start, long by); /* + BEHIND */
/* In assembler. */
long value_jumped(long value);                /* of the value + 1 */
long value_if_zero(long value, long selector); /* else -1 */
void note_if_not_zero(long *to, long by, long selector);

/* Whether the kernel was linked with the tool: asked of the running library. */
bool calls_are_found(void);
#define REQUIRE_FOUND(found)                                                                                  \
    do {                                                                                                     \
        if (!(found))                                                                                        \
            SKIP("this kernel was linked without the tool, so calls go by the trampoline");                  \
    } while (0)

#endif
