/* SPDX-License-Identifier: MIT */
/*
 * Every instruction of a function, and of all that it calls, with a walk (textpatch/unwind.h) at each: what the walk finds
 * must be what is kept by looking at calls and returns alone. Native world, CPU 0.
 *
 *   struct shadow_report report = step_with_shadow(run, limit);
 *   EXPECT_EQUAL(report.wrong, 0);
 *
 * How it works
 *   TF is set, and the handler of #DB sees each instruction's end. An instruction that called has pushed an address: it is
 *   kept, with its place. What lies below rsp has been returned from. A walk must name the same addresses at the same
 *   places, from the innermost on, and then what was there when stepping began; frames that iret is about to go to
 *   have no call, and are passed over. Flags that the code stores or loads are shown to it without TF.
 *   What has been stepped many times is not worth more: at an instruction that has been, the function that it lies in runs
 *   on by itself, up to a breakpoint register at its return address. Beyond `limit` steps all does. Handlers of exceptions
 *   and interrupts are not stepped.
 */
#ifndef SHADOW_STEPS_H
#define SHADOW_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/unwind.h>

struct shadow_report {
    uint64_t steps;
    uint64_t frames;        /* of all walks */
    uint64_t wrong;         /* walks */
    uint64_t wrong_in_sites; /* of these: behind a site's first byte, and before its end */
    uint64_t in_sites;      /* steps there */
    uint64_t places;        /* instructions that had not been stepped before */
    uint64_t left_alone;    /* functions that ran on by themselves */
    unsigned deepest;
    const char *first_fault;
    uintptr_t at;           /* the ip of the first wrong walk, */
    uintptr_t found, expected; /* and what it found at which depth */
    unsigned depth;
};

/* All instructions are new again. */
void forget_stepped_places(void);

struct shadow_report step_with_shadow(void (*run)(void), uint64_t limit);

/* For walks on this CPU: the stack that the kernel runs on. */
bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument);

#endif
