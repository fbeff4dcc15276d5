/* SPDX-License-Identifier: MIT */
/*
 * Errors, and the memory of one run.
 *
 * What for
 *   Every input may be hostile: nothing here or above may crash on it. Errors are told on stderr and counted; a run that
 *   told one ends with status 1.
 *
 * Calls
 *   complain()        tells an error and goes on, so that one run tells all
 *   give_up()         tells an error and leaves run_guarded()
 *   run_guarded()     runs a function that may give up; frees what it allocated
 *   allocate()        zeroed memory that lives until then; never NULL
 *   format_text()     printf into such memory
 */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOOL_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))

/* What the messages begin with: the file in work. NULL: none. */
void name_input(const char *name);

/* Tests that read many files take the messages away; NULL: stderr. */
void set_listener(void (*listener)(const char *message));

TOOL_PRINTF(1, 2) void complain(const char *format, ...);
TOOL_PRINTF(1, 2) _Noreturn void give_up(const char *format, ...);
unsigned count_complaints(void);

/* Returns false if `run` gave up or complained. Frees what was allocated meanwhile. Not to be nested. */
bool run_guarded(void (*run)(void *), void *argument);

void *allocate(size_t count, size_t size);
/* Zeroed memory of whole pages that costs nothing where it isn't touched: for what a file asks for and may not need. */
void *reserve(uint64_t size);
/* The same contents in a bigger piece; the old one stays until the end. */
void *grow(const void *old, size_t old_count, size_t count, size_t size);
TOOL_PRINTF(1, 2) const char *format_text(const char *format, ...);

#endif
