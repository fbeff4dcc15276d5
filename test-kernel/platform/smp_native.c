/* SPDX-License-Identifier: MIT */
/* CPUs started and called by the local APIC: Intel SDM volume 3A, 9.4 and 11.6. */
#include "acpi.h"
#include "apic.h"
#include "native.h"
#include "ports.h"

enum {
	TRAMPOLINE_PHYSICAL = 0x8000,    /* as in platform.inc */
	MICROSECOND = 1000,
	MILLISECOND = 1000 * MICROSECOND,
};

extern const uint8_t trampoline_start[], trampoline_end[];

/* Read by smp_start.asm. One CPU starts at a time. */
struct cpu *starting_cpu;

static uint8_t apic_ids[MAXIMUM_CPUS];
static unsigned cpus_found;

static void wait_nanoseconds(uint64_t time)
{
	uint64_t end = native_nanoseconds() + time;

	while (native_nanoseconds() < end)
		pause_briefly();
}

/* The boot CPU becomes number 0, wherever ACPI has it. Without ACPI it is alone. */
unsigned find_native_cpus(void)
{
	uint8_t listed[MAXIMUM_CPUS];
	unsigned count;

	if (cpus_found != 0)
		return cpus_found;
	count = list_apic_ids(listed, MAXIMUM_CPUS);
	apic_ids[0] = read_apic_id();
	cpus_found = 1;
	for (unsigned i = 0; i < count && cpus_found < MAXIMUM_CPUS; i++)
		if (listed[i] != apic_ids[0])
			apic_ids[cpus_found++] = listed[i];
	return cpus_found;
}

static void copy_trampoline(void)
{
	volatile uint8_t *copy = physical_pointer(TRAMPOLINE_PHYSICAL);

	for (size_t i = 0; i < (size_t)(trampoline_end - trampoline_start); i++)
		copy[i] = trampoline_start[i];
}

/* The waits are those of SDM volume 3A, 9.4.4.1. The second start-up IPI finds a
 * running CPU and is ignored, unless the first was lost. */
void start_native_cpu(struct cpu *cpu)
{
	uint8_t id = apic_ids[cpu->index];

	copy_trampoline();
	__atomic_store_n(&starting_cpu, cpu, __ATOMIC_SEQ_CST);
	send_apic_command(id, APIC_DELIVER_INIT);
	wait_nanoseconds(10 * MILLISECOND);
	for (unsigned times = 0; times < 2; times++) {
		send_apic_command(id, APIC_DELIVER_START_UP | TRAMPOLINE_PHYSICAL >> 12);
		wait_nanoseconds(200 * MICROSECOND);
	}
}

void withdraw_native_cpu(struct cpu *cpu)
{
	send_apic_command(apic_ids[cpu->index], APIC_DELIVER_INIT);
}

void enter_native_cpu(struct cpu *cpu)
{
	load_descriptors(cpu);
	enable_apic(false);
	enter_cpu();
}

void send_native_call(unsigned index)
{
	send_apic_command(apic_ids[index], VECTOR_CALL);
}

/* Before start_cpus() only this CPU's id is known. */
bool send_native_nmi(unsigned index)
{
	find_native_cpus();
	send_apic_command(apic_ids[index], APIC_DELIVER_NMI);
	return true;
}
