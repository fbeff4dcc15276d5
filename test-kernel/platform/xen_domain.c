/* SPDX-License-Identifier: MIT */
#include "xen_domain.h"
#include "xen.h"

void write_xen_console(const char *text, size_t length)
{
	hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, length, (unsigned long)text);
}

void shut_down_xen_domain(int status)
{
	struct sched_shutdown shutdown = {
		.reason = status == 0 ? SHUTDOWN_poweroff : SHUTDOWN_crash,
	};

	hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&shutdown);
}
