/* SPDX-License-Identifier: MIT */
/*
 * The parts of bench/live.c: each prints its rows.
 */
#ifndef BENCH_LIVE_H
#define BENCH_LIVE_H

#include "bench.h"

#include "crowd.h"
#include "grid.h"
#include "silicon_port.h"
#include "sites.h"

/* The other CPU's thread. */
extern struct peer live_peer;

/* The library with this program's sites, or with a crowd; CPUs running. */
extern const struct tp_live_options live_stores, live_traps, live_prefix, live_cells;
void live_start(const struct tp_live_options *options, struct crowd *crowd);
void live_stop(void);

/* Ends the program with the library's message, unless the status is TP_OK. */
void live_must(enum tp_status status);

double live_now(void); /* ns */

/*
 * ns of one of `count` times `work`, in which the other CPU executed at least as many sites: a sync of a CPU that runs
 * something else costs nothing. Tried again until it did.
 */
double live_time(void (*work)(void), unsigned count);
/* One sync: what costs are compared with. */
double live_time_sync(void);

void live_storm(unsigned long patches); /* live.storm.c */
void live_time_singles(void);           /* live.single.c */
void live_time_visible(void);           /* live.visible.c */
void live_time_batches(void);           /* live.batch.c */
void live_time_lookups(void);           /* live.lookup.c */

#endif
