/* SPDX-License-Identifier: MIT */
/*
 * Where errors go. Any floor may fail; it says so once, here, and hands the status up.
 */
#ifndef TP_REPORT_H
#define TP_REPORT_H

#include <textpatch/engine.h>

/*
 * For what runs once, or never: compilers then prefer small code to fast code, and keep it out of the way. Static
 * functions that only such ones call follow suit.
 */
#define TP_COLD __attribute__((cold))

/* Keeps the error for tp_last_error(), gives it to the port's log, and returns its status. */
TP_COLD enum tp_status tp_fail(const struct tp_error *error);
/* The same for an error that is no more than its status. */
TP_COLD enum tp_status tp_fail_with(enum tp_status status);

/* Fills found, expected, shown and offset, so that the first difference is among the bytes shown. */
void tp_show_bytes(struct tp_error *error, const uint8_t *found, const uint8_t *expected);

/* Makes an earlier error the last one again. */
TP_COLD void tp_keep_error(const struct tp_error *error);
void tp_forget_errors(void);

#endif
