/* SPDX-License-Identifier: MIT */
/* What survivor.c, which runs the programs, and survivor_kernel.c, which answers them, share. */
#ifndef SURVIVOR_OWN_H
#define SURVIVOR_OWN_H

#include "smp.h"
#include "survivor.h"

enum { VECTOR_DIVIDE = 0 };

/* Each CPU's own. */
struct survivor {
    struct process process, child;
    bool runs;       /* the process */
    bool child_runs; /* or waits for its turn */
    uint64_t calls, rounds_wanted;
    uint64_t wrong_vector, wrong_slot; /* of the first frame that was wrong */
    uint64_t first_way, first_value, first_expected, first_found, first_round;
    struct survivor_sum sum;
} __attribute__((aligned(64)));

extern struct survivor survivors[MAXIMUM_CPUS];

static inline struct survivor *own_survivor(void) {
    return &survivors[cpu_index()];
}

static inline volatile struct survivor_data *survivor_data_of(const struct process *process) {
    return (volatile struct survivor_data *)process->data;
}

/* Of a program that has ended. */
void collect_survivor(struct survivor *own, const struct process *process);

/* survivor_kernel.c: who answers. */
void answer_survivor(struct tp_regs *regs);
bool mend_exception(struct tp_regs *regs);
void tick_survivor(struct tp_regs *regs);
void look_inside_survivor(struct tp_regs *regs);

#endif
