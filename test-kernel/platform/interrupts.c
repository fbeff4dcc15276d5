/* SPDX-License-Identifier: MIT */
/* What a tick and an event do, whoever delivers them. */
#include "backend.h"

volatile uint64_t timer_ticks;
volatile uint64_t event_count;
interrupt_hook timer_hook;
interrupt_hook event_hook;

void count_timer_tick(struct pt_regs *regs)
{
	interrupt_hook hook = timer_hook;

	timer_ticks = timer_ticks + 1;
	if (hook)
		hook(regs);
}

void count_event(struct pt_regs *regs)
{
	interrupt_hook hook = event_hook;

	event_count = event_count + 1;
	if (hook)
		hook(regs);
}
