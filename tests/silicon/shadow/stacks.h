/* SPDX-License-Identifier: MIT */
/* The stacks of test-kernel/shadow.c's walks, in a process: unwind_steps.c has them. */
#ifndef SHADOW_STACKS_H
#define SHADOW_STACKS_H

#include <textpatch/unwind.h>

/* A tp_find_stack. */
bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument);

#endif
