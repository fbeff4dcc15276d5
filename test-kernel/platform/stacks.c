/* SPDX-License-Identifier: MIT */
#include "stacks.h"
#include "backend.h"

enum { BOOT_STACK_SIZE = 64 * 1024 };    /* entry_native.asm */

static struct tp_stack own_stack;

void add_own_stack(uintptr_t start, uintptr_t end)
{
	own_stack = (struct tp_stack){ start, end };
}

static bool find_boot_stack(uintptr_t sp, struct tp_stack *stack)
{
	*stack = (struct tp_stack){ (uintptr_t)boot_stack_top - BOOT_STACK_SIZE,
				    (uintptr_t)boot_stack_top };
	return is_on_stack(sp, stack);
}

static bool find_own_stack(uintptr_t sp, struct tp_stack *stack)
{
	*stack = own_stack;
	return own_stack.end && is_on_stack(sp, stack);
}

bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument)
{
	(void)argument;
	return find_boot_stack(sp, stack) || find_worker_stack(sp, stack) ||
	       find_interrupt_stack(sp, stack) || find_own_stack(sp, stack);
}
