/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include "sites.h"

#include <string.h>
#include <sys/mman.h>

enum {
    /* Above what the heap may take: 1 GiB behind the program. */
    TEXT = 0x58000000,
    TABLES = 0x50000000,
    SPACING = 64,
    TRAMPOLINE = 8,
    TEXT_SIZE = (CROWD_MAX + 2) * SPACING + CROWD_CALLS_MAX * TRAMPOLINE,
    ENTRY = 4, /* bytes of code before a site */
};

struct tables {
    struct tp_site sites[CROWD_MAX + CROWD_CALLS_MAX];
    uint32_t index[CROWD_MAX + CROWD_CALLS_MAX];
    struct tp_key keys[CROWD_CALLS_MAX];
    uint64_t cells[CROWD_CALLS_MAX];
    char name[8];
};

static struct tables *tables;

static void point(int32_t *field, uintptr_t target) {
    *field = (int32_t)(target - (uintptr_t)field);
}

static void map_memory(void) {
    silicon_map_text(TEXT, TEXT_SIZE);
    tables = mmap((void *)TABLES, sizeof *tables, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (tables != (void *)TABLES)
        silicon_die("crowd: no memory for tables");
}

/* Trampolines come first. */
static uintptr_t trampoline(unsigned call) {
    return TEXT + call * TRAMPOLINE;
}

uintptr_t crowd_address(const struct crowd *crowd, unsigned site) {
    uintptr_t first = TEXT + (crowd->calls * TRAMPOLINE + SPACING - 1) / SPACING * SPACING;
    return first + site * SPACING + (crowd->across ? 61 : 8);
}

site_code *crowd_code(const struct crowd *crowd, unsigned site) {
    return (site_code *)(crowd_address(crowd, site) - ENTRY);
}

static void write_code(uintptr_t address, const char *code, unsigned length, unsigned field, uintptr_t target) {
    uint8_t *alias = silicon_alias(address, length);
    int32_t distance = (int32_t)(target - (address + field + 4));
    memcpy(alias, code, length);
    memcpy(alias + field, &distance, sizeof distance);
}

static struct tp_site *add_site(struct crowd *crowd, uintptr_t address, unsigned length, unsigned kind, unsigned call) {
    struct tp_site *site = &tables->sites[crowd->image.site_count++];
    *site = (struct tp_site){.length = (uint8_t)length, .kind = (uint8_t)(TP_RECORD_VERSION << 4 | kind)};
    point(&site->text, address);
    point(&site->key, (uintptr_t)&tables->cells[call]);
    return site;
}

static void put_call(struct crowd *crowd, unsigned call) {
    static const char code[] = "\xff\x25\0\0\0\0\xcc\xcc";
    struct tp_key *key = &tables->keys[call];
    *key = (struct tp_key){.kind = TP_KEY_KIND_STATIC_CALL};
    tables->cells[call] = (uintptr_t)value_1;
    point(&key->cell, (uintptr_t)&tables->cells[call]);
    point(&key->name, (uintptr_t)tables->name);
    write_code(trampoline(call), code, sizeof code - 1, 2, (uintptr_t)&tables->cells[call]);
    add_site(crowd, trampoline(call), 6, TP_KIND_TRAMPOLINE, call)->detail = TP_BRANCH_JMP;
}

/* Each run of as many sites as there are calls has one of each, in an order of its own: calls are a power of 2. */
static unsigned call_of(const struct crowd *crowd, unsigned site) {
    return (site * 77 + site / crowd->calls * 29) % crowd->calls;
}

/* sub $8,%rsp; call; add $8,%rsp; ret */
static void put_site(struct crowd *crowd, unsigned n) {
    static const char code[] = "\x48\x83\xec\x08\xe8\0\0\0\0\x48\x83\xc4\x08\xc3";
    unsigned call = call_of(crowd, n);
    uintptr_t address = crowd_address(crowd, n);
    write_code(address - ENTRY, code, sizeof code - 1, ENTRY + 1, trampoline(call));
    point(&add_site(crowd, address, 5, TP_KIND_STATIC_CALL, call)->form, trampoline(call));
}

void crowd_build(struct crowd *crowd, unsigned sites, unsigned calls, bool across) {
    if (!tables)
        map_memory();
    *crowd = (struct crowd){.sites = sites, .calls = calls, .across = across, .cells = tables->cells, .text = TEXT};
    memset(silicon_alias(TEXT, TEXT_SIZE), 0xcc, TEXT_SIZE);
    strcpy(tables->name, "crowd");
    crowd->image = (struct tp_image){
        .name = "crowd",
        .text_start = TEXT,
        .text_end = crowd_address(crowd, sites - 1) + SPACING,
        .sites = tables->sites,
        .keys = tables->keys,
        .key_count = calls,
        .originals = (const uint8_t *)tables->name,
        .originals_end = (const uint8_t *)tables->name,
        .replacements = (const uint8_t *)tables->name,
        .replacements_end = (const uint8_t *)tables->name,
        .index = tables->index,
    };
    for (unsigned i = 0; i < calls; i++)
        put_call(crowd, i);
    for (unsigned i = 0; i < sites; i++)
        put_site(crowd, i);
}
