/* SPDX-License-Identifier: MIT */
/*
 * Calls that must answer with a given status.
 *
 * Calls
 *   expect()       the status, and what can be checked of any error; the status then counts as seen[]
 *   start_crowd()  an image of many good sites, among which a bad one is put
 *   ignore_edit()  for tp_plan()
 */
#ifndef TP_TEST_EXPECT_H
#define TP_TEST_EXPECT_H

#include "bad_records.h"

static bool seen[TP_STATUS_COUNT];

/* Checks what can be checked of any error, and notes its status. */
#define expect(status, call) expect_status(status, call, #call)
static inline void expect_status(enum tp_status expected, enum tp_status status, const char *call) {
    char message[TP_MESSAGE_MAX];
    tp_format_error(tp_last_error(), message, sizeof message);
    if (status != expected)
        fail_msg("%s: %s, not %s; last: %s", call, tp_status_text(status), tp_status_text(expected), message);
    seen[status] = true;
    if (status == TP_OK)
        return;
    assert_int_equal(tp_last_error()->status, status);
    assert_non_null(strstr(message, tp_status_text(status)));
}

static inline bool ignore_edit(const struct tp_edit_info *info, void *argument) {
    (void)info, (void)argument;
    return true;
}

static inline struct world *start_crowd(unsigned count) {
    struct world *world = start_library();
    wanted = (struct tp_error){.status = TP_OK};
    add_good_keys(world);
    put_good(world, count);
    return world;
}

#endif
