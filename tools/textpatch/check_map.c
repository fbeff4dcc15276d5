/* SPDX-License-Identifier: MIT */
#include "check_map.h"

#include <string.h>

#include "../../lib/site/site.h"
#include "disassemble.h"
#include "report.h"

enum mark {
    MARK_BEGINS = 1,
    MARK_CODE = 2,
    MARK_ENDS = 4, /* the byte before is an instruction's last */
    MARK_WAITS = 8,
    MARK_LABEL = 16,
};

static uint8_t *marks_at(const struct text_map *map, uint64_t address) {
    return &map->marks[address - map->image->text_start];
}

static bool has_mark(const struct text_map *map, uint64_t address, enum mark mark) {
    const struct image *image = map->image;
    return address >= image->text_start && address <= image->text_end && *marks_at(map, address) & mark;
}

bool begins_instruction(const struct text_map *map, uint64_t address) {
    return has_mark(map, address, MARK_BEGINS);
}

bool ends_instruction(const struct text_map *map, uint64_t address) {
    return has_mark(map, address, MARK_ENDS);
}

bool is_code(const struct text_map *map, uint64_t address) {
    return has_mark(map, address, MARK_CODE);
}

uint64_t find_instruction(const struct text_map *map, uint64_t address) {
    while (!begins_instruction(map, address))
        address--;
    return address;
}

static void note_branch(struct text_map *map, uint64_t from, uint64_t to) {
    if (map->branch_count == map->branch_room) {
        map->branch_room = map->branch_room ? 2 * map->branch_room : 4096;
        map->branches = grow(map->branches, map->branch_count, map->branch_room, sizeof *map->branches);
    }
    map->branches[map->branch_count++] = (struct branch){from, to};
}

static void add_start(struct text_map *map, uint64_t address) {
    if (!lies_in_image_text(map->image, address, 1) || has_mark(map, address, MARK_WAITS))
        return;
    if (map->waiting_count == map->waiting_room) {
        map->waiting_room = map->waiting_room ? 2 * map->waiting_room : 4096;
        map->waiting = grow(map->waiting, map->waiting_count, map->waiting_room, sizeof *map->waiting);
    }
    *marks_at(map, address) |= MARK_WAITS;
    map->waiting[map->waiting_count++] = address;
}

/* 0 if none is there, before `end`. */
static unsigned measure_at(const struct text_map *map, uint64_t at, uint64_t end) {
    const uint8_t *bytes = memory_at(map->image, at, end - at);
    return bytes ? measure_instruction(bytes, end - at) : 0;
}

static struct flow flow_at(const struct text_map *map, uint64_t at, unsigned length) {
    return follow_instruction(memory_at(map->image, at, length), length, at);
}

static void mark_instruction(struct text_map *map, uint64_t at, unsigned length) {
    *marks_at(map, at) |= MARK_BEGINS;
    for (unsigned i = 0; i < length; i++)
        *marks_at(map, at + i) |= MARK_CODE;
    *marks_at(map, at + length) |= MARK_ENDS;
}

static const struct kernel_symbol *find_function(const struct text_map *map, uint64_t address) {
    const struct kernel_symbol *function = function_at(map->image->kernel, address);
    bool whole = function && lies_in_image_text(map->image, function->address, function->end - function->address);
    return whole ? function : NULL;
}

/* Up to where code ends, or has been followed. */
static void follow_run(struct text_map *map, uint64_t at) {
    const struct kernel_symbol *function = find_function(map, at);
    while (function && at < function->end && !is_code(map, at)) {
        unsigned length = measure_at(map, at, function->end);
        if (length == 0)
            return;
        struct flow flow = flow_at(map, at, length);
        mark_instruction(map, at, length);
        if (flow.direct) {
            note_branch(map, at, flow.target);
            add_start(map, flow.target);
        }
        if (flow.ends)
            return;
        at += length;
    }
}

/* First come, first followed: all that a function's start leads to before what branches lead to. */
static void drain(struct text_map *map) {
    while (map->next < map->waiting_count)
        follow_run(map, map->waiting[map->next++]);
}

/* ---- What nothing leads to ---- */

static bool is_free(const struct text_map *map, uint64_t at, unsigned length) {
    for (unsigned i = 0; i < length; i++)
        if (is_code(map, at + i))
            return false;
    return true;
}

static bool reads_as_code(const struct text_map *map, uint64_t at, uint64_t end) {
    while (at < end && !begins_instruction(map, at)) {
        unsigned length = measure_at(map, at, end);
        if (length == 0 || !is_free(map, at, length))
            return false;
        if (flow_at(map, at, length).ends)
            return true;
        at += length;
    }
    return true;
}

static void follow_gaps(struct text_map *map, const struct kernel_symbol *function) {
    for (uint64_t at = function->address; at < function->end; at++) {
        if (is_code(map, at))
            continue;
        if (reads_as_code(map, at, function->end)) {
            follow_run(map, at);
            drain(map);
        }
        while (at + 1 < function->end && !is_code(map, at) && !has_mark(map, at + 1, MARK_LABEL))
            at++;
    }
}

static void mark_labels(struct text_map *map) {
    const struct kernel *kernel = map->image->kernel;
    for (uint32_t i = 0; i < kernel->symbol_count; i++) {
        const struct kernel_symbol *symbol = &kernel->symbols[i];
        bool of_macro = strncmp(symbol->name, "..@", 3) == 0;
        if (symbol->type != STT_OBJECT && !of_macro && lies_in_image_text(map->image, symbol->address, 1))
            *marks_at(map, symbol->address) |= MARK_LABEL;
    }
}

static void add_key_targets(struct text_map *map) {
    const struct tp_image *tables = &map->image->tables;
    for (uint32_t i = 0; i < tables->site_count; i++) {
        uint64_t target = tp_relative(&tables->sites[i].form) - map->image->shift;
        if (tp_site_kind(&tables->sites[i]) == TP_KIND_STATIC_KEY && !is_code(map, target))
            add_start(map, target);
    }
}

const struct text_map *map_text(const struct image *image) {
    const struct kernel *kernel = image->kernel;
    struct text_map *map = allocate(1, sizeof *map);
    *map = (struct text_map){.image = image, .marks = reserve(image->text_end - image->text_start + 1)};
    for (uint32_t i = 0; i < kernel->function_count; i++)
        add_start(map, kernel->functions[i].address);
    drain(map);
    mark_labels(map);
    for (uint32_t i = 0; i < kernel->function_count; i++)
        if (find_function(map, kernel->functions[i].address))
            follow_gaps(map, &kernel->functions[i]);
    add_key_targets(map);
    drain(map);
    return map;
}
