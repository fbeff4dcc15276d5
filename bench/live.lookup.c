/* SPDX-License-Identifier: MIT */
/*
 * What #BP needs to decide, with int3 bytes on all N sites: a batch is stopped behind its first sync, as by a silent
 * CPU. Each question waits for the answer before, as traps do.
 */
#include "live.h"

enum { PAIRS = 101, QUESTIONS = 4096 };

static struct crowd crowd;
static uintptr_t questions[QUESTIONS];

static uint32_t random_below(uint32_t limit) {
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

/* 0, but the compiler and the CPU have to wait for `value` to know. */
static inline uintptr_t wait_for(uintptr_t value) {
    __asm__ volatile("and $0, %0" : "+r"(value) : : "cc");
    return value;
}

static double ask_all(void) {
    static uint64_t stack[64];
    struct tp_regs regs = {.rflags = 0x202};
    uintptr_t answer = 0;
    double start = live_now();
    for (unsigned i = 0; i < QUESTIONS; i++) {
        regs.rsp = (uintptr_t)&stack[32];
        regs.rip = questions[i] + 1 + wait_for(answer);
        if (tp_handle_breakpoint(&regs) != TP_BREAKPOINT_RESUME)
            bench_die("live: an int3 of the library is foreign");
        answer = regs.rip;
    }
    return (live_now() - start) / QUESTIONS;
}

static double read_all(void) {
    uintptr_t answer = 0;
    double start = live_now();
    for (unsigned i = 0; i < QUESTIONS; i++)
        answer = *(const volatile uint8_t *)(questions[i] + wait_for(answer));
    return (live_now() - start) / QUESTIONS;
}

/* The second time, so that what was done before doesn't matter. */
static double time_handler(void) {
    ask_all();
    return ask_all();
}

static double time_reads(void) {
    read_all();
    return read_all();
}

static void time_lookup(unsigned sites) {
    static const struct bench_pair pair = {time_handler, time_reads};
    char name[40];
    crowd_build(&crowd, sites, sites > CROWD_CALLS_MAX ? CROWD_CALLS_MAX : 1, true);
    live_start(&live_traps, &crowd);
    for (unsigned i = 0; i < QUESTIONS; i++)
        questions[i] = crowd_address(&crowd, random_below(sites));
    live_must(tp_batch_begin());
    for (unsigned i = 0; i < crowd.calls; i++)
        live_must(tp_batch_set(&crowd.cells[i], (uintptr_t)value_2));
    silicon_reset();
    silicon_control.silent_sync = 2;
    if (tp_batch_commit() != TP_ERR_CPU_SILENT)
        bench_die("live: the batch didn't stop");
    snprintf(name, sizeof name, "live.bp_lookup.%u", sites);
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row(name, &result, 1, "ns");
    silicon_reset();
    live_must(tp_batch_resume());
    live_stop();
}

void live_time_lookups(void) {
    static const unsigned sizes[] = {1, 16, 256, 4096, 65536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        time_lookup(sizes[i]);
}
