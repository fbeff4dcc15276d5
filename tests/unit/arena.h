/* SPDX-License-Identifier: MIT */
/*
 * Images to patch: memory, records, and a port that writes it.
 *
 * What for
 *   The text of an image that a test builds can only be read. It is the first of two mappings of a memfd; the port
 *   hands out the second, and a page that can't be touched lies behind each. The records are put.h's.
 *
 * Calls
 *   start_library(), stop_library()  around each test; worlds[] are empty after the first
 *   hash_text()                      what the text holds
 *   alias_of()                       to write it behind the library's back
 *   port_mode, port_log              how the port behaves, what was logged
 *
 * Edge cases
 *   All addresses are fixed and low, so that 32-bit fields reach and expected text can be literal, but above what the
 *   heap may take (1 GiB behind the program). Functions are addresses that nobody calls.
 */
#ifndef TP_TEST_ARENA_H
#define TP_TEST_ARENA_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memfd_create: include this header first */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <textpatch/textpatch.h>

enum {
    WORLDS = 3,
    TEXT_SIZE = 1 << 20,
    SITES_MAX = 16384,
    KEYS_MAX = 512,
    INLINES_MAX = 64,
    FORMS_SIZE = 1 << 19,
    PAGE = 4096,
};

/* Functions, as addresses; FAR is out of reach of any 32-bit displacement from the worlds. */
#define WORK UINT64_C(0x54000000)
#define OTHER UINT64_C(0x54001000)
#define INLINED(n) (UINT64_C(0x54002000) + 16 * (n))
#define FAR UINT64_C(0x7e0000000000)
#define NONE ((uintptr_t)tp_nop_function)
#define RETURN0 ((uintptr_t)tp_return0)

#define FEATURE(n) TP_FEATURE_KERNEL(n)

struct tables {
    struct tp_site sites[SITES_MAX];
    struct tp_key keys[KEYS_MAX];
    struct tp_inline inlines[INLINES_MAX];
    uint32_t index[SITES_MAX];
    uint64_t cells[KEYS_MAX];
    uint8_t originals[FORMS_SIZE];
    uint8_t replacements[FORMS_SIZE];
};

struct world {
    struct tp_image image;
    struct tables *tables;
    uint8_t *text;  /* as it would be executed: readable */
    uint8_t *alias; /* the same memory: writable */
    unsigned used;  /* bytes of text */
    unsigned originals_used, replacements_used;
};

static struct world worlds[WORLDS];

/* The port. */

enum port_mode {
    PORT_WHOLE,   /* maps all that is asked for */
    PORT_SMALL,   /* only single edits */
    PORT_NEVER,   /* nothing */
    PORT_BUT_ONE, /* only single edits, and not the one numbered port_refuses */
    PORT_ONCE,    /* only the first single edit */
    PORT_SCRATCH, /* gives memory that is not the text */
};
static enum port_mode port_mode;
static unsigned port_maps, port_unmaps, port_small_maps, port_refuses, log_count;
static size_t mapped_length;
static void *mapped_alias;
static char port_log[TP_MESSAGE_MAX];
static uint8_t scratch[TEXT_SIZE + 16];

static inline struct world *find_world(uintptr_t address) {
    for (unsigned i = 0; i < WORLDS; i++)
        if (address >= (uintptr_t)worlds[i].text && address < (uintptr_t)worlds[i].text + TEXT_SIZE)
            return &worlds[i];
    return NULL;
}

static void *map_text(uintptr_t address, size_t length) {
    struct world *world = find_world(address);
    bool small = length <= TP_SITE_LENGTH_MAX;
    if (!world || address + length > (uintptr_t)world->text + TEXT_SIZE || mapped_alias)
        fail_msg("map_text(0x%lx, %zu) is not for a mapping that may be asked for", (long)address, length);
    port_small_maps += small;
    if (port_mode == PORT_NEVER || (port_mode == PORT_SMALL && !small) ||
        (port_mode == PORT_BUT_ONE && (!small || port_small_maps == port_refuses)) ||
        (port_mode == PORT_ONCE && (!small || port_small_maps > 1)))
        return NULL;
    port_maps++;
    mapped_length = length;
    mapped_alias = port_mode == PORT_SCRATCH ? scratch : world->alias + (address - (uintptr_t)world->text);
    return mapped_alias;
}

static void unmap_text(void *alias, size_t length) {
    if (alias != mapped_alias || length != mapped_length)
        fail_msg("unmap_text(%p, %zu) for map_text's %p, %zu", alias, length, mapped_alias, mapped_length);
    mapped_alias = NULL;
    port_unmaps++;
}

static void log_message(const char *message) {
    log_count++;
    snprintf(port_log, sizeof port_log, "%s", message);
}

static const struct tp_port test_port = {.map_text = map_text, .unmap_text = unmap_text, .log = log_message};

/* Memory. */

static inline void *map_at(uintptr_t address, size_t size, int protection, int file) {
    int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *memory =
        mmap((void *)address, size, protection, flags | (address ? MAP_FIXED_NOREPLACE : 0), file, 0);
    if (memory == MAP_FAILED || (address && memory != (void *)address))
        fail_msg("no memory at 0x%lx", (long)address);
    return memory;
}

/* A text and its alias, each with a page behind it that traps. */
static inline void map_world(unsigned n) {
    struct world *world = &worlds[n];
    int file = memfd_create("text", 0);
    if (file < 0 || ftruncate(file, TEXT_SIZE) != 0)
        fail_msg("no memfd");
    uint8_t *hole = map_at(0, TEXT_SIZE + PAGE, PROT_NONE, -1);
    world->alias = mmap(hole, TEXT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    world->text = map_at(0x50000000 + n * UINT64_C(0x1000000), TEXT_SIZE, PROT_READ, file);
    map_at((uintptr_t)world->text + TEXT_SIZE, PAGE, PROT_NONE, -1);
    world->tables =
        map_at(0x58000000 + n * UINT64_C(0x1000000), sizeof(struct tables), PROT_READ | PROT_WRITE, -1);
    memset(world->alias, 0xcc, TEXT_SIZE);
    close(file);
}

static inline void empty_world(unsigned n) {
    static const char *const names[WORLDS] = {"first", "second", "third"};
    struct world *world = &worlds[n];
    struct tables *tables = world->tables;
    memset(world->alias, 0xcc, world->used);
    world->used = world->originals_used = world->replacements_used = 0;
    world->image = (struct tp_image){
        .name = names[n],
        .text_start = (uintptr_t)world->text,
        .text_end = (uintptr_t)world->text + TEXT_SIZE,
        .sites = tables->sites,
        .keys = tables->keys,
        .inlines = tables->inlines,
        .originals = tables->originals,
        .originals_end = tables->originals + FORMS_SIZE,
        .replacements = tables->replacements,
        .replacements_end = tables->replacements + FORMS_SIZE,
        .index = tables->index,
    };
}

static inline void reset_port(void) {
    port_mode = PORT_WHOLE;
    port_maps = port_unmaps = port_small_maps = log_count = 0;
    mapped_alias = NULL;
    port_log[0] = '\0';
}

static inline void empty_worlds(void) {
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!worlds[i].text)
            map_world(i);
        empty_world(i);
    }
    reset_port();
}

/* Which NOPs are liked depends on the CPU's vendor, so that is settled here. */
static inline struct world *start_library(void) {
    empty_worlds();
    if (tp_finish() == TP_OK) /* a test has failed before it could */
        reset_port();
    assert_int_equal(tp_init(&test_port), TP_OK);
    assert_int_equal(tp_feature_clear(TP_FEATURE_VENDOR_AMD), TP_OK);
    return &worlds[0];
}

static inline void stop_library(void) {
    assert_int_equal(port_maps, port_unmaps);
    assert_int_equal(tp_finish(), TP_OK);
}

static inline uint64_t hash_bytes(const uint8_t *bytes, size_t length) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Of all worlds; what was never put is left out, but for the byte behind. */
static inline uint64_t hash_text(void) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < WORLDS; i++) {
        unsigned length = worlds[i].used < TEXT_SIZE ? worlds[i].used + 1 : TEXT_SIZE;
        hash = hash * 31 + hash_bytes(worlds[i].text, length);
    }
    return hash;
}

static inline uint8_t *alias_of(uintptr_t address) {
    struct world *world = find_world(address);
    assert_non_null(world);
    return world->alias + (address - (uintptr_t)world->text);
}

#endif
