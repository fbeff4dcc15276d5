/* SPDX-License-Identifier: MIT */
/*
 * The native world as Xen's PVH dom0: CPU, page tables and local APIC are as on
 * the bare machine, but COM1 is Xen's, and there are no PIC and no PIT. Ports that
 * are not there read as ones, and writing them does nothing.
 */
#include "native.h"
#include "page.h"
#include "ports.h"
#include "xen_domain.h"

#include <xen/arch-x86/cpuid.h>

enum {
	CPUID_FEATURES = 1,
	LAST_HYPERVISOR_LEAF = 0x4000ff00,
	LEAVES_A_HYPERVISOR = 0x100,
};

#define HYPERVISOR_PRESENT (1u << 31)    /* leaf 1, ecx */

static struct backend pvh_backend;

static bool runs_virtually(void)
{
	return (read_cpuid(CPUID_FEATURES, 0).ecx & HYPERVISOR_PRESENT) != 0;
}

/* Xen's leaves lie higher where it poses as another hypervisor, too. 0: no Xen. */
static uint32_t find_xen_leaves(void)
{
	for (uint32_t base = XEN_CPUID_FIRST_LEAF;
	     base <= LAST_HYPERVISOR_LEAF; base += LEAVES_A_HYPERVISOR) {
		struct cpuid leaf = read_cpuid(base, 0);

		if (leaf.ebx == XEN_CPUID_SIGNATURE_EBX &&
		    leaf.ecx == XEN_CPUID_SIGNATURE_ECX &&
		    leaf.edx == XEN_CPUID_SIGNATURE_EDX)
			return base;
	}
	return 0;
}

/* A PV domain's loader does it by a note; here the domain asks for it. */
static void fill_hypercall_page(uint32_t base)
{
	uint32_t msr = read_cpuid(base + 2, 0).ebx;

	write_msr_native(msr, (uintptr_t)hypercall_page - KERNEL_VIRTUAL_BASE);
}

static uint64_t time_stamp_hertz(uint32_t base)
{
	return read_cpuid(base + 3, 0).ecx * 1000ull;
}

/* Dom0 may write any port that Xen doesn't keep, so the status can be real. */
static void exit_pvh(int status)
{
	tell_exit_port(status);
	shut_down_xen_domain(status);
}

/* Xen makes up for each tick of a repeating timer that came while the CPU waited for
 * its turn, all at once: on a busy machine ticks would leave time for nothing else.
 * Single shots don't pile up. */
static void replace_devices(struct backend *changed)
{
	changed->write_console = write_xen_console;
	changed->exit = exit_pvh;
	changed->start_timer = start_native_single_shots;
	changed->stop_timer = stop_native_cpu_timer;
	changed->start_cpu_timer = start_native_single_shots;
}

const struct backend *find_pvh_backend(void)
{
	uint32_t base = runs_virtually() ? find_xen_leaves() : 0;

	if (base == 0)
		return NULL;
	fill_hypercall_page(base);
	know_time_stamp_speed(time_stamp_hertz(base));
	pvh_backend = native_backend;
	replace_devices(&pvh_backend);
	return &pvh_backend;
}
