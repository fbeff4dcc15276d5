/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: one CPU, paired measurements, rows.
 *
 * How it works
 *   The machine is rarely idle, and its clock moves. So nothing is compared across time: each sample is a pair, the
 *   measured code and its reference right after each other, in an order that alternates. A row's ratio is the median of
 *   the pairs' ratios, its reference the median of the references, and its value the product of the two.
 */
#ifndef BENCH_H
#define BENCH_H

/* For sched.h and sys/mman.h: include this header before all others. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_PAIRS_MAX = 1001 };

/* The last CPU that we may use: interrupts tend to go to the first. */
static inline void bench_pin(void) {
    cpu_set_t allowed, one;
    int last = -1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            last = cpu;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        fprintf(stderr, "bench: not pinned to one CPU\n");
}

static inline __attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...) {
    __builtin_va_list arguments;
    __builtin_va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    __builtin_va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Nothing before it is still under way when it reads the time stamp, and nothing behind it has begun. */
static inline uint64_t bench_ticks(void) {
    uint32_t low, high;
    __asm__ volatile("mfence\n\tlfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline int bench_compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the samples. */
static inline double bench_median(double *samples, unsigned count) {
    qsort(samples, count, sizeof *samples, bench_compare);
    return samples[count / 2];
}

struct bench_result {
    double value, reference, ratio;
    double low, high; /* quartiles of the ratio: how noisy the run was */
};

/* One sample of each kind: ticks for whatever the caller counts as one pass. */
struct bench_pair {
    double (*measured)(void);
    double (*reference)(void);
};

static inline struct bench_result bench_compare_pair(const struct bench_pair *pair, unsigned pairs) {
    static double ratios[BENCH_PAIRS_MAX], references[BENCH_PAIRS_MAX];
    for (unsigned i = 0; i < pairs; i++) {
        double value = 0;
        if (i % 2)
            value = pair->measured();
        references[i] = pair->reference();
        if (i % 2 == 0)
            value = pair->measured();
        ratios[i] = value / references[i];
    }
    struct bench_result result = {.reference = bench_median(references, pairs), .ratio = bench_median(ratios, pairs)};
    result.value = result.reference * result.ratio;
    result.low = ratios[pairs / 4];
    result.high = ratios[pairs - 1 - pairs / 4];
    return result;
}

/* `scale` turns ticks of a pass into the unit. */
static inline void bench_row(const char *name, const struct bench_result *result, double scale, const char *unit) {
    printf("%s,%.3f,%s,%.3f,%.3f\n", name, result->value * scale, unit, result->reference * scale, result->ratio);
    fprintf(stderr, "%-20s half of the ratios lie in %.3f to %.3f\n", name, result->low, result->high);
}

#endif
