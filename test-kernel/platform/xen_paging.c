/* SPDX-License-Identifier: MIT */
/* Page table entries of the image, through Xen. */
#include "xen_backend.h"
#include "page.h"

static uint8_t shared_info_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
struct shared_info *const shared_info = (struct shared_info *)shared_info_page;

/* Machine frames by pseudo-physical frame. */
static const unsigned long *machine_frames;

static const uint64_t *top_table;

const uint64_t *xen_top_table(void)
{
	return top_table;
}

uint64_t xen_top_table_frame(void)
{
	return xen_frame_of((uintptr_t)top_table);
}

uint64_t xen_frame_of(uintptr_t address)
{
	return machine_frames[(address - KERNEL_VIRTUAL_BASE) >> PAGE_SHIFT];
}

void set_xen_page_entry(uintptr_t address, uint64_t entry)
{
	long result = hypercall3(__HYPERVISOR_update_va_mapping, address, entry,
				 UVMF_INVLPG | UVMF_ALL);

	if (result != 0)
		panic("update_va_mapping of %lx to %lx: %ld", address, entry, result);
}

void set_up_xen_paging(const struct start_info *information)
{
	machine_frames = (const unsigned long *)information->mfn_list;
	top_table = (const uint64_t *)information->pt_base;
	set_xen_page_entry((uintptr_t)shared_info_page,
			   information->shared_info | PAGE_PRESENT | PAGE_WRITABLE |
			   PAGE_ACCESSED | PAGE_DIRTY | PAGE_NOEXECUTE);
}
