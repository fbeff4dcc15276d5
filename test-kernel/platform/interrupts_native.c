/* SPDX-License-Identifier: MIT */
/*
 * The 8259 pair, for IRQ 0 only (Intel 8259A data sheet), and what the local
 * APIC's vectors do.
 */
#include "apic.h"
#include "native.h"
#include "ports.h"

enum {
	PIC1_COMMAND = 0x20, PIC1_DATA = 0x21,
	PIC2_COMMAND = 0xa0, PIC2_DATA = 0xa1,
	PIC_INITIALISE = 0x11, PIC_8086_MODE = 0x01, PIC_END_OF_INTERRUPT = 0x20,
	PIC1_CASCADE = 1 << 2, PIC2_CASCADE = 2,
};

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

void raise_native_event(void)
{
	send_apic_command(0, APIC_TO_SELF | VECTOR_EVENT);
}

bool native_event_is_pending(void)
{
	return apic_has_requested(VECTOR_EVENT);
}

static bool handle_event(struct tp_regs *regs)
{
	end_apic_interrupt();
	count_event(regs);
	return true;
}

static bool handle_cpu_tick(struct tp_regs *regs)
{
	end_apic_interrupt();
	count_timer_tick(regs);
	end_native_cpu_tick();
	return true;
}

static bool handle_call(struct tp_regs *regs)
{
	end_apic_interrupt();
	answer_call(regs);
	return true;
}

/* Neither kind of spurious interrupt is in service: no end of interrupt. */
static bool ignore_interrupt(struct tp_regs *regs)
{
	(void)regs;
	return true;
}

void set_up_interrupt_controllers(void)
{
	set_up_pic();
	enable_apic(true);
	set_exception_handler(VECTOR_EVENT, handle_event);
	set_exception_handler(VECTOR_CPU_TIMER, handle_cpu_tick);
	set_exception_handler(VECTOR_CALL, handle_call);
	set_exception_handler(VECTOR_SPURIOUS, ignore_interrupt);
	set_exception_handler(VECTOR_TIMER + 7, ignore_interrupt);
}
