/* SPDX-License-Identifier: MIT */
/*
 * The time stamp counter and the local APIC's timer, measured against channel 2
 * of the PIT, which nothing else uses (Intel 8254 data sheet; port 0x61: its gate
 * and the loudspeaker's). Where the speed of the time stamp counter is known, there
 * may be no PIT: the timer is then measured against that counter.
 */
#include "apic.h"
#include "native.h"
#include "ports.h"

enum {
	PIT_CHANNEL2 = 0x42,
	PIT_COMMAND = 0x43,
	PIT_CHANNEL2_COUNTDOWN = 0xb0,
	PIT_LATCH_CHANNEL2 = 0x80,
	PIT_HERTZ = 1193182,
	PIT_START = 0xffff,
	GATES = 0x61,
	GATE_CHANNEL2 = 1, GATE_SPEAKER = 2,

	MEASUREMENTS = 3,
	MEASURED_TICKS = PIT_HERTZ / 333,
	KNOWN_MEASUREMENTS_A_SECOND = 100,    /* a read may take a tenth of a millisecond */
	MEASURED_READS = 200000,    /* there may be no PIT */
	NANOSECONDS = 1000000000,
	ASSUMED_HERTZ = 1000000000,
};

struct speed {
	uint64_t time_stamp, apic;    /* in Hz */
};

static struct speed speed;
static uint64_t known_time_stamp_hertz;
static uint32_t single_shots[MAXIMUM_CPUS];    /* counts; 0: none is wanted */
static uint64_t nanoseconds_scale;    /* per time stamp tick, with 32 binary places */

static uint64_t read_time_stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static void start_countdown(void)
{
	write_port8(GATES, (uint8_t)((read_port8(GATES) & ~GATE_SPEAKER) | GATE_CHANNEL2));
	write_port8(PIT_COMMAND, PIT_CHANNEL2_COUNTDOWN);
	write_port8(PIT_CHANNEL2, PIT_START & 0xff);
	write_port8(PIT_CHANNEL2, PIT_START >> 8);
}

static uint16_t read_countdown(void)
{
	uint8_t low;

	write_port8(PIT_COMMAND, PIT_LATCH_CHANNEL2);
	low = read_port8(PIT_CHANNEL2);
	return (uint16_t)(low | read_port8(PIT_CHANNEL2) << 8);
}

/* How many ticks have gone by; 0: the PIT doesn't count. */
static uint16_t pass_ticks(void)
{
	uint16_t first = read_countdown();

	for (unsigned reads = 0; reads < MEASURED_READS; reads++) {
		uint16_t passed = (uint16_t)(first - read_countdown());

		if (passed >= MEASURED_TICKS && passed < PIT_START / 2)
			return passed;
	}
	return 0;
}

/* Both counters are read outside what the PIT counts: a delay makes them seem
 * faster, never slower. */
static struct speed measure_speed(void)
{
	uint64_t start = read_time_stamp();
	struct speed measured;
	uint16_t ticks;

	start_apic_timer(UINT32_MAX, APIC_TIMER_SILENT);
	start_countdown();
	ticks = pass_ticks();
	measured.apic = UINT32_MAX - read_apic_timer();
	measured.time_stamp = read_time_stamp() - start;
	stop_apic_timer();
	if (ticks == 0)
		return (struct speed){ ASSUMED_HERTZ, ASSUMED_HERTZ };
	measured.apic = measured.apic * PIT_HERTZ / ticks;
	measured.time_stamp = measured.time_stamp * PIT_HERTZ / ticks;
	return measured;
}

/* The time stamp counter is read outside what the timer counts, and Xen may keep a
 * CPU waiting whose timer then waits, too: it seems slower, never faster. */
static uint64_t measure_known_apic(void)
{
	uint64_t start, passed;
	uint32_t first, ticks;

	start_apic_timer(UINT32_MAX, APIC_TIMER_SILENT);
	start = read_time_stamp();
	first = read_apic_timer();
	while (read_time_stamp() - start < known_time_stamp_hertz / KNOWN_MEASUREMENTS_A_SECOND)
		pause_briefly();
	ticks = first - read_apic_timer();
	passed = read_time_stamp() - start;
	stop_apic_timer();
	return ticks * known_time_stamp_hertz / passed;
}

static void keep_slower(uint64_t *kept, uint64_t measured)
{
	if (*kept == 0 || measured < *kept)
		*kept = measured;
}

static struct speed measure_both(void)
{
	struct speed slowest = { 0, 0 };

	for (unsigned i = 0; i < MEASUREMENTS; i++) {
		struct speed measured = measure_speed();

		keep_slower(&slowest.time_stamp, measured.time_stamp);
		keep_slower(&slowest.apic, measured.apic);
	}
	return slowest;
}

static struct speed measure_against_known(void)
{
	struct speed fastest = { known_time_stamp_hertz, 1 };

	for (unsigned i = 0; i < MEASUREMENTS; i++) {
		uint64_t measured = measure_known_apic();

		if (measured > fastest.apic)
			fastest.apic = measured;
	}
	return fastest;
}

void know_time_stamp_speed(uint64_t hertz)
{
	known_time_stamp_hertz = hertz;
}

/* First asked by start_cpus() or on the only CPU: no two do it at once. */
static void measure_once(void)
{
	if (nanoseconds_scale != 0)
		return;
	speed = known_time_stamp_hertz ? measure_against_known() : measure_both();
	nanoseconds_scale = ((uint64_t)NANOSECONDS << 32) / speed.time_stamp;
}

uint64_t native_nanoseconds(void)
{
	measure_once();
	return (uint64_t)((unsigned __int128)read_time_stamp() * nanoseconds_scale >> 32);
}

void start_native_cpu_timer(unsigned hertz)
{
	measure_once();
	start_apic_timer((uint32_t)(speed.apic / hertz), APIC_TIMER_REPEATED);
}

void start_native_single_shots(unsigned hertz)
{
	uint32_t *shot = &single_shots[this_cpu()->index];

	measure_once();
	*shot = (uint32_t)(speed.apic / hertz);
	start_apic_timer(*shot, APIC_TIMER_ONCE);
}

void end_native_cpu_tick(void)
{
	uint32_t shot = single_shots[this_cpu()->index];

	if (shot != 0)
		restart_apic_timer(shot);
}

void stop_native_cpu_timer(void)
{
	single_shots[this_cpu()->index] = 0;
	stop_apic_timer();
}
