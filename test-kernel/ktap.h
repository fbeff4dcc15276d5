/* SPDX-License-Identifier: MIT */
/*
 * What a suite is made of. Each file in suites/ defines one:
 *
 *   static void disables_interrupts(void) { EXPECT(interrupts_are_masked()); }
 *   KTAP_SUITE(irq, {"irq_disable masks", disables_interrupts}, …);
 *
 * and main.c lists it. Results are printed as KTAP, version 1: one line a case.
 *
 * EXPECT… go on after a failure, REQUIRE returns from the case. Only the first failures of a case are printed.
 */
#ifndef KTAP_H
#define KTAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/status.h>

#include "one_copy.h"

struct ktap_case {
    const char *name;
    void (*run)(void);
};

struct ktap_suite {
    const char *name;
    const struct ktap_case *cases;
    unsigned count;
};

#define KTAP_SUITE(suite, ...)                                                                               \
    static const struct ktap_case suite##_cases[] = {__VA_ARGS__};                                           \
    const struct ktap_suite suite_##suite = {#suite, suite##_cases,                                          \
                                             sizeof(suite##_cases) / sizeof(suite##_cases[0])}

void print_plan(unsigned count);

/* What stands around each case. */
struct ktap_frame {
    void (*before)(void);
    void (*after)(void); /* may fail the case too */
};

/* Returns how many of the suite's cases failed. */
unsigned run_suite(const struct ktap_suite *suite, const struct ktap_frame *frame);

/* A case that says why it can't run here; it returns then. */
void skip_case(const char *reason);
#define SKIP(reason)                                                                                         \
    do {                                                                                                     \
        skip_case(reason);                                                                                   \
        return;                                                                                              \
    } while (0)

/* Each returns whether it held. */
bool expect(bool held, const char *what, const char *function, int line);
bool expect_equal(uint64_t found, uint64_t expected, const char *what, const char *function, int line);
bool expect_status(enum tp_status found, enum tp_status expected, const char *what, const char *function,
                   int line);
bool expect_text(const char *found, const char *expected, const char *function, int line);
bool expect_bytes(const void *found, const uint8_t *expected, size_t length, const char *function, int line);

#define EXPECT(condition) expect(condition, #condition, __func__, __LINE__)
#define EXPECT_EQUAL(found, expected)                                                                        \
    expect_equal((uint64_t)(found), (uint64_t)(expected), #found, __func__, __LINE__)
#define EXPECT_STATUS(call, status) expect_status(call, status, #call, __func__, __LINE__)
#define EXPECT_OK(call) EXPECT_STATUS(call, TP_OK)
#define EXPECT_TEXT(found, expected) expect_text(found, expected, __func__, __LINE__)
#define EXPECT_BYTES(address, ...)                                                                           \
    expect_bytes((const void *)(address), (const uint8_t[]){__VA_ARGS__},                                    \
                 sizeof((const uint8_t[]){__VA_ARGS__}), __func__, __LINE__)

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!EXPECT(condition))                                                                              \
            return;                                                                                          \
    } while (0)
#define REQUIRE_OK(call)                                                                                     \
    do {                                                                                                     \
        if (!EXPECT_OK(call))                                                                                \
            return;                                                                                          \
    } while (0)

#endif
