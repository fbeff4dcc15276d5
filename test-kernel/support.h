/* SPDX-License-Identifier: MIT */
/*
 * What several suites need: the library started and stopped around a case, sites found by what they depend on, and
 * text changed behind the library's back.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/engine.h>

/* map_text and unmap_text: good in both worlds. */
extern const struct tp_port alias_port;
extern struct tp_image kernel_image;

/* Text as the loader left it. Called before anything is patched. */
void keep_pristine_text(void);
bool text_is_pristine(void);
uint64_t hash_bytes(const void *bytes, size_t length);
uint64_t hash_text(void);

/* tp_init and the kernel's image, nothing applied; false: the case has failed already. */
bool start_library(const struct tp_port *port);
/* start_library(&alias_port) and tp_apply(). */
bool start_applied(void);

/* Around each case: the case finds the library not started and text pristine, and leaves it so or is told. */
void open_case(void);
void close_case(void);

/* Writes over text by the alias, whatever its protection, and serialises. */
void poke_text(uintptr_t address, const void *bytes, size_t length);
void flip_byte(uintptr_t address);

/* The nth site (from 0) at or behind an address, as a rule a function's; sites inside others don't count. One that
 * doesn't exist fails the case, and is a site of zeros somewhere in data. */
struct tp_site_info find_site(uintptr_t address, unsigned nth);
#define SITE_OF(function, nth) find_site((uintptr_t)(function), nth)
unsigned count_cell_sites(const void *cell);
unsigned count_sites(void);

/* Differences that an audit finds; `first`, unless NULL, gets the first site's address. */
unsigned count_differences(uintptr_t *first);

/* What `call rel32` or `jmp rel32` at an address goes to. */
uintptr_t branch_target(uintptr_t opcode_address);

#endif
