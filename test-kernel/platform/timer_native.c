/* SPDX-License-Identifier: MIT */
/* PIT channel 0 as a rate generator (Intel 8254 data sheet, mode 2). */
#include "native.h"
#include "ports.h"

enum {
	PIT_CHANNEL0 = 0x40,
	PIT_COMMAND = 0x43,
	PIT_CHANNEL0_RATE = 0x34,
	PIT_HERTZ = 1193182,
};

static bool handle_tick(struct tp_regs *regs)
{
	acknowledge_timer_line();
	count_timer_tick(regs);
	return true;
}

void set_up_native_timer(void)
{
	set_exception_handler(VECTOR_TIMER, handle_tick);
}

void start_native_timer(unsigned hertz)
{
	unsigned divisor = PIT_HERTZ / hertz;

	write_port8(PIT_COMMAND, PIT_CHANNEL0_RATE);
	write_port8(PIT_CHANNEL0, (uint8_t)divisor);
	write_port8(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
	unmask_timer_line();
}

void stop_native_timer(void)
{
	mask_timer_line();
}
