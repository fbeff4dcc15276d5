/* SPDX-License-Identifier: MIT */
/*
 * Walks by the table, and walks by frame pointers over the same stack.
 *
 * How it works
 *   Functions with frames of several sizes call each other in a mixed order, 80 deep, and both walks start at the bottom;
 *   all of it is compiled with frame pointers, so that both are right: what they found is compared first. Both look
 *   at each word's address before they read it, as a walk in an NMI must.
 */
#include "bench.h"

#include <textpatch/unwind.h>

#include "unwind.h"

enum { DEPTH = 80, WALKED = 64, OWN = 3, WALKS = 400, PAIRS = 301, STACK_SIZE = 1 << 20 };

static struct tp_stack stack;
static uintptr_t by_table[WALKED], by_pointers[WALKED];
static uintptr_t *found; /* NULL: nothing is kept */
static volatile uintptr_t sum;

static bool find_stack(uintptr_t sp, struct tp_stack *out, void *argument) {
    (void)argument;
    *out = stack;
    return sp >= stack.start && sp <= stack.end;
}

static void take(unsigned depth, uintptr_t ip) {
    if (found)
        found[depth] = ip;
    else
        sum ^= ip;
}

__attribute__((noinline)) static void walk_table(void) {
    struct tp_unwind frame;
    tp_unwind_here(&frame, find_stack, NULL);
    for (unsigned depth = 0; depth < WALKED; depth++) {
        if (!tp_unwind_next(&frame))
            bench_die("unwind: a walk ended after %u frames", depth);
        take(depth, frame.ip);
    }
    if (!frame.reliable)
        bench_die("unwind: a walk that is not reliable");
}

struct pointers {
    const struct pointers *next;
    uintptr_t ip;
};

__attribute__((noinline)) static void walk_pointers(void) {
    const struct pointers *at = __builtin_frame_address(0);
    uintptr_t low = stack.start;
    for (unsigned depth = 0; depth < WALKED; depth++) {
        uintptr_t address = (uintptr_t)at;
        if (address % 8 != 0 || address < low || address > stack.end - sizeof *at)
            bench_die("unwind: a frame pointer leads away after %u frames", depth);
        take(depth, at->ip);
        low = address + sizeof *at;
        at = at->next;
    }
}

static double time_walks(void (*walk)(void)) {
    uint64_t start = bench_ticks();
    for (unsigned i = 0; i < WALKS; i++)
        walk();
    return (double)(bench_ticks() - start);
}

static double time_table(void) {
    return time_walks(walk_table);
}

static double time_pointers(void) {
    return time_walks(walk_pointers);
}

/* But for the innermost ones, which call from different places. */
static void compare_walks(void) {
    found = by_table;
    walk_table();
    found = by_pointers;
    walk_pointers();
    found = NULL;
    if (memcmp(by_table + OWN, by_pointers + OWN, sizeof by_table - OWN * sizeof *by_table) != 0)
        bench_die("unwind: the two walks differ");
}

__attribute__((noinline)) static unsigned long measure(void) {
    static const struct bench_pair pair = {time_table, time_pointers};
    compare_walks();
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row("unwind.frame", &result, bench_nanoseconds() / ((double)WALKS * WALKED), "ns");
    return sum;
}

/* ---- The stack ---- */

typedef unsigned long chain_link(unsigned depth, unsigned long seed);
static unsigned long go_on(unsigned depth, unsigned long seed);

#define LINK(words)                                                                                            \
    __attribute__((noinline)) static unsigned long link_##words(unsigned depth, unsigned long seed) {          \
        volatile unsigned long room[words];                                                                    \
        room[seed % (words)] = depth;                                                                          \
        return go_on(depth, seed) + room[seed % (words)];                                                      \
    }
LINK(1)
LINK(2)
LINK(5)
LINK(8)
LINK(13)
LINK(20)
LINK(33)
LINK(64)

static inline __attribute__((always_inline)) unsigned long go_on(unsigned depth, unsigned long seed) {
    static chain_link *const links[] = {link_1, link_2, link_5, link_8, link_13, link_20, link_33, link_64};
    return depth ? links[seed >> 32 & 7](depth - 1, seed * 6364136223846793005 + 1442695040888963407) : measure();
}

void bench_frames(void) {
    static struct tp_unwind_table table;
    uintptr_t end = (uintptr_t)__builtin_frame_address(0);
    stack = (struct tp_stack){end - STACK_SIZE, end};
    if (tp_kernel_unwind_table(&table) != TP_OK || tp_unwind_add(&table) != TP_OK)
        bench_die("unwind: this program was linked without a table");
    (void)link_1(DEPTH, 1);
}
