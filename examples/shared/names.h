/* SPDX-License-Identifier: MIT */
/* Functions of the op tables, by name. */
#ifndef NAMES_H
#define NAMES_H

#include <stdint.h>

/* The function in a slot or behind a call; NULL for one that has no name. */
const char *name_function(uintptr_t address);
/* The same for functions of the example's own, which supplies it. */
const char *name_own_function(uintptr_t address);

#endif
