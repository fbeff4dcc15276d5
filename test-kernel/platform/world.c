/* SPDX-License-Identifier: MIT */
/* What suites call, handed to the world they run in. */
#include "backend.h"
#include "one_copy.h"
#include "ports.h"
#include "pv_ops.h"

enum { PORT_EXIT = 0xf4 };
enum { EXIT_SUCCESS_VALUE = 0x10, EXIT_FAILURE_VALUE = 0x01 };

enum world world;
const struct backend *backend;

/* Offset 0 is read through %gs from the first C line on, so it is set statically. */
struct cpu cpus[MAXIMUM_CPUS] = {
	[0] = {
		.self = &cpus[0],
		.vcpu_info = { .evtchn_upcall_mask = 1 },
		.stack_top = (uintptr_t)boot_stack_top,
	},
};

/* For the entries of system calls (entry.inc), which have none before the first program. */
uint64_t user_code_selector, user_data_selector;

void enter_kernel_main(void)
{
	user_code_selector = backend->user_selectors.code;
	user_data_selector = backend->user_selectors.stack;
	set_up_smp();
	kernel_main(kept_command_line());
	panic("kernel_main returned");
}

void tell_exit_port(int status)
{
	write_port32(PORT_EXIT, status == 0 ? EXIT_SUCCESS_VALUE : EXIT_FAILURE_VALUE);
}

void exit_kernel(int status)
{
	backend->exit(status);
	for (;;)
		__asm__ volatile("pause");
}

void set_exception_entry(unsigned vector, const void *entry)
{
	backend->set_exception_entry(vector, (uintptr_t)entry);
}

void reset_exception_entry(unsigned vector)
{
	backend->set_exception_entry(vector, backend->own_exception_entry(vector));
}

bool use_breakpoint_stack(bool own)
{
	return backend->use_breakpoint_stack(own);
}

ONE_COPY uintptr_t fault_address(void)
{
	return read_cr2();
}

void mask_interrupts(void)
{
	backend->mask_interrupts();
}

void unmask_interrupts(void)
{
	backend->unmask_interrupts();
}

bool interrupts_are_masked(void)
{
	return backend->interrupts_are_masked();
}

void wait_for_interrupt(void)
{
	backend->wait_for_interrupt();
}

void start_timer(unsigned hertz)
{
	backend->start_timer(hertz);
}

void stop_timer(void)
{
	backend->stop_timer();
}

void raise_event(void)
{
	backend->raise_event();
}

bool event_is_pending(void)
{
	return backend->event_is_pending();
}
