/* SPDX-License-Identifier: MIT */
/* Exceptions under Xen PV: its trap table and callbacks stand for an IDT. */
#include "xen_backend.h"
#include "page.h"

extern const uint8_t xen_event_callback[], xen_failsafe_callback[], xen_nmi_callback[],
		     xen_syscall_callback[], xen_syscall_gate[];

/* As an interrupt gate would: upcalls masked inside (xen/arch-x86/xen.h,
 * struct trap_info). */
enum { TRAP_MASKS_EVENTS = 4 };

static uintptr_t entries[EXCEPTION_VECTORS];

static struct trap_info describe_trap(unsigned vector, uintptr_t entry)
{
	bool for_user = vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW ||
			vector == VECTOR_SYSCALL_GATE;

	return (struct trap_info){
		.vector = (uint8_t)vector,
		.flags = TRAP_MASKS_EVENTS | (for_user ? 3 : 0),
		.cs = FLAT_KERNEL_CS,
		.address = entry,
	};
}

/* Xen adds the entries to those it has, up to one whose address is 0. */
static void load_trap(unsigned vector, uintptr_t entry)
{
	struct trap_info traps[2] = {
		describe_trap(vector, entry), { .address = 0 },
	};

	if (hypercall1(__HYPERVISOR_set_trap_table, (unsigned long)traps) != 0)
		panic("set_trap_table: vector %u", vector);
}

static void load_entry(unsigned vector)
{
	load_trap(vector, entries[vector]);
}

static void load_called_entry(void *vector)
{
	load_entry((unsigned)(uintptr_t)vector);
}

void set_xen_entry(unsigned vector, uintptr_t entry)
{
	if (vector >= EXCEPTION_VECTORS)
		panic("vector %u has no entry under Xen", vector);
	entries[vector] = entry;
	load_entry(vector);
	if (!call_patiently(load_called_entry, (void *)(uintptr_t)vector))
		panic("a CPU doesn't answer and keeps its old entry for vector %u", vector);
}

/* Xen chooses the stack. */
bool use_xen_breakpoint_stack(bool own)
{
	(void)own;
	return false;
}

uintptr_t own_xen_entry(unsigned vector)
{
	return (uintptr_t)xen_stubs + vector * XEN_STUB_SIZE;
}

static void register_callback(uint16_t type, const uint8_t *entry)
{
	struct callback_register callback = {
		.type = type,
		.flags = CALLBACKF_mask_events,
		.address = (unsigned long)entry,
	};

	if (hypercall2(__HYPERVISOR_callback_op, CALLBACKOP_register,
		       (unsigned long)&callback) != 0)
		panic("callback_op: type %u", type);
}

void register_vcpu_info(struct cpu *cpu)
{
	struct vcpu_register_vcpu_info place = {
		.mfn = xen_frame_of((uintptr_t)&cpu->vcpu_info),
		.offset = (uintptr_t)&cpu->vcpu_info % PAGE_SIZE,
	};

	if (hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, cpu->index,
		       (unsigned long)&place) != 0)
		panic("register_vcpu_info");
}

void load_xen_exceptions(void)
{
	for (unsigned vector = 0; vector < EXCEPTION_VECTORS; vector++)
		load_entry(vector);
	load_trap(VECTOR_SYSCALL_GATE, (uintptr_t)xen_syscall_gate);
	register_callback(CALLBACKTYPE_syscall, xen_syscall_callback);
	register_callback(CALLBACKTYPE_event, xen_event_callback);
	register_callback(CALLBACKTYPE_failsafe, xen_failsafe_callback);
	register_callback(CALLBACKTYPE_nmi, xen_nmi_callback);
}

void set_up_xen_exceptions(void)
{
	for (unsigned vector = 0; vector < EXCEPTION_VECTORS; vector++)
		entries[vector] = own_xen_entry(vector);
	load_xen_exceptions();
}
