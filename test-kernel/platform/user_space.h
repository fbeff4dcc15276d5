/* SPDX-License-Identifier: MIT */
/*
 * Address spaces for user mode: what a program finds, below what the kernel has.
 *
 * All page tables are part of the image, some of each space and some that all share:
 *
 *   top ── pointers ── directory ─┬─ text table (shared): USER_TEXT
 *    │                            └─ data table: USER_DATA
 *    └─ last pointers ── last directory ── last table (all shared): USER_LAST_PAGE
 *
 * A space is built when it is first taken, and then never changes.
 */
#ifndef PLATFORM_USER_SPACE_H
#define PLATFORM_USER_SPACE_H

#include "page.h"
#include "user.h"

enum { TABLE_ENTRIES = 512 };

struct space {
	uint64_t top[TABLE_ENTRIES];         /* in kernel mode; natively in both */
	uint64_t user_top[TABLE_ENTRIES];    /* the same without the kernel: Xen takes two */
	uint64_t pointers[TABLE_ENTRIES];
	uint64_t directory[TABLE_ENTRIES];
	uint64_t data_table[TABLE_ENTRIES];
	uint8_t data[USER_DATA_SIZE];
} __attribute__((aligned(4096)));

/* Its data is zero. Panics if there is none. */
unsigned take_space(void);
void give_space(unsigned space);
uint8_t *data_of_space(unsigned space);
void load_space(unsigned space);

/* The page tables that are loaded, and how to go back to them. */
uint64_t loaded_tables(void);
void load_tables(uint64_t tables);

/* The page table entry of a user address in a space, as pte_val() shows it. 0: none. */
uint64_t user_page_entry(unsigned space, uint64_t address);

#endif
