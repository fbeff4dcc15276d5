/* SPDX-License-Identifier: MIT */
/*
 * A loader of modules, as small as one can be: ELF files of the type REL, for x86-64, as tools/link-module makes them.
 *
 *   static struct module module;
 *   if (!load_module(&module, file, size, symbols, room))
 *       print_format("%s: %s\n", module.fault, module.culprit);
 *   else if (tp_image_add(&module.image) == TP_OK) …
 *   unload_module(&module);
 *
 * What there is of text, data and tables goes into a room near the kernel, text to its beginning; what the file doesn't
 * define is looked up among the symbols that the kernel exports. A module's `.textpatch.…` sections become a tp_image,
 * and its table for walks, if it has one, a tp_unwind_table. Nobody is told of them here.
 */
#ifndef MODULE_LOADER_H
#define MODULE_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/engine.h>
#include <textpatch/static_call.h>
#include <textpatch/unwind.h>

#include "page.h"

struct export {
    const char *name;
    const void *address;
};
#define EXPORT(name) {#name, (const void *)&(name)}
#define EXPORT_STATIC_CALL(name)                                                                             \
    {"tp_static_call_" #name, &tp_static_call_##name},                                                        \
    {"tp_static_call_trampoline_" #name, (const void *)&tp_static_call_trampoline_##name}
#define EXPORTS_END {0}

enum { MODULE_ROOM_PAGES = 8, MODULE_SECTIONS = 64 };

/* Static, since page tables of the kernel's image map it. */
struct module_room {
    uint8_t bytes[MODULE_ROOM_PAGES * PAGE_SIZE];
} __attribute__((aligned(4096)));

struct module {
    struct tp_image image;
    struct tp_unwind_table table;
    bool has_table;
    const char *fault;   /* why it was not loaded */
    const char *culprit; /* a section's or symbol's name, "" if there is none */
    /* The loader's. */
    const uint8_t *file;
    size_t size;
    const struct export *exports;
    struct module_room *room;
    size_t used;
    uintptr_t addresses[MODULE_SECTIONS]; /* of the sections */
};

/* One CPU at a time. `exports` ends with EXPORTS_END. */
bool load_module(struct module *module, const uint8_t *file, size_t size, const struct export *exports,
                 struct module_room *room);
/* Nobody executes it any more. */
void unload_module(struct module *module);

/* By its name in the file, local ones too; NULL if there is none. */
void *find_in_module(const struct module *module, const char *name);

#endif
