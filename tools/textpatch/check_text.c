/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

#include "../../lib/render/render.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "check_map.h"
#include "disassemble.h"
#include "forms.h"
#include "report.h"

static const char *name_site(const struct image *image, const struct tp_site *site) {
    return format_text("%s at %s", tp_kind_text(tp_site_kind(site)),
                       describe_address(image->kernel, tp_site_address(site) - image->shift));
}

static void check_boundaries(const struct text_map *map, const struct tp_site *site) {
    const struct image *image = map->image;
    uint64_t start = tp_site_address(site) - image->shift, end = start + site->length;
    const struct kernel_symbol *function = function_at(image->kernel, start);
    if (!function)
        complain("%s: no function symbol covers it, so that its instructions can't be followed", name_site(image, site));
    else if (!is_code(map, start))
        complain("%s: what stands between %s and it is no code", name_site(image, site), function->name);
    else if (!begins_instruction(map, start))
        complain("%s: it begins inside an instruction", name_site(image, site));
    else if (end > function->end)
        complain("%s: it ends behind the end of %s", name_site(image, site), function->name);
    else if (tp_site_kind(site) != TP_KIND_LOCK_PREFIX && !ends_instruction(map, end))
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

/* A name without what compilers append to the parts that they split off: .cold, .__part.1 */
static size_t measure_base(const char *name) {
    const char *cold = strstr(name, ".cold"), *part = strstr(name, ".__part.");
    return cold ? (size_t)(cold - name) : part ? (size_t)(part - name) : strlen(name);
}

static bool is_of_compiler(const struct kernel_symbol *function) {
    return function->type == STT_FUNC && function->size;
}

/* In assembler, any label divides what its writer may call one function. */
static bool may_jump_to(const struct kernel_symbol *from, const struct kernel_symbol *to) {
    if (from == to || !is_of_compiler(from) || !is_of_compiler(to))
        return true;
    size_t length = measure_base(from->name);
    return length == measure_base(to->name) && strncmp(from->name, to->name, length) == 0;
}

static void check_key_target(const struct image *image, const struct tp_site *site) {
    if (tp_site_kind(site) != TP_KIND_STATIC_KEY)
        return;
    uint64_t start = tp_site_address(site) - image->shift, target = tp_relative(&site->form) - image->shift;
    const struct kernel_symbol *from = function_at(image->kernel, start), *to = function_at(image->kernel, target);
    if (target - start < site->length)
        complain("%s: its target, %s, is in the site itself", name_site(image, site),
                 describe_address(image->kernel, target));
    else if (from && to && !may_jump_to(from, to))
        complain("%s: its target, %s, is in another function", name_site(image, site),
                 describe_address(image->kernel, target));
}

void check_branch(const struct image *image, const struct branch *branch) {
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

void check_text(const struct image *image, const struct text_map *map) {
    for (uint32_t at = 0; at < image->tables.site_count; at++) {
        const struct tp_site *site = &image->tables.sites[at];
        if (at < image->tables.place_count)
            check_boundaries(map, site);
        check_original(image, at);
        check_first_value(image, site);
        check_key_target(image, site);
        check_trampoline(image, site);
    }
    for (size_t i = 0; i < map->branch_count; i++)
        check_branch(image, &map->branches[i]);
}
