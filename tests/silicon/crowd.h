/* SPDX-License-Identifier: MIT */
/*
 * Many call sites of few static calls, with records made by hand: what a host tool finds in a large kernel.
 *
 * How it works
 *   Each static call has as many sites as the others, and a trampoline; sites of one lie scattered. Every site is
 *   `call trampoline` in a function of its own, 64 bytes, that can be executed: a site in one aligned quadword at
 *   offset 8, or one across a line at 61.
 */
#ifndef SILICON_CROWD_H
#define SILICON_CROWD_H

#include "peer.h"

enum { CROWD_MAX = 65536, CROWD_CALLS_MAX = 256 };

struct crowd {
    unsigned sites, calls;
    bool across;
    struct tp_image image;
    uint64_t *cells; /* one for each static call */
    uintptr_t text;
};

/* sites: a multiple of calls, which is a power of 2. The last crowd's memory is used again. The cells hold value_1. */
void crowd_build(struct crowd *crowd, unsigned sites, unsigned calls, bool across);

/* The function that executes a site. */
site_code *crowd_code(const struct crowd *crowd, unsigned site);
uintptr_t crowd_address(const struct crowd *crowd, unsigned site);

#endif
