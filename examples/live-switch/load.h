/* SPDX-License-Identifier: MIT */
/*
 * What all CPUs do while the table changes under their feet: they call every op, look at its effect by other means,
 * and at which backend it was that answered. Timer interrupts do the same in between.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "backends.h"

/* Sums, of one CPU or of all. Each call counts once in `calls`, and once in one of the three behind it. */
struct load_counts {
    uint64_t calls;
    uint64_t plain, traced; /* while no switch was under way: it is known which backend has to answer */
    uint64_t during;        /* a switch, or not looked at: either may */
    uint64_t counted;       /* by the traced functions */
    uint64_t wrong_effect;  /* the flag, register or memory was not as it should be */
    uint64_t wrong_backend; /* the one answered that had been switched away, or both or none did */
    uint64_t states;        /* of the table that were seen between two switches, by work and by interrupts */
    uint64_t interrupts;        /* of the timer */
    uint64_t interrupts_inside; /* that came in the middle of a site */
};

/*
 * All CPUs but this one go to work, and timers tick on all. The table is what set_up_backends() left.
 *   crowd: they do nothing but what gets them interrupted in the middle of sites.
 */
void start_load(bool crowd);
/* One round of all ops, by CPU 0. */
void work_once(void);
/* CPU 0 says what it does to the table. */
void note_switch_begun(void);
void note_switch_done(void);
/* The backend after so many switches. */
enum backend_kind backend_after(unsigned switches);
/* All other CPUs sleep again, and no timer ticks. */
void stop_load(void);

struct load_counts count_load(unsigned cpu);
void add_counts(struct load_counts *sum, const struct load_counts *counts);

/* sites.S */
unsigned long save_fl_across_pages(void);

#endif
