/* SPDX-License-Identifier: MIT */
#include "grid.h"

#include <string.h>

enum {
    GRID = 0x60000000,
    GRID_SIZE = 0x40000,
    NUMBER = 0x1000,    /* mov $number,%eax; ret */
    NUMBER_FIELD = 8,   /* in a quadword */
    DATA_CODE = 0x2000, /* mov data(%rip),%eax; ret */
    DATA = 0x3000,
};

static void put(unsigned offset, const void *code, size_t length) {
    memcpy(silicon_alias(GRID + offset, length), code, length);
}

static void put_function(unsigned offset, unsigned value) {
    uint8_t code[] = {0xb8, (uint8_t)value, 0, 0, 0, 0xc3};
    put(offset, code, sizeof code);
}

/* sub $8,%rsp; call; add $8,%rsp; ret */
static site_code *put_caller(unsigned site) {
    static const uint8_t before[] = {0x48, 0x83, 0xec, 8, 0xe8}, after[] = {0x48, 0x83, 0xc4, 8, 0xc3};
    put(site - 4, before, sizeof before);
    put(site + 5, after, sizeof after);
    return (site_code *)(uintptr_t)(GRID + site - 4);
}

static uint32_t displacement(unsigned low, unsigned high) {
    return (low ? 0x2000 : 0x1000) + (high ? 0x20000 : 0x10000);
}

/* 1 and 2 are right, 61 and 62 are mixtures. */
static void put_targets(unsigned site) {
    put_function(site + 5 + displacement(0, 0), 1);
    put_function(site + 5 + displacement(1, 1), 2);
    put_function(site + 5 + displacement(1, 0), 61);
    put_function(site + 5 + displacement(0, 1), 62);
}

void grid_map(void) {
    static const uint8_t load[] = {0x8b, 0x05, 0xfa, 0x0f, 0, 0, 0xc3};
    silicon_map_text(GRID, GRID_SIZE);
    put_function(NUMBER + NUMBER_FIELD - 1, 0);
    put(DATA_CODE, load, sizeof load);
}

unsigned long grid_store(struct peer *peer, unsigned site, unsigned long count, bool until_torn) {
    uint32_t values[2] = {displacement(0, 0), displacement(1, 1)};
    uint8_t *operand = silicon_alias(GRID + site + 1, 4);
    put_targets(site);
    site_code *code = put_caller(site);
    put(site + 1, &values[0], 4);
    peer_give(peer, code, 1);
    peer_change(peer, 2);
    for (unsigned long i = 1; i <= count; i++) {
        *(volatile uint32_t *)operand = values[i % 2];
        peer_wait(peer);
        if (until_torn && peer->wrong)
            return i;
    }
    return count;
}

site_code *grid_number_code(void) {
    return (site_code *)(uintptr_t)(GRID + NUMBER + NUMBER_FIELD - 1);
}

volatile uint32_t *grid_number(void) {
    return (volatile uint32_t *)silicon_alias(GRID + NUMBER + NUMBER_FIELD, 4);
}

site_code *grid_data_code(void) {
    return (site_code *)(uintptr_t)(GRID + DATA_CODE);
}

volatile uint32_t *grid_data(void) {
    return (volatile uint32_t *)silicon_alias(GRID + DATA, 4);
}
