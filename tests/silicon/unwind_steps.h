/* SPDX-License-Identifier: MIT */
/*
 * Every instruction of a function, of all that it calls and of #BP that comes meanwhile, executed one by one by this
 * machine's CPU, with a walk (textpatch/unwind.h) in front of each: what it finds must be what the shadow
 * (test-kernel/shadow.h) has kept.
 *
 *   start_trapping();
 *   struct step_counts counts;
 *   step_on_cpu(run, &counts);
 *   assert_int_equal(counts.shadow.wrong, 0);
 *
 * How it works
 *   TF is set, and SIGTRAP comes behind each instruction, on a stack of its own. Flags that the code stores or loads are
 *   shown to it without TF. The registers become a struct tp_regs with the cs of a kernel, which a walk goes on from.
 *   An int3's SIGTRAP does what the CPU does in a kernel: it pushes the five words, on this stack or on another, and goes
 *   on at one of the library's entries of #BP, which is stepped as all else is, up to its iret.
 *   Code outside of the program's text, of the C library, is stepped, but not looked at.
 */
#ifndef UNWIND_STEPS_H
#define UNWIND_STEPS_H

#include "../../test-kernel/step_forms.h"

struct step_counts {
    struct shadow_report shadow;
    uint64_t steps;
    uint64_t outside;              /* more steps: not in the program's text */
    uint64_t in_sites;             /* behind a site's first byte */
    uint64_t at_sites[STEP_FORMS]; /* at a site's first byte, by what it held */
    uint64_t in_trampolines;
    uint64_t breakpoints;          /* int3s that went through the library's entries */
    uint64_t lost_at_int3;         /* of these: where a walk from a rip that isn't taken for #BP's is wrong */
    uint64_t displaced;            /* inside sites, where rsp is not what it was at their first byte */
    uint64_t misjudged;            /* walks that were wrong, or right where displaced_are_wrong */
};

/* Takes SIGTRAP from the port. */
void start_trapping(void);

/* Not inside each other. */
void step_on_cpu(void (*run)(void), struct step_counts *counts);

/* Walks are expected to be wrong where rsp is not what it is at the site's first byte. */
extern bool displaced_are_wrong;

/* Of the run that is under way. */
uint64_t steps_taken(void);

void print_step_counts(const struct step_counts *counts);

#endif
