/* SPDX-License-Identifier: MIT */
/*
 * Every instruction of a function, of all that it calls, and of #BP that comes meanwhile, with two walks
 * (textpatch/unwind.h) at each: from the registers, and from the handler of #DB, whose stack is another. What they find
 * must be what the shadow (shadow.h) has kept. Native world, CPU 0.
 *
 *   struct steps_report report = step_with_shadow(run, limit);
 *   EXPECT_EQUAL(report.shadow.wrong, 0);
 *
 * How it works
 *   TF is set, and the handler of #DB sees each instruction's end. Flags that the code stores or loads are shown to it
 *   without TF. In front of an int3 a breakpoint register is set where #BP will enter, whose first instruction the CPU
 *   reaches without TF. Handlers of other exceptions, and of interrupts, are not stepped.
 *   What has been stepped often is not worth more: at an instruction that has been, the function that it lies in runs on
 *   by itself, up to a breakpoint register at its return address. Beyond `limit` steps all does.
 */
#ifndef SHADOW_STEPS_H
#define SHADOW_STEPS_H

#include "step_forms.h"

struct steps_report {
    struct shadow_report shadow;
    uint64_t steps;
    uint64_t places;         /* instructions that had not been stepped before */
    uint64_t in_sites;       /* steps behind a site's first byte */
    uint64_t at_sites[STEP_FORMS]; /* steps at a site's first byte, by what it held */
    uint64_t in_trampolines;
    uint64_t breakpoints;    /* entries of #BP that were stepped */
    uint64_t left_alone;     /* functions that ran on by themselves */
};

/* All instructions are new again. */
void forget_stepped_places(void);

/* How often an instruction is stepped; 1 to 65535. */
extern unsigned steps_of_a_place;

/* Of all sites of a kind that were stepped since forget_stepped_places(): 1 << enum tp_form_kind, by what the library said
 * that they held. print_stepped_sites() prints how many sites that were, by kind and form. */
unsigned stepped_forms(unsigned kind);
void print_stepped_sites(void);

struct steps_report step_with_shadow(void (*run)(void), uint64_t limit);

void add_steps_report(struct steps_report *sum, const struct steps_report *report);
void print_steps_report(const struct steps_report *report);

#endif
