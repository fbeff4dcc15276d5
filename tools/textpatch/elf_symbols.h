/* SPDX-License-Identifier: MIT */
/* The part of elf.h that is about symbols, for elf.c. */
#ifndef TOOL_ELF_SYMBOLS_H
#define TOOL_ELF_SYMBOLS_H

#include "elf.h"

/* Fills symbols, functions and by_name; the sections are there. */
void read_symbols(struct kernel *kernel);

/* Data: the symbol that begins here, or one with a size that holds the address; NULL if there is none. */
const struct kernel_symbol *object_at(const struct kernel *kernel, uint64_t address);

#endif
