/* SPDX-License-Identifier: MIT */
/*
 * Text that shows when it tears.
 *
 * How it works
 *   A call whose displacement has two right values. Four functions lie so that each half of the displacement, old or
 *   new, leads with each other half to one of them: a mixture is executed like anything else, and counted.
 */
#ifndef SILICON_GRID_H
#define SILICON_GRID_H

#include "peer.h"

/* Offsets of the call: across a line, two bytes of the displacement on each side; and in one quadword. */
enum { GRID_ACROSS = 61, GRID_WHOLE = 2 * 64 + 8 };

/* Once. */
void grid_map(void);

/*
 * What no library should do: `count` plain stores of 4 bytes over the displacement, each of which waits until the peer
 * has executed the call again. With `until_torn` it ends at the first wrong execution, which peer->wrong counts.
 * Returns how many stores were made.
 */
unsigned long grid_store(struct peer *peer, unsigned site, unsigned long count, bool until_torn);

/* A function that returns the number at an aligned place: text at grid_number(), or data at grid_data(). */
site_code *grid_number_code(void);
volatile uint32_t *grid_number(void);
site_code *grid_data_code(void);
volatile uint32_t *grid_data(void);

#endif
