/* SPDX-License-Identifier: MIT */
#include "apic.h"
#include "native.h"
#include "ports.h"

/* Offsets: Intel SDM volume 3A, table 11-1. */
enum {
	MSR_APIC_BASE = 0x1b,
	APIC_ENABLED = 1 << 11,
	APIC_ID = 0x20,
	APIC_TASK_PRIORITY = 0x80,
	APIC_END_OF_INTERRUPT = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_REQUESTS = 0x200,
	APIC_COMMAND = 0x300,
	APIC_COMMAND_DESTINATION = 0x310,
	APIC_TIMER = 0x320,
	APIC_LINT0 = 0x350,
	APIC_TIMER_START = 0x380,
	APIC_TIMER_NOW = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SOFTWARE_ENABLE = 1 << 8,
	APIC_DELIVER_EXTERNAL = 7 << 8,
	APIC_COMMAND_BUSY = 1 << 12,
	APIC_MASKED = 1 << 16,
	APIC_PERIODIC = 1 << 17,
	APIC_DIVIDE_BY_1 = 0xb,
};

/* At the same address on every CPU; each finds its own there. */
static volatile uint32_t *apic;

static uint32_t read_apic(unsigned offset)
{
	return apic[offset / 4];
}

static void write_apic(unsigned offset, uint32_t value)
{
	apic[offset / 4] = value;
}

/* The PIC reaches the boot CPU through LINT0, which firmware may have left
 * masked; one CPU is enough to take its interrupts. */
void enable_apic(bool is_boot_cpu)
{
	uint64_t base = read_msr_native(MSR_APIC_BASE);

	write_msr_native(MSR_APIC_BASE, base | APIC_ENABLED);
	apic = physical_pointer(base & 0xfffff000);
	write_apic(APIC_TASK_PRIORITY, 0);
	write_apic(APIC_LINT0, is_boot_cpu ? APIC_DELIVER_EXTERNAL : APIC_MASKED);
	write_apic(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);
}

uint8_t read_apic_id(void)
{
	return (uint8_t)(read_apic(APIC_ID) >> 24);
}

/* Masked: an interrupt between the two halves could send a command itself. */
void send_apic_command(uint8_t destination, uint32_t command)
{
	bool were_masked = interrupts_are_masked();

	mask_interrupts();
	while (read_apic(APIC_COMMAND) & APIC_COMMAND_BUSY)
		pause_briefly();
	write_apic(APIC_COMMAND_DESTINATION, (uint32_t)destination << 24);
	write_apic(APIC_COMMAND, APIC_ASSERT | command);
	if (!were_masked)
		unmask_interrupts();
}

bool apic_has_requested(unsigned vector)
{
	return (read_apic(APIC_REQUESTS + vector / 32 * 0x10) >> vector % 32 & 1) != 0;
}

void end_apic_interrupt(void)
{
	write_apic(APIC_END_OF_INTERRUPT, 0);
}

/* Writing the count starts it (SDM 11.5.4). */
void start_apic_timer(uint32_t count, enum apic_timer kind)
{
	static const uint32_t modes[] = {
		[APIC_TIMER_SILENT] = APIC_MASKED,
		[APIC_TIMER_ONCE] = 0,
		[APIC_TIMER_REPEATED] = APIC_PERIODIC,
	};

	write_apic(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	write_apic(APIC_TIMER, VECTOR_CPU_TIMER | modes[kind]);
	write_apic(APIC_TIMER_START, count);
}

void restart_apic_timer(uint32_t count)
{
	write_apic(APIC_TIMER_START, count);
}

void stop_apic_timer(void)
{
	write_apic(APIC_TIMER, APIC_MASKED | VECTOR_CPU_TIMER);
	write_apic(APIC_TIMER_START, 0);
}

uint32_t read_apic_timer(void)
{
	return read_apic(APIC_TIMER_NOW);
}
