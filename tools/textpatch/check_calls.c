/* SPDX-License-Identifier: MIT */
/*
 * How it works
 *   From each root, every function that is called or jumped to, as far as branches say where they lead. What the library
 *   calls through pointers of its own is a root, too; the port's hooks are named with --hook, or read from the port
 *   that --port names. The library keeps its roots
 *   whole and by their names, whatever the compiler does (TP_ROOT of lib/root.h); copies that compilers make of one
 *   have a name that goes on behind a dot.
 */
#include "check.h"

#include <string.h>

#include <textpatch/port.h>

#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "check_map.h"
#include "disassemble.h"
#include "report.h"

/*
 * #BP, and what changes text while others run it: tp_live_resume() is the whole of such a pass. Where `with` is linked, the
 * root must be; not all kernels link all.
 */
static const struct root {
    const char *name, *with;
} roots[] = {
    {"tp_breakpoint_entry", NULL},
    {"tp_breakpoint_entry_copied", NULL},
    {"tp_breakpoint_entry_xen_pv", NULL},
    {"tp_breakpoint_dispatch", "tp_breakpoint_entry"},
    {"tp_breakpoint_dispatch", "tp_breakpoint_entry_xen_pv"},
    {"tp_breakpoint_dispatch_copied", "tp_breakpoint_entry_copied"},
    {"tp_handle_breakpoint", "tp_breakpoint_dispatch"},
    {"tp_live_resume", "tp_batch_commit"},
    {"tp_live_resume", "tp_live_edit"},
    {"tp_live_resume", "tp_outside_changing"},
    {"tp_live_edit", "tp_live_resume"},
    {"tp_live_run", "tp_live_resume"},
    {"tp_live_write_stopped", "tp_live_resume"},
    {"tp_outside_changing", "tp_live_resume"},
    {"tp_serialize_cpu", NULL},
};

struct walk {
    const struct image *image;
    const struct text_map *map;
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
    const struct image *image = walk->image;
    const struct kernel_symbol *function = &image->kernel->functions[index];
    /* A hostile file's function may be larger than the text. */
    uint64_t start = function->address > image->text_start ? function->address : image->text_start;
    uint64_t end = function->end < image->text_end ? function->end : image->text_end;
    for (uint64_t at = start; at < end; at++) {
        if (!begins_instruction(walk->map, at))
            continue;
        const uint8_t *bytes = memory_at(image, at, end - at);
        unsigned length = measure_instruction(bytes, end - at);
        struct flow flow = follow_instruction(bytes, length, at);
        uint64_t next = at + length;
        if (flow.direct)
            reach(walk, flow.target, index + 1);
        if (next >= end && !flow.ends) /* one that goes on into the next */
            reach(walk, next, index + 1);
    }
}

/* True for "stop_cpus" and "stop_cpus.lto_priv.0", not for "stop_cpus.cold", which is a part of the same. */
static bool is_named(const struct kernel_symbol *symbol, const char *name) {
    size_t length = strlen(name);
    return strncmp(symbol->name, name, length) == 0 && (!symbol->name[length] || symbol->name[length] == '.') &&
           !strstr(symbol->name + length, ".cold");
}

/* They count as reached, by nobody. */
static void leave_out(struct walk *walk, const char *name) {
    const struct kernel *kernel = walk->image->kernel;
    bool found = false;
    for (uint32_t i = 0; i < kernel->function_count; i++)
        if (is_named(&kernel->functions[i], name)) {
            found = true;
            walk->callers[i] = ROOT;
        }
    if (!found)
        (void)need_symbol(kernel, name);
}

/* All that have the name: static functions of several files may. False if there is none. */
static bool reach_all(struct walk *walk, const char *name) {
    const struct kernel *kernel = walk->image->kernel;
    bool found = false;
    for (uint32_t i = 0; i < kernel->symbol_count; i++) {
        const struct kernel_symbol *symbol = &kernel->symbols[i];
        if (symbol->type == STT_OBJECT || !is_named(symbol, name))
            continue;
        found = true;
        reach(walk, symbol->address, ROOT);
    }
    return found;
}

static void reach_roots(struct walk *walk) {
    for (unsigned i = 0; i < sizeof roots / sizeof *roots; i++)
        if (!reach_all(walk, roots[i].name) && roots[i].with && find_symbol(walk->image->kernel, roots[i].with))
            complain("it has %s, and no symbol %s: what changes text can't be followed from there", roots[i].with,
                     roots[i].name);
}

/* All of its fields are hooks. */
static void reach_hooks_of(struct walk *walk, const struct kernel_symbol *port) {
    enum { HOOKS = sizeof(struct tp_port) / sizeof(uint64_t) };
    uint64_t hooks[HOOKS];
    unsigned known = 0;
    const uint8_t *bytes = memory_at(walk->image, port->address, sizeof hooks);
    if (!bytes)
        give_up("the port %s at 0x%lx is not in the image", port->name, (unsigned long)port->address);
    memcpy(hooks, bytes, sizeof hooks);
    for (unsigned i = 0; i < HOOKS; i++) {
        known += hooks[i] != 0;
        if (hooks[i] && function_at(walk->image->kernel, hooks[i]))
            reach(walk, hooks[i], ROOT);
        else if (hooks[i])
            complain("port %s at 0x%lx: its hook %u is 0x%lx, where no function is", port->name,
                     (unsigned long)port->address, i, (unsigned long)hooks[i]);
    }
    if (!known)
        complain("port %s at 0x%lx: it has no hooks before the kernel runs; name them with --hook", port->name,
                 (unsigned long)port->address);
}

static void reach_ports(struct walk *walk, const char *name) {
    const struct kernel *kernel = walk->image->kernel;
    bool found = false;
    for (uint32_t i = 0; i < kernel->symbol_count; i++)
        if (kernel->symbols[i].type == STT_OBJECT && is_named(&kernel->symbols[i], name)) {
            found = true;
            reach_hooks_of(walk, &kernel->symbols[i]);
        }
    if (!found)
        (void)need_symbol(kernel, name);
}

void check_calls(const struct image *image, const struct text_map *map, const struct check_options *options) {
    const struct kernel *kernel = image->kernel;
    struct walk walk = {.image = image,
                        .map = map,
                        .callers = allocate(kernel->function_count, sizeof *walk.callers),
                        .waiting = allocate(kernel->function_count, sizeof *walk.waiting)};
    for (const char *const *end = options->ends; end && *end; end++)
        leave_out(&walk, *end);
    reach_roots(&walk);
    for (const char *const *hook = options->hooks; hook && *hook; hook++)
        if (!reach_all(&walk, *hook))
            (void)need_symbol(kernel, *hook);
    for (const char *const *port = options->ports; port && *port; port++)
        reach_ports(&walk, *port);
    for (uint32_t next = 0; next < walk.waiting_count; next++) {
        check_function(&walk, walk.waiting[next]);
        follow_function(&walk, walk.waiting[next]);
    }
}
