/* SPDX-License-Identifier: MIT */
/* Two processes of one program, what answers them, and what both sides see of the ops' effects. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include "user.h"

/* What all address spaces have in common is built once; then each takes as much as the others. */
void build_shared_tables(void);
/* Runs both to their end, each in a new address space: there are enough for a few calls of this. */
void run_programs(void);

#endif
