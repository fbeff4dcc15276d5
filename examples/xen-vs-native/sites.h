/* SPDX-License-Identifier: MIT */
/* The kernel's sites: what they held when it was loaded, and what they hold now. */
#ifndef SITES_H
#define SITES_H

#include <stdint.h>

/* Copies every site's bytes, before anything is patched; returns how many there are. */
unsigned keep_original_sites(void);

/* The name of the slot at an address; NULL if it isn't one. */
const char *name_slot(const void *cell);

/* Each slot, what it holds, and each of its sites: the bytes that were and the bytes that are, disassembled.
 */
void print_sites(void);
/* One instruction a line; `address` is where the bytes stand or stood. */
void print_form(const char *when, uintptr_t address, const uint8_t *bytes, unsigned length);

/* FNV-1a, 64 bits, over the text without the page that Xen fills: in both worlds the same until it is
 * patched. */
uint64_t hash_text(void);
/* Writes over text behind the library's back. */
void force_bytes(uintptr_t address, const uint8_t *bytes, unsigned length);

#endif
