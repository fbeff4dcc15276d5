/* SPDX-License-Identifier: MIT */
/* Page table entries: Intel SDM volume 3A, 4.5; AMD APM volume 2, 5.3. */
#ifndef PLATFORM_PAGE_H
#define PLATFORM_PAGE_H

#include <stdint.h>

#define KERNEL_VIRTUAL_BASE 0xffffffff80000000ul
#define DIRECT_MAP_BASE     0xffff800000000000ul

#define PAGE_SIZE      4096ul
#define PAGE_SHIFT     12
#define PAGE_PRESENT   (1ull << 0)
#define PAGE_WRITABLE  (1ull << 1)
#define PAGE_USER      (1ull << 2)
#define PAGE_ACCESSED  (1ull << 5)
#define PAGE_DIRTY     (1ull << 6)
#define PAGE_NOEXECUTE (1ull << 63)

static inline uintptr_t round_down_to_page(uintptr_t address)
{
	return address & ~(PAGE_SIZE - 1);
}

static inline uintptr_t round_up_to_page(uintptr_t address)
{
	return round_down_to_page(address + PAGE_SIZE - 1);
}

#endif
