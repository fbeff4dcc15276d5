/* SPDX-License-Identifier: MIT */
/* Virtual CPUs started, called and interrupted through Xen (xen/vcpu.h). */
#include "xen_backend.h"

/* More than 5 KiB. One CPU starts at a time. */
static struct vcpu_guest_context context;

/* Xen knows no more virtual CPUs where it knows none of that number. */
unsigned find_xen_cpus(void)
{
	unsigned count = 1;

	while (count < MAXIMUM_CPUS &&
	       hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_is_up, count, 0) >= 0)
		count++;
	return count;
}

static _Noreturn void enter_xen_cpu(void)
{
	load_xen_exceptions();
	enter_cpu();
}

/* As if enter_xen_cpu() had been called: its return address would be at rsp. */
static void fill_context(const struct cpu *cpu)
{
	context = (struct vcpu_guest_context){
		.flags = VGCF_in_kernel,
		.user_regs = {
			.rip = (uintptr_t)enter_xen_cpu,
			.rsp = cpu->stack_top - 8,
			.rflags = 1 << 9,
			.cs = FLAT_KERNEL_CS,
			.ss = FLAT_KERNEL_SS,
		},
		.kernel_ss = FLAT_KERNEL_SS,
		.kernel_sp = cpu->stack_top,
		.ctrlreg = { [3] = xen_pfn_to_cr3(xen_top_table_frame()) },
		.gs_base_kernel = (uintptr_t)cpu,
	};
}

/* Fails for a CPU that was started before and withdrawn: it goes on from there. */
void start_xen_cpu(struct cpu *cpu)
{
	bind_xen_ports(cpu->index);
	register_vcpu_info(cpu);
	fill_context(cpu);
	if (hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_initialise, cpu->index,
		       (unsigned long)&context) != 0 ||
	    hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_up, cpu->index, 0) != 0)
		panic("VCPUOP_initialise or VCPUOP_up of CPU %u", cpu->index);
	hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, cpu->index, 0);
}

void withdraw_xen_cpu(struct cpu *cpu)
{
	hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_down, cpu->index, 0);
}

bool send_xen_nmi(unsigned index)
{
	return hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_send_nmi, index, 0) == 0;
}
