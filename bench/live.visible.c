/* SPDX-License-Identifier: MIT */
/*
 * How long a store takes to be executed elsewhere. Both kinds are one aligned store, of 4 bytes, into a line that the
 * other CPU reads over and over: the operand of an instruction that it executes, or data that it loads. The store is
 * made by way of the alias, as the library makes it; what the library does before and after is not in it.
 */
#include "live.h"

enum { PAIRS = 301, STORES = 15 };

static struct watch {
    _Alignas(64) site_code *_Atomic code;
    atomic_bool ends;
    _Alignas(64) _Atomic uint64_t seen_at; /* 0 until the new number has been seen */
    _Alignas(64) pthread_t thread;
} watch;

static inline uint64_t ticks(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* Says when the number has changed, once it was seen to be what it is. */
static void *run_watch(void *unused) {
    silicon_pin(1);
    silicon_enter(1);
    while (!watch.ends) {
        site_code *code = watch.code;
        if (!code) {
            sched_yield();
            continue;
        }
        unsigned number = code(), next;
        watch.seen_at = 1;
        while ((next = code()) == number)
            ;
        atomic_store_explicit(&watch.seen_at, ticks(), memory_order_release);
        while (watch.seen_at != 0)
            __builtin_ia32_pause();
    }
    silicon_leave();
    return unused;
}

static uint64_t time_one(site_code *code, volatile uint32_t *number) {
    watch.code = code;
    while (watch.seen_at != 1)
        __builtin_ia32_pause();
    for (unsigned i = 0; i < 300; i++) /* until it is in its loop, and has the line */
        __builtin_ia32_pause();
    uint64_t start = bench_ticks();
    *number = *number + 1;
    while (watch.seen_at <= 1)
        __builtin_ia32_pause();
    uint64_t end = watch.seen_at;
    watch.code = NULL;
    watch.seen_at = 0;
    return end > start ? end - start : 0;
}

/* The median: a CPU that did something else meanwhile says nothing. */
static double time_stores(site_code *code, volatile uint32_t *number) {
    double samples[STORES];
    for (unsigned i = 0; i < STORES; i++)
        samples[i] = (double)time_one(code, number);
    return bench_median(samples, STORES);
}

static double time_text(void) {
    return time_stores(grid_number_code(), grid_number());
}

static double time_data(void) {
    return time_stores(grid_data_code(), grid_data());
}

static double ns_per_tick(void) {
    double start = live_now();
    uint64_t first = bench_ticks();
    while (live_now() - start < 2e7)
        ;
    uint64_t last = bench_ticks();
    return (live_now() - start) / (double)(last - first);
}

void live_time_visible(void) {
    static const struct bench_pair pair = {time_text, time_data};
    live_start(&live_stores, NULL); /* for tp_cpu_online() */
    peer_end(&live_peer);
    if (pthread_create(&watch.thread, NULL, run_watch, NULL) != 0)
        bench_die("live: no thread");
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row("live.visible", &result, ns_per_tick(), "ns");
    watch.ends = true;
    pthread_join(watch.thread, NULL);
    peer_start(&live_peer, 1);
    live_stop();
}
