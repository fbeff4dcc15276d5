/* SPDX-License-Identifier: MIT */
/* The image's 4 KiB pages; entry_native.asm has built the tables. */
#include "native.h"

extern uint64_t kernel_tables[];
extern const uint8_t rodata_start[], bss_end[];

static uint64_t *entry_of(uintptr_t address)
{
	return &kernel_tables[(address - KERNEL_VIRTUAL_BASE) >> PAGE_SHIFT];
}

uint64_t native_frame_of(uintptr_t address)
{
	return (address - KERNEL_VIRTUAL_BASE) >> PAGE_SHIFT;
}

/* One CPU's TLB: callers of map_text use the alias where they mapped it. */
void set_native_page_entry(uintptr_t address, uint64_t entry)
{
	*(volatile uint64_t *)entry_of(address) = entry;
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void forbid_execution(const uint8_t *start, const uint8_t *end)
{
	for (uintptr_t page = (uintptr_t)start; page < (uintptr_t)end; page += PAGE_SIZE)
		set_native_page_entry(page, *entry_of(page) | PAGE_NOEXECUTE);
}

/* In the first MiB lies code that starts another CPU, which never runs it with
 * paging on (smp_start.asm). */
void set_up_native_paging(void)
{
	forbid_execution((const uint8_t *)KERNEL_VIRTUAL_BASE, text_start);
	forbid_execution(rodata_start, bss_end);
	empty_text_window();
}
