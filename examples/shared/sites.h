/* SPDX-License-Identifier: MIT */
/* The kernel's sites: what they held at one time, and what they hold now. */
#ifndef SITES_H
#define SITES_H

#include <stddef.h>
#include <stdint.h>

#include <textpatch/engine.h>

/* Copies every site's bytes as they are now, in place of an earlier copy; returns how many sites there are. */
unsigned keep_sites(void);

/* Starts the library with the kernel's image and this world's features, says how each step ended, and keeps the sites. */
void show_start(struct tp_port *port, struct tp_image *kernel);

/* How many of those hold other bytes by now. */
unsigned count_changed_sites(void);

/* The name of the slot at an address; NULL if it isn't one. */
const char *name_slot(const void *cell);

/*
 * Each slot, what it holds, and each of its sites, but no more than `most` of a slot: the bytes that were and the
 * bytes that are, disassembled.
 */
void print_sites(unsigned most);
/* One instruction a line; `address` is where the bytes stand or stood. */
void print_form(const char *when, uintptr_t address, const uint8_t *bytes, unsigned length);

/* FNV-1a, 64 bits, over the text without the page that Xen fills: in both worlds the same until it is
 * patched. */
uint64_t hash_text(void);
/* Stores the bytes of every site that keep_sites() knows once more, as they are. */
void store_sites_again(void);
/* Writes over text behind the library's back. */
void poke_text(uintptr_t address, const void *bytes, size_t length);

#endif
