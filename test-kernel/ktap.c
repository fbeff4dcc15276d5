/* SPDX-License-Identifier: MIT */
#include "ktap.h"

#include <textpatch/engine.h>

#include "platform.h"

enum { FAILURES_PRINTED = 8 };

static unsigned number; /* of the last result */
static unsigned failures;
static const char *skipped;

void print_plan(unsigned count) {
    print_format("KTAP version 1\n1..%u\n", count);
}

void skip_case(const char *reason) {
    skipped = reason;
}

/* Whether this failure is one of those to be told. */
static bool count_failure(const char *function, int line) {
    failures++;
    if (failures <= FAILURES_PRINTED)
        print_format("# %s, line %d: ", function, line);
    else if (failures == FAILURES_PRINTED + 1)
        print_format("# more failures are not shown\n");
    return failures <= FAILURES_PRINTED;
}

bool expect(bool held, const char *what, const char *function, int line) {
    if (!held && count_failure(function, line))
        print_format("not so: %s\n", what);
    return held;
}

bool expect_equal(uint64_t found, uint64_t expected, const char *what, const char *function, int line) {
    if (found != expected && count_failure(function, line))
        print_format("%s: 0x%lx, expected 0x%lx\n", what, found, expected);
    return found == expected;
}

bool expect_status(enum tp_status found, enum tp_status expected, const char *what, const char *function,
                   int line) {
    if (found == expected)
        return true;
    if (count_failure(function, line)) {
        char message[TP_MESSAGE_MAX];
        tp_format_error(tp_last_error(), message, sizeof message);
        print_format("%s: %s, expected: %s\n#   last error: %s\n", what, tp_status_text(found),
                     tp_status_text(expected), message);
    }
    return false;
}

static bool same_text(const char *left, const char *right) {
    while (*left && *left == *right) {
        left++;
        right++;
    }
    return *left == *right;
}

bool expect_text(const char *found, const char *expected, const char *function, int line) {
    bool held = found && same_text(found, expected);
    if (!held && count_failure(function, line))
        print_format("\"%s\", expected \"%s\"\n", found ? found : "(none)", expected);
    return held;
}

static void print_bytes(const char *what, const volatile uint8_t *bytes, size_t length) {
    print_format("%s", what);
    for (size_t i = 0; i < length; i++)
        print_format(" %02x", bytes[i]);
}

bool expect_bytes(const void *found, const uint8_t *expected, size_t length, const char *function, int line) {
    const volatile uint8_t *text = found;
    size_t same = 0;
    while (same < length && text[same] == expected[same])
        same++;
    if (same == length)
        return true;
    if (count_failure(function, line)) {
        print_format("at %p", found);
        print_bytes(" stands", text, length);
        print_bytes(", expected", expected, length);
        print_format("\n");
    }
    return false;
}

static bool run_case(const struct ktap_suite *suite, const struct ktap_case *test,
                     const struct ktap_frame *frame) {
    failures = 0;
    skipped = NULL;
    frame->before();
    test->run();
    frame->after();
    print_format("%s %u - %s: %s", failures ? "not ok" : "ok", ++number, suite->name, test->name);
    if (skipped)
        print_format(" # SKIP %s", skipped);
    print_format("\n");
    return failures == 0;
}

unsigned run_suite(const struct ktap_suite *suite, const struct ktap_frame *frame) {
    unsigned failed = 0;
    for (unsigned i = 0; i < suite->count; i++)
        if (!run_case(suite, &suite->cases[i], frame))
            failed++;
    return failed;
}
