/* SPDX-License-Identifier: MIT */
/*
 * Text protection and the writable alias. The window of alias addresses is a
 * piece of the image (kernel.ld), so its page tables exist in both worlds and
 * only entries are replaced.
 */
#include "backend.h"
#include "page.h"
#include "ports.h"

extern const uint8_t rodata_start[], rodata_end[];
extern uint8_t text_window_start[], text_window_end[];

enum { WINDOW_PAGES = 1024 };

static bool page_taken[WINDOW_PAGES];
static bool window_locked;

static void lock_window(void)
{
	while (__atomic_test_and_set(&window_locked, __ATOMIC_ACQUIRE))
		pause_briefly();
}

static void unlock_window(void)
{
	__atomic_clear(&window_locked, __ATOMIC_RELEASE);
}

static uint64_t entry_for(uintptr_t address, uint64_t rights)
{
	return backend->frame_of(address) << PAGE_SHIFT |
	       PAGE_PRESENT | PAGE_ACCESSED | PAGE_DIRTY | rights;
}

static void protect_range(const uint8_t *start, const uint8_t *end, uint64_t rights)
{
	for (uintptr_t page = (uintptr_t)start; page < (uintptr_t)end; page += PAGE_SIZE)
		backend->set_page_entry(page, entry_for(page, rights));
}

/* No page is global: a write to CR3 flushes them all (Intel SDM volume 3A,
 * 4.10.4.1). */
static void flush_tlb(void *unused)
{
	uint64_t cr3;

	(void)unused;
	__asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(cr3) : : "memory");
}

/* A CPU that doesn't answer keeps the rights it had. */
static void flush_other_tlbs(void)
{
	if (backend->flushes_one_tlb)
		call_patiently(flush_tlb, NULL);
}

void protect_text(void)
{
	protect_range(text_start, text_end, 0);
	protect_range(rodata_start, rodata_end, PAGE_NOEXECUTE);
	flush_other_tlbs();
}

void unprotect_text(void)
{
	protect_range(text_start, text_end, PAGE_WRITABLE);
	flush_other_tlbs();
}

void empty_text_window(void)
{
	uintptr_t end = (uintptr_t)text_window_end;

	if (end - (uintptr_t)text_window_start != WINDOW_PAGES * PAGE_SIZE)
		panic("kernel.ld and text.c disagree on the alias window");
	for (uintptr_t page = (uintptr_t)text_window_start; page < end; page += PAGE_SIZE)
		backend->set_page_entry(page, 0);
}

/* First fit; returns WINDOW_PAGES if there is none. */
static size_t take_pages(size_t wanted)
{
	size_t free_run = 0;

	for (size_t page = 0; page < WINDOW_PAGES; page++) {
		free_run = page_taken[page] ? 0 : free_run + 1;
		if (free_run < wanted)
			continue;
		for (size_t taken = 0; taken < wanted; taken++)
			page_taken[page - taken] = true;
		return page + 1 - wanted;
	}
	return WINDOW_PAGES;
}

static bool is_image(uintptr_t start, uintptr_t end)
{
	return start < end && start >= (uintptr_t)text_start &&
	       end <= (uintptr_t)text_window_start;
}

void *map_text(uintptr_t address, size_t length)
{
	uintptr_t start = round_down_to_page(address);
	uintptr_t end = round_up_to_page(address + length);
	size_t pages = (end - start) / PAGE_SIZE;
	uintptr_t alias;
	size_t first;

	if (!is_image(start, end))
		return NULL;
	lock_window();
	first = take_pages(pages);
	unlock_window();
	if (first == WINDOW_PAGES)
		return NULL;
	alias = (uintptr_t)text_window_start + first * PAGE_SIZE;
	for (size_t page = 0; page < pages; page++)
		backend->set_page_entry(alias + page * PAGE_SIZE,
					entry_for(start + page * PAGE_SIZE,
						  PAGE_WRITABLE | PAGE_NOEXECUTE));
	return (void *)(alias + (address - start));
}

void unmap_text(void *alias, size_t length)
{
	uintptr_t start = round_down_to_page((uintptr_t)alias);
	uintptr_t end = round_up_to_page((uintptr_t)alias + length);
	size_t first = (start - (uintptr_t)text_window_start) / PAGE_SIZE;
	size_t pages = (end - start) / PAGE_SIZE;

	if (start < (uintptr_t)text_window_start || end > (uintptr_t)text_window_end)
		panic("unmap_text: %p is no alias", alias);
	for (size_t page = 0; page < pages; page++)
		backend->set_page_entry(start + page * PAGE_SIZE, 0);
	lock_window();
	for (size_t page = 0; page < pages; page++)
		page_taken[first + page] = false;
	unlock_window();
}
