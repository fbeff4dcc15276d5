/* SPDX-License-Identifier: MIT */
/*
 * Static calls, 64 in a row: those of call_sites() are sites, which the host tool has found in this program; those of
 * call_trampoline() it was told to leave alone (bench/CMakeLists.txt).
 */
#include "bench.h"

#include <textpatch/textpatch.h>

#include "unwind.h"

enum { DENSE = 64, LOOPS = 6000, PAIRS = 301 };

extern unsigned long bench_increment(unsigned long value);
__asm__(".pushsection .text\n\t"
        ".balign 64\n\t.type bench_increment, @function\nbench_increment:\n\t"
        ".cfi_startproc\n\tlea 1(%rdi), %rax\n\tret\n\t.cfi_endproc\n\t.size bench_increment, . - bench_increment\n\t"
        ".popsection\n");

TP_DEFINE_STATIC_CALL(increment, bench_increment);

#define TIMES_4(statement) statement; statement; statement; statement
#define TIMES_64(statement) TIMES_4(TIMES_4(TIMES_4(statement)))
#define LOOP_FUNCTION(name, function)                                                                          \
    __attribute__((noinline, aligned(64))) static void name(unsigned long times) {                             \
        unsigned long value = times;                                                                           \
        do {                                                                                                   \
            TIMES_64(value = function(value));                                                                 \
        } while (--times);                                                                                     \
        __asm__ volatile("" : : "r"(value));                                                                   \
    }
LOOP_FUNCTION(call_sites, tp_static_call(increment))
LOOP_FUNCTION(call_trampoline, tp_static_call(increment))
LOOP_FUNCTION(call_by_hand, bench_increment)

static void (*timed)(unsigned long);

static double time_one(void (*function)(unsigned long)) {
    function(1);
    uint64_t start = bench_ticks();
    function(LOOPS);
    return (double)(bench_ticks() - start);
}

static double time_calls(void) {
    return time_one(timed);
}

static double time_hand(void) {
    return time_one(call_by_hand);
}

static void row(const char *name, void (*function)(unsigned long)) {
    static const struct bench_pair pair = {time_calls, time_hand};
    timed = function;
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row(name, &result, bench_nanoseconds() / (DENSE * LOOPS), "ns");
}

/* A function of 64 calls is shorter than this. */
enum { FUNCTION_MAX = DENSE * 8 + 64 };

struct census {
    uintptr_t start;
    unsigned count;
};

static bool count_site(const struct tp_site_info *site, void *argument) {
    struct census *census = argument;
    bool inside = site->address - census->start < FUNCTION_MAX;
    census->count += inside && site->kind == TP_KIND_STATIC_CALL;
    return true;
}

static unsigned count_sites(void (*function)(unsigned long)) {
    struct census census = {.start = (uintptr_t)function};
    tp_for_each_site(count_site, &census);
    return census.count;
}

void bench_static_calls(void) {
    if (count_sites(call_sites) < DENSE)
        bench_die("unwind: the calls of call_sites() are no sites: this program was linked without the host tool");
    if (count_sites(call_trampoline) > 0)
        bench_die("unwind: calls of call_trampoline() are sites");
    row("static_call.inline", call_sites);
    row("static_call.trampoline", call_trampoline);
}
