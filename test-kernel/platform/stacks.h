/* SPDX-License-Identifier: MIT */
/*
 * All stacks that kernel code runs on: the boot CPU's, those of the CPUs that were
 * started, and natively those of the interrupt stack table. For who walks them
 * (textpatch/unwind.h) at any instruction: no locks, and nothing that changes.
 */
#ifndef PLATFORM_STACKS_H
#define PLATFORM_STACKS_H

#include <textpatch/unwind.h>

/* A tp_find_stack. */
bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument);

/* One more, that a suite has given the CPU; none: both 0. It replaces the one before. */
void add_own_stack(uintptr_t start, uintptr_t end);

/* The parts, each where its stacks are. */
bool find_worker_stack(uintptr_t sp, struct tp_stack *stack);
bool find_interrupt_stack(uintptr_t sp, struct tp_stack *stack);

static inline bool is_on_stack(uintptr_t sp, const struct tp_stack *stack)
{
	return sp >= stack->start && sp <= stack->end;
}

/* In an array of stacks of one size. */
static inline bool find_stack_among(uintptr_t sp, uintptr_t first, unsigned count,
				    uintptr_t size, struct tp_stack *stack)
{
	uintptr_t number = sp - 1 < first ? 0 : (sp - 1 - first) / size;

	*stack = (struct tp_stack){ first + number * size, first + (number + 1) * size };
	return number < count && is_on_stack(sp, stack);
}

#endif
