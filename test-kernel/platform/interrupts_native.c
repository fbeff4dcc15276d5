/* SPDX-License-Identifier: MIT */
/*
 * The 8259 pair, for IRQ 0 only, and the local APIC, for self IPIs (Intel 8259A
 * data sheet; Intel SDM volume 3A, chapter 11).
 */
#include "native.h"
#include "ports.h"

enum {
	PIC1_COMMAND = 0x20, PIC1_DATA = 0x21,
	PIC2_COMMAND = 0xa0, PIC2_DATA = 0xa1,
	PIC_INITIALISE = 0x11, PIC_8086_MODE = 0x01, PIC_END_OF_INTERRUPT = 0x20,
	PIC1_CASCADE = 1 << 2, PIC2_CASCADE = 2,
};

enum {
	MSR_APIC_BASE = 0x1b,
	APIC_ENABLED = 1 << 11,
	APIC_TASK_PRIORITY = 0x80,
	APIC_END_OF_INTERRUPT = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_REQUESTS = 0x200,
	APIC_COMMAND = 0x300,
	APIC_LINT0 = 0x350,
	APIC_SOFTWARE_ENABLE = 1 << 8,
	APIC_DELIVERY_EXTERNAL = 7 << 8,
	APIC_COMMAND_BUSY = 1 << 12,
	APIC_ASSERT = 1 << 14,
	APIC_TO_SELF = 1 << 18,
};

static volatile uint32_t *apic;

static uint32_t read_apic(unsigned offset)
{
	return apic[offset / 4];
}

static void write_apic(unsigned offset, uint32_t value)
{
	apic[offset / 4] = value;
}

static void set_up_pic(void)
{
	write_port8(PIC1_COMMAND, PIC_INITIALISE);
	write_port8(PIC2_COMMAND, PIC_INITIALISE);
	write_port8(PIC1_DATA, VECTOR_TIMER);
	write_port8(PIC2_DATA, VECTOR_TIMER + 8);
	write_port8(PIC1_DATA, PIC1_CASCADE);
	write_port8(PIC2_DATA, PIC2_CASCADE);
	write_port8(PIC1_DATA, PIC_8086_MODE);
	write_port8(PIC2_DATA, PIC_8086_MODE);
	write_port8(PIC1_DATA, 0xff);
	write_port8(PIC2_DATA, 0xff);
}

void unmask_timer_line(void)
{
	write_port8(PIC1_DATA, 0xfe);
}

void mask_timer_line(void)
{
	write_port8(PIC1_DATA, 0xff);
}

void acknowledge_timer_line(void)
{
	write_port8(PIC1_COMMAND, PIC_END_OF_INTERRUPT);
}

/* The PIC reaches the CPU through LINT0, which firmware may have left masked. */
static void set_up_apic(void)
{
	uint64_t base = read_msr_native(MSR_APIC_BASE);

	write_msr_native(MSR_APIC_BASE, base | APIC_ENABLED);
	apic = physical_pointer(base & 0xfffff000);
	write_apic(APIC_TASK_PRIORITY, 0);
	write_apic(APIC_LINT0, APIC_DELIVERY_EXTERNAL);
	write_apic(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);
}

void raise_native_event(void)
{
	while (read_apic(APIC_COMMAND) & APIC_COMMAND_BUSY)
		pause_briefly();
	write_apic(APIC_COMMAND, APIC_TO_SELF | APIC_ASSERT | VECTOR_EVENT);
}

bool native_event_is_pending(void)
{
	uint32_t requests = read_apic(APIC_REQUESTS + VECTOR_EVENT / 32 * 0x10);

	return (requests >> VECTOR_EVENT % 32 & 1) != 0;
}

static bool handle_event(struct pt_regs *regs)
{
	write_apic(APIC_END_OF_INTERRUPT, 0);
	count_event(regs);
	return true;
}

/* Neither kind of spurious interrupt is in service: no end of interrupt. */
static bool ignore_interrupt(struct pt_regs *regs)
{
	(void)regs;
	return true;
}

void set_up_interrupt_controllers(void)
{
	set_up_pic();
	set_up_apic();
	set_exception_handler(VECTOR_EVENT, handle_event);
	set_exception_handler(VECTOR_SPURIOUS, ignore_interrupt);
	set_exception_handler(VECTOR_TIMER + 7, ignore_interrupt);
}
