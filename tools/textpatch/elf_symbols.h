/* SPDX-License-Identifier: MIT */
/* The part of elf.h that is about symbols, for elf.c. */
#ifndef TOOL_ELF_SYMBOLS_H
#define TOOL_ELF_SYMBOLS_H

#include "elf.h"

/* Fills symbols, functions and by_name; the sections are there. */
void read_symbols(struct kernel *kernel);

#endif
