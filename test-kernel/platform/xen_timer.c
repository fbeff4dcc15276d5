/* SPDX-License-Identifier: MIT */
/*
 * A periodic tick made of single shots. Xen's own periodic timer runs only
 * while the virtual CPU does, so it wouldn't wake one that has blocked.
 */
#include "xen_backend.h"

enum { NANOSECONDS = 1000000000 };

/* One for each virtual CPU, which alone uses it. */
struct timer {
	uint64_t period;       /* 0: stopped */
	uint64_t next_tick;    /* in Xen's system time */
};

static struct timer timers[MAXIMUM_CPUS];

static struct timer *own_timer(void)
{
	return &timers[this_cpu()->index];
}

static uint64_t read_time_stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t scale(uint64_t ticks, const volatile struct vcpu_time_info *time)
{
	int shift = time->tsc_shift;

	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (uint64_t)((unsigned __int128)ticks * time->tsc_to_system_mul >> 32);
}

/* Xen makes the version odd while it writes (xen/xen.h, struct vcpu_time_info). */
uint64_t xen_nanoseconds(void)
{
	const volatile struct vcpu_time_info *time = &this_cpu()->vcpu_info.time;
	uint32_t version;
	uint64_t now;

	do {
		version = time->version;
		now = time->system_time + scale(read_time_stamp() - time->tsc_timestamp, time);
	} while ((version & 1) != 0 || version != time->version);
	return now;
}

static void arm_tick(void)
{
	struct vcpu_set_singleshot_timer shot = { .timeout_abs_ns = own_timer()->next_tick };

	if (hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, this_cpu()->index,
		       (unsigned long)&shot) != 0)
		panic("VCPUOP_set_singleshot_timer");
}

void handle_xen_tick(struct tp_regs *regs)
{
	struct timer *timer = own_timer();
	uint64_t now = xen_nanoseconds();

	if (timer->period == 0)
		return;
	timer->next_tick += timer->period;
	if (timer->next_tick <= now)
		timer->next_tick = now + timer->period;
	arm_tick();
	count_timer_tick(regs);
}

void start_xen_timer(unsigned hertz)
{
	struct timer *timer = own_timer();

	timer->period = NANOSECONDS / hertz;
	timer->next_tick = xen_nanoseconds() + timer->period;
	arm_tick();
}

void stop_xen_timer(void)
{
	own_timer()->period = 0;
	hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, this_cpu()->index, 0);
}
