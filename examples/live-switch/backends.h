/* SPDX-License-Identifier: MIT */
/*
 * Two backends for one table of ops: the world's own functions, most of which are inline forms of an instruction or
 * three, and functions that count the call and go on to those.
 */
#ifndef BACKENDS_H
#define BACKENDS_H

#include <stdint.h>

#include <textpatch/live.h>

#include "pv_ops.h"

enum backend_kind { PLAIN_BACKEND, TRACED_BACKEND, BACKENDS };

/* Ops are numbered as their slots lie in the table. */
enum { OPS = sizeof(struct tp_ops) / sizeof(uintptr_t) };

/* Each CPU's own: calls that the traced functions have counted. */
struct traced_calls {
    volatile uint64_t of[OPS];
};

/* Before the first call of an op: fills the table with the world's functions. */
void set_up_backends(void);
/* On each CPU, before it runs traced functions: where they count. */
void trace_into(struct traced_calls *calls);
/* Changes the whole table, in one batch. Context: as tp_batch_begin(). */
enum tp_status switch_table(enum backend_kind to);

#endif
