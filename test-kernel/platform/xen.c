/* SPDX-License-Identifier: MIT */
/* The Xen PV world: start and exit. */
#include "xen_backend.h"
#include "pv_ops.h"
#include "xen_domain.h"

/* Dom0 may have any port once its IOPL allows it, so the status can be real. */
static void exit_xen(int status)
{
	struct physdev_set_iopl privilege = { .iopl = 1 };

	if (hypercall2(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl,
		       (unsigned long)&privilege) == 0)
		tell_exit_port(status);
	shut_down_xen_domain(status);
}

void start_xen(const struct start_info *information)
{
	choose_pv_ops();
	backend = &xen_backend;
	keep_command_line((const char *)information->cmd_line);
	set_up_xen_paging(information);
	register_vcpu_info(&cpus[0]);
	set_up_xen_exceptions();
	empty_text_window();
	set_up_xen_events();
	enter_kernel_main();
}

const struct backend xen_backend = {
	.write_console = write_xen_console,
	.exit = exit_xen,
	.set_exception_entry = set_xen_entry,
	.own_exception_entry = own_xen_entry,
	.use_breakpoint_stack = use_xen_breakpoint_stack,
	.fault_address = xen_fault_address,
	.mask_interrupts = mask_xen,
	.unmask_interrupts = unmask_xen,
	.interrupts_are_masked = xen_is_masked,
	.wait_for_interrupt = wait_xen,
	.start_timer = start_xen_timer,
	.stop_timer = stop_xen_timer,
	.raise_event = raise_xen_event,
	.event_is_pending = xen_event_is_pending,
	.frame_of = xen_frame_of,
	.set_page_entry = set_xen_page_entry,
	.find_cpus = find_xen_cpus,
	.start_cpu = start_xen_cpu,
	.withdraw_cpu = withdraw_xen_cpu,
	.send_call = send_xen_call,
	.send_nmi = send_xen_nmi,
	.start_cpu_timer = start_xen_timer,
	.stop_cpu_timer = stop_xen_timer,
	.nanoseconds = xen_nanoseconds,
};
