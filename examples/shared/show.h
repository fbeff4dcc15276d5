/* SPDX-License-Identifier: MIT */
/* How a demo looks, and what it holds to be a failure. */
#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>

#include <textpatch/status.h>

enum style { PLAIN, BOLD, DIM, GREEN, RED };

/* What switches the terminal over; nothing unless the command line has `color`. */
const char *color(enum style style);

void print_heading(const char *text);
/* A line is a label, a value of VALUE_WIDTH columns, which the caller prints, and a judgement. */
enum { VALUE_WIDTH = 54 };
void print_label(const char *label);
void print_value(const char *text);
/* Ends a line with "ok" or "FAILED". The first failure is remembered. */
void end_line(bool as_it_should_be, const char *what);
/* The judgement alone, unprinted. */
void require(bool condition, const char *what);
/* A label, the call's answer, and the library's message where it isn't TP_OK. */
void show_status(const char *call, enum tp_status status);

/* A message of the library's, in lines that aren't too long. */
void print_message(const char *message);

/* Which world this is, as a line. */
void print_world(void);
/* Says whether all was as it should be, and ends the kernel so. */
_Noreturn void end_demo(void);

#endif
