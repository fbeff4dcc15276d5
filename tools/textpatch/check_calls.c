/* SPDX-License-Identifier: MIT */
/*
 * How it works
 *   From each root, every function that is called or jumped to, as far as branches say where they lead. Calls through
 *   pointers (the port's hooks) can't be followed: the hooks are named with --hook.
 */
#include "check.h"

#include <string.h>

#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "disassemble.h"
#include "report.h"

/* #BP, and what changes text while others run it. One that the kernel doesn't link is none. */
static const char *const roots[] = {
    "tp_breakpoint_entry",      "tp_breakpoint_entry_copied",    "tp_breakpoint_entry_xen_pv", "tp_handle_breakpoint",
    "tp_breakpoint_dispatch",   "tp_breakpoint_dispatch_copied", "tp_outside_changing",        "tp_serialize_cpu",
    "tp_batch_commit",          "tp_batch_resume",               "tp_live_edit",               "tp_live_run",
};

struct walk {
    const struct image *image;
    uint32_t *callers; /* by function: 1 + the index of who called it first, or ROOT; 0: not reached */
    uint32_t *waiting;
    uint32_t waiting_count;
};

#define ROOT UINT32_MAX

static uint32_t index_of(const struct kernel *kernel, const struct kernel_symbol *function) {
    return (uint32_t)(function - kernel->functions);
}

static void reach(struct walk *walk, uint64_t address, uint32_t caller) {
    const struct kernel_symbol *function = function_at(walk->image->kernel, address);
    if (!function)
        return;
    uint32_t index = index_of(walk->image->kernel, function);
    if (walk->callers[index])
        return;
    walk->callers[index] = caller;
    walk->waiting[walk->waiting_count++] = index;
}

/* "tp_handle_breakpoint, decide, memcpy" */
static const char *describe_way(const struct walk *walk, uint32_t index) {
    const char *text = walk->image->kernel->functions[index].name;
    for (uint32_t caller = walk->callers[index]; caller != ROOT; caller = walk->callers[caller - 1])
        text = format_text("%s, %s", walk->image->kernel->functions[caller - 1].name, text);
    return text;
}

static void check_function(const struct walk *walk, uint32_t index) {
    const struct image *image = walk->image;
    const struct kernel_symbol *function = &image->kernel->functions[index];
    uint32_t at = tp_search_sites(&image->tables, 0, image->tables.place_count, function->address + image->shift);
    for (; at < image->tables.place_count; at++) {
        const struct tp_site *site = &image->tables.sites[at];
        uint64_t address = tp_site_address(site) - image->shift;
        if (address >= function->end)
            break;
        complain("%s at %s: no site may be where it is reached in #BP or between the first int3 and the last sync (%s)",
                 tp_kind_text(tp_site_kind(site)), describe_address(image->kernel, address), describe_way(walk, index));
    }
}

static void follow_function(struct walk *walk, uint32_t index) {
    const struct kernel_symbol *function = &walk->image->kernel->functions[index];
    for (uint64_t at = function->address; at < function->end;) {
        const uint8_t *bytes = memory_at(walk->image, at, function->end - at);
        unsigned length = bytes ? measure_instruction(bytes, function->end - at) : 0;
        if (length == 0)
            break;
        struct flow flow = follow_instruction(bytes, length, at);
        at += length;
        if (flow.direct)
            reach(walk, flow.target, index + 1);
        if (at >= function->end && !flow.ends) /* one that goes on into the next */
            reach(walk, at, index + 1);
    }
}

void check_calls(const struct image *image, const char *const *hooks) {
    const struct kernel *kernel = image->kernel;
    struct walk walk = {.image = image,
                        .callers = allocate(kernel->function_count, sizeof *walk.callers),
                        .waiting = allocate(kernel->function_count, sizeof *walk.waiting)};
    for (unsigned i = 0; i < sizeof roots / sizeof *roots; i++) {
        const struct kernel_symbol *root = find_symbol(kernel, roots[i]);
        if (root)
            reach(&walk, root->address, ROOT);
    }
    for (; hooks && *hooks; hooks++)
        reach(&walk, need_symbol(kernel, *hooks)->address, ROOT);
    for (uint32_t next = 0; next < walk.waiting_count; next++) {
        check_function(&walk, walk.waiting[next]);
        follow_function(&walk, walk.waiting[next]);
    }
}
