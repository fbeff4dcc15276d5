/* SPDX-License-Identifier: MIT */
/* Calls of every op that can be called here, each looked at for its effect, counted and timed. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>

/* Runs all ops; `patched` says into which of the table's two columns the numbers go. */
void run_workload(bool patched);
/* The table. Requires that each call had its effect, and that patched sites leave the op table alone. */
void print_workload(void);

#endif
