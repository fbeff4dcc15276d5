/* SPDX-License-Identifier: MIT */
#include "code_walk.h"

#include "../lib/insn/decode.h"
#include "platform.h"

enum { PLACES = 1024, OPEN_ENDS = 64 };

struct place places[PLACES];
unsigned place_count;

/* Beginnings that have not been walked yet. */
static uintptr_t open_ends[OPEN_ENDS];
static unsigned open_count;

void forget_places(void) {
    place_count = 0;
}

/* The first place that isn't below the address. */
static unsigned index_of(uintptr_t address) {
    unsigned low = 0, high = place_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (places[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct place *find_place(uintptr_t address) {
    unsigned index = index_of(address);
    return index < place_count && places[index].address == address ? &places[index] : NULL;
}

static void add_place(uintptr_t address, unsigned marks) {
    unsigned index = index_of(address);
    if (place_count == PLACES)
        panic("more than %u instructions to walk", PLACES);
    for (unsigned i = place_count++; i > index; i--)
        places[i] = places[i - 1];
    places[index] = (struct place){.address = address, .marks = marks};
}

static void add_open_end(uintptr_t address) {
    if (open_count == OPEN_ENDS)
        panic("more than %u jumps to walk", OPEN_ENDS);
    open_ends[open_count++] = address;
}

static struct tp_insn decode(uintptr_t address) {
    struct tp_insn insn;
    if (tp_insn_decode((const uint8_t *)address, text_end, &insn) != TP_OK)
        panic("no instruction at %lx", address);
    return insn;
}

static bool is_jump(const struct tp_insn *insn) {
    return insn->kind == TP_INSN_JMP_RELATIVE || insn->kind == TP_INSN_JCC_RELATIVE;
}

/* Until what is known already, or the flow's end. */
static void walk_on(uintptr_t address, enum walk *walk, unsigned marks) {
    while (!find_place(address)) {
        struct tp_insn insn = decode(address);
        bool taken = *walk == WALK_FIRST_JUMP_TAKEN && insn.kind == TP_INSN_JCC_RELATIVE;
        add_place(address, marks);
        if (is_jump(&insn))
            add_open_end(tp_insn_target(&insn, (const uint8_t *)address, address));
        if (insn.kind == TP_INSN_JCC_RELATIVE)
            *walk = WALK_ALL;
        if (taken || insn.flags & TP_INSN_ENDS_FLOW)
            return;
        address += insn.length;
    }
}

void walk_code(uintptr_t start, enum walk walk, unsigned marks) {
    open_count = 0;
    add_open_end(start);
    while (open_count > 0)
        walk_on(open_ends[--open_count], &walk, marks);
}
