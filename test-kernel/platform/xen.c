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
	.kernel_selectors = { .code = FLAT_KERNEL_CS & ~3, .stack = FLAT_KERNEL_SS },
	.user_selectors = { .code = FLAT_USER_CS64, .stack = FLAT_USER_SS64 },
	.set_entry_stack = set_xen_entry_stack,
	.set_user_gs_base = set_xen_user_gs_base,
	.top_table = xen_top_table,
	.protect_table = protect_xen_table,
	.adopt_top_table = adopt_xen_top_table,
	.set_user_table = set_xen_user_table,
	.find_cpus = find_xen_cpus,
	.start_cpu = start_xen_cpu,
	.withdraw_cpu = withdraw_xen_cpu,
	.send_call = send_xen_call,
	.send_nmi = send_xen_nmi,
	.start_cpu_timer = start_xen_timer,
	.stop_cpu_timer = stop_xen_timer,
	.nanoseconds = xen_nanoseconds,
};
