/* SPDX-License-Identifier: MIT */
/*
 * The few instructions that this kernel's sites may hold, as objdump would print them; anything else as
 * bytes.
 *
 * Differences from objdump: a run of CS prefixes is counted ("cs x8 cli"), and functions and slots go by
 * their names.
 */
#ifndef DISASSEMBLE_H
#define DISASSEMBLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes one instruction's text, NUL-terminated.
 *   bytes, length: what stands at `address`, to the end of the site; text, size: at least 100 bytes.
 * Returns its length in bytes, at least 1 and at most `length`.
 */
unsigned disassemble(const uint8_t *bytes, unsigned length, uintptr_t address, char *text, size_t size);

#endif
