/* SPDX-License-Identifier: MIT */
/*
 * User mode under Xen PV. Kernel and user mode have page tables of their own, and Xen
 * changes from one to the other with the mode (xen/xen.h, MMUEXT_NEW_USER_BASEPTR). A
 * page table is one because an L4 that is pinned leads to it, and then nobody may have
 * it writable.
 */
#include "xen_backend.h"
#include "page.h"

static void extend_paging(unsigned command, uint64_t frame)
{
	struct mmuext_op operation = { .cmd = command, .arg1.mfn = frame };
	long result = hypercall4(__HYPERVISOR_mmuext_op, (unsigned long)&operation, 1, 0,
				 DOMID_SELF);

	if (result != 0)
		panic("mmuext_op: command %u, frame %lx: %ld", command, frame, result);
}

void protect_xen_table(const uint64_t *table)
{
	uintptr_t address = (uintptr_t)table;

	set_xen_page_entry(address, xen_frame_of(address) << PAGE_SHIFT | PAGE_PRESENT |
				    PAGE_ACCESSED | PAGE_DIRTY | PAGE_NOEXECUTE);
}

void adopt_xen_top_table(const uint64_t *table)
{
	protect_xen_table(table);
	extend_paging(MMUEXT_PIN_L4_TABLE, xen_frame_of((uintptr_t)table));
}

void set_xen_user_table(uint64_t frame)
{
	extend_paging(MMUEXT_NEW_USER_BASEPTR, frame);
}

void set_xen_entry_stack(uintptr_t top)
{
	long result = hypercall2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, top);

	if (result != 0)
		panic("stack_switch to %lx: %ld", top, result);
}

void set_xen_user_gs_base(uint64_t base)
{
	long result = hypercall2(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER, base);

	if (result != 0)
		panic("set_segment_base to %lx: %ld", base, result);
}
