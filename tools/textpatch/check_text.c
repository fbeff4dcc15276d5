/* SPDX-License-Identifier: MIT */
/*
 * How it works
 *   Every function is decoded by Zydis from its start, one instruction after another, into a map of the text with one byte
 *   each: where an instruction begins, and where decoding had to end. So that a site's start is not its own witness.
 */
#include "check.h"

#include <string.h>

#include "../../lib/render/render.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "disassemble.h"
#include "forms.h"
#include "report.h"

enum { MAP_BEGINS = 1, MAP_COVERED = 2 };

struct text_map {
    const struct image *image;
    uint8_t *marks; /* of text_start … text_end, inclusive */
    struct branch {
        uint64_t from, to;
    } *branches;
    size_t branch_count, room;
};

static uint8_t marks_at(const struct text_map *map, uint64_t address) {
    return map->marks[address - map->image->text_start];
}

static const char *name_site(const struct image *image, const struct tp_site *site) {
    return format_text("%s at %s", tp_kind_text(tp_site_kind(site)),
                       describe_address(image->kernel, tp_site_address(site) - image->shift));
}

static void note_branch(struct text_map *map, uint64_t from, uint64_t to) {
    if (map->branch_count == map->room) {
        map->room = map->room ? 2 * map->room : 4096;
        map->branches = grow(map->branches, map->branch_count, map->room, sizeof *map->branches);
    }
    map->branches[map->branch_count++] = (struct branch){from, to};
}

static void decode_function(struct text_map *map, const struct kernel_symbol *function) {
    const struct image *image = map->image;
    if (!lies_in_image_text(image, function->address, function->end - function->address))
        return;
    for (uint64_t at = function->address; at < function->end;) {
        const uint8_t *bytes = memory_at(image, at, function->end - at);
        unsigned length = bytes ? measure_instruction(bytes, function->end - at) : 0;
        if (length == 0)
            return;
        map->marks[at - image->text_start] |= MAP_BEGINS;
        for (unsigned i = 0; i < length; i++)
            map->marks[at + i - image->text_start] |= MAP_COVERED;
        struct flow flow = follow_instruction(bytes, length, at);
        if (flow.direct)
            note_branch(map, at, flow.target);
        at += length;
        if (at == function->end) /* where the next may begin */
            map->marks[at - image->text_start] |= MAP_BEGINS;
    }
}

static void check_boundaries(const struct text_map *map, const struct tp_site *site) {
    const struct image *image = map->image;
    uint64_t start = tp_site_address(site) - image->shift, end = start + site->length;
    const struct kernel_symbol *function = function_at(image->kernel, start);
    if (!function)
        complain("%s: no function symbol covers it, so that its instructions can't be followed", name_site(image, site));
    else if (!(marks_at(map, start) & MAP_COVERED))
        complain("%s: what stands between %s and it is no code", name_site(image, site), function->name);
    else if (!(marks_at(map, start) & MAP_BEGINS))
        complain("%s: it begins inside an instruction", name_site(image, site));
    else if (end > function->end)
        complain("%s: it ends behind the end of %s", name_site(image, site), function->name);
    else if (tp_site_kind(site) != TP_KIND_LOCK_PREFIX && !(marks_at(map, end) & MAP_BEGINS))
        complain("%s: it ends inside an instruction: its %u bytes are %s", name_site(image, site), site->length,
                 disassemble(image->kernel, memory_at(image, start, site->length), site->length, start));
}

/* What the record says of its bytes, by the renderer that will take them for granted. */
static void check_original(const struct image *image, uint32_t at) {
    const struct tp_site *site = &image->tables.sites[at];
    uint8_t expected[TP_SITE_LENGTH_MAX], kind;
    const uint8_t *found = (const uint8_t *)tp_site_address(site);
    enum tp_status status = tp_render(&image->tables, at, TP_VIEW_PRISTINE, expected, &kind);
    if (status != TP_OK)
        complain("%s: its original can't stand there: %s (distance %ld)", name_site(image, site), tp_status_text(status),
                 (long)tp_last_error()->distance);
    else if (memcmp(found, expected, site->length) != 0)
        complain("%s: found %s, expected %s", name_site(image, site), show_bytes(found, site->length),
                 show_bytes(expected, site->length));
}

/* The kernel runs before the library does: a static key's first value and its first instruction must agree. */
static void check_first_value(const struct image *image, const struct tp_site *site) {
    if (tp_site_kind(site) != TP_KIND_STATIC_KEY)
        return;
    const struct tp_key *key = tp_site_key(site);
    bool enabled = (int64_t)tp_key_read(key) > 0;
    bool should_jump = enabled == !!(site->detail & TP_KEY_JUMPS_IF_ENABLED);
    if (should_jump != !!(site->detail & TP_KEY_STARTS_AS_JUMP))
        complain("%s: key %s is %s at first, and the site is assembled as a %s", name_site(image, site), tp_key_name(key),
                 enabled ? "enabled" : "disabled", should_jump ? "NOP" : "jump");
}

/* A site's trampoline is one of the same static call, where there is a record that says so. */
static void check_trampoline(const struct image *image, const struct tp_site *site) {
    if (tp_site_kind(site) != TP_KIND_STATIC_CALL)
        return;
    uint32_t place = tp_search_place(&image->tables, tp_relative(&site->form));
    if (place == image->tables.place_count)
        return;
    const struct tp_site *trampoline = &image->tables.sites[place];
    if (tp_site_kind(trampoline) != TP_KIND_TRAMPOLINE || tp_site_address(trampoline) != tp_relative(&site->form))
        complain("%s: its trampoline is %s", name_site(image, site), name_site(image, trampoline));
    else if (tp_site_cell(trampoline) != tp_site_cell(site))
        complain("%s: its trampoline is %s's, its key %s", name_site(image, site), tp_key_name(tp_site_key(trampoline)),
                 tp_key_name(tp_site_key(site)));
}

static void check_branch(const struct image *image, const struct branch *branch) {
    if (!lies_in_image_text(image, branch->to, 1))
        return;
    uint32_t place = tp_search_place(&image->tables, branch->to + image->shift);
    if (place == image->tables.place_count)
        return;
    const struct tp_site *site = &image->tables.sites[place];
    uint64_t start = tp_site_address(site) - image->shift, end = start + site->length;
    bool from_inside = branch->from >= start && branch->from < end;
    if (branch->to != start && !from_inside)
        complain("%s: the branch at %s leads into it, %lu bytes behind its start", name_site(image, site),
                 describe_address(image->kernel, branch->from), (unsigned long)(branch->to - start));
}

void check_text(const struct image *image) {
    struct text_map map = {.image = image, .marks = reserve(image->text_end - image->text_start + 1)};
    for (uint32_t i = 0; i < image->kernel->function_count; i++)
        decode_function(&map, &image->kernel->functions[i]);
    for (uint32_t at = 0; at < image->tables.site_count; at++) {
        const struct tp_site *site = &image->tables.sites[at];
        if (at < image->tables.place_count)
            check_boundaries(&map, site);
        check_original(image, at);
        check_first_value(image, site);
        check_trampoline(image, site);
    }
    for (size_t i = 0; i < map.branch_count; i++)
        check_branch(image, &map.branches[i]);
}
