/* SPDX-License-Identifier: MIT */
/* What a tick and an event do, whoever delivers them. */
#include "backend.h"
#include "smp.h"

volatile uint64_t timer_ticks;
volatile uint64_t event_count;
interrupt_hook timer_hook;
interrupt_hook event_hook;

static volatile uint64_t own_ticks[MAXIMUM_CPUS];

uint64_t cpu_ticks(unsigned cpu)
{
	return own_ticks[cpu];
}

void count_timer_tick(struct tp_regs *regs)
{
	interrupt_hook hook = timer_hook;
	volatile uint64_t *own = &own_ticks[this_cpu()->index];

	*own = *own + 1;
	__atomic_add_fetch(&timer_ticks, 1, __ATOMIC_RELAXED);
	if (hook)
		hook(regs);
}

void count_event(struct tp_regs *regs)
{
	interrupt_hook hook = event_hook;

	__atomic_add_fetch(&event_count, 1, __ATOMIC_RELAXED);
	if (hook)
		hook(regs);
}
