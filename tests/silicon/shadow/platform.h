/* SPDX-License-Identifier: MIT */
/*
 * What test-kernel/shadow.c asks of its platform, in a process: unwind_steps.c has it.
 */
#ifndef SHADOW_PLATFORM_H
#define SHADOW_PLATFORM_H

#include <stdint.h>

/* The program's .text: unwind.ld. Stubs of a PLT are not in it. */
extern const uint8_t text_start[], text_end[];

void print_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
