/* SPDX-License-Identifier: MIT */
#include "module_loader.h"

#include "backend.h"
#include "elf_relocatable.h"

static bool fail(struct module *module, const char *fault, const char *culprit) {
    module->fault = fault;
    module->culprit = culprit;
    return false;
}

/* ---- The file ---- */

static const struct elf_header *header_of(const struct module *module) {
    return (const void *)module->file;
}

static const struct elf_section *section_of(const struct module *module, unsigned index) {
    return (const struct elf_section *)(const void *)(module->file + header_of(module)->sections) + index;
}

static bool lies_in_file(const struct module *module, uint64_t offset, uint64_t size) {
    return offset <= module->size && size <= module->size - offset;
}

/* A string that ends in its section; "" if there is none. */
static const char *string_of(const struct module *module, unsigned table, uint64_t offset) {
    if (table >= header_of(module)->section_count)
        return "";
    const struct elf_section *section = section_of(module, table);
    for (uint64_t at = offset; at < section->size; at++)
        if (!module->file[section->offset + at])
            return (const char *)module->file + section->offset + offset;
    return "";
}

static const char *name_of(const struct module *module, unsigned index) {
    return string_of(module, header_of(module)->names, section_of(module, index)->name);
}

static bool same_text(const char *left, const char *right) {
    while (*left && *left == *right) {
        left++;
        right++;
    }
    return *left == *right;
}

static bool check_file(struct module *module) {
    const struct elf_header *header = header_of(module);
    if (module->size < sizeof *header || header->magic[0] != 0x7f || header->magic[1] != 'E' ||
        header->type != TYPE_RELOCATABLE || header->machine != MACHINE_X86_64)
        return fail(module, "it is no module", "");
    if (header->section_count > MODULE_SECTIONS || header->section_size != sizeof(struct elf_section) ||
        header->names >= header->section_count || header->sections % 8 != 0 ||
        !lies_in_file(module, header->sections, header->section_count * sizeof(struct elf_section)))
        return fail(module, "its section headers are not in the file", "");
    for (unsigned i = 0; i < header->section_count; i++) {
        const struct elf_section *section = section_of(module, i);
        if (section->type != SECTION_NOBITS && !lies_in_file(module, section->offset, section->size))
            return fail(module, "a section is not in the file", "");
    }
    return true;
}

/* ---- Into the room ---- */

/* What describes frames has served the tool. */
static bool is_loaded(const struct module *module, unsigned index) {
    const struct elf_section *section = section_of(module, index);
    return (section->flags & FLAG_ALLOC) && section->size && !same_text(name_of(module, index), ".eh_frame");
}

static bool is_text(const struct module *module, unsigned index) {
    return section_of(module, index)->flags & FLAG_EXECUTABLE;
}

static uint8_t *take_room(struct module *module, uint64_t size, uint64_t alignment) {
    size_t start = (module->used + alignment - 1) & ~(alignment - 1);
    if (start > sizeof module->room->bytes || size > sizeof module->room->bytes - start)
        return NULL;
    module->used = start + size;
    return module->room->bytes + start;
}

static bool place_section(struct module *module, unsigned index) {
    const struct elf_section *section = section_of(module, index);
    uint64_t alignment = section->alignment ? section->alignment : 1;
    uint8_t *to = alignment <= PAGE_SIZE ? take_room(module, section->size, alignment) : NULL;
    if (!to)
        return fail(module, "there is no room for a section", name_of(module, index));
    for (uint64_t i = 0; i < section->size; i++)
        ((volatile uint8_t *)to)[i] = section->type == SECTION_NOBITS ? 0 : module->file[section->offset + i];
    module->addresses[index] = (uintptr_t)to;
    return true;
}

/* Text has pages of its own. */
static bool place_sections(struct module *module) {
    unsigned count = header_of(module)->section_count;
    module->image.text_start = (uintptr_t)module->room->bytes;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count; i++)
            if (is_loaded(module, i) && is_text(module, i) == (pass == 0) && !place_section(module, i))
                return false;
        if (pass == 0) {
            module->image.text_end = (uintptr_t)module->room->bytes + module->used;
            module->used = round_up_to_page(module->used);
        }
    }
    return true;
}

/* ---- Symbols ---- */

static const struct elf_section *find_symbols(const struct module *module, const struct elf_symbol **symbols,
                                              uint64_t *count) {
    for (unsigned i = 0; i < header_of(module)->section_count; i++) {
        const struct elf_section *section = section_of(module, i);
        if (section->type != SECTION_SYMBOLS || section->offset % 8 != 0)
            continue;
        *symbols = (const void *)(module->file + section->offset);
        *count = section->size / sizeof **symbols;
        return section;
    }
    *count = 0;
    return NULL;
}

static const void *find_export(const struct module *module, const char *name) {
    for (const struct export *export = module->exports; export->name; export++)
        if (same_text(export->name, name))
            return export->address;
    return NULL;
}

static uintptr_t address_of(const struct module *module, const struct elf_symbol *symbol) {
    if (symbol->section == SYMBOL_ABSOLUTE)
        return symbol->value;
    if (symbol->section >= header_of(module)->section_count || !module->addresses[symbol->section])
        return 0;
    return module->addresses[symbol->section] + symbol->value;
}

void *find_in_module(const struct module *module, const char *name) {
    const struct elf_symbol *symbols;
    uint64_t count;
    const struct elf_section *table = find_symbols(module, &symbols, &count);
    for (uint64_t i = 1; i < count; i++)
        if (symbols[i].section != SYMBOL_UNDEFINED && same_text(string_of(module, table->link, symbols[i].name), name))
            return (void *)address_of(module, &symbols[i]);
    return NULL;
}

static bool resolve(struct module *module, uint32_t index, uintptr_t *address) {
    const struct elf_symbol *symbols;
    uint64_t count;
    const struct elf_section *table = find_symbols(module, &symbols, &count);
    if (index >= count)
        return fail(module, "a relocation has no symbol", "");
    const char *name = string_of(module, table->link, symbols[index].name);
    *address = symbols[index].section == SYMBOL_UNDEFINED ? (uintptr_t)find_export(module, name)
                                                          : address_of(module, &symbols[index]);
    return *address || fail(module, "nobody has the symbol", name);
}

/* ---- Relocations ---- */

static void store(uintptr_t address, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        ((volatile uint8_t *)address)[i] = (uint8_t)(value >> 8 * i);
}

/* What is stored; 0: of an unknown type. */
static unsigned width_of(const struct elf_relocation *relocation) {
    switch (relocation->type) {
    case R_64:
    case R_PC64: return 8;
    case R_32:
    case R_32S:
    case R_PC32:
    case R_PLT32: return 4;
    }
    return 0;
}

static bool relocate(struct module *module, uintptr_t at, const struct elf_relocation *relocation) {
    uintptr_t symbol;
    if (!resolve(module, relocation->symbol, &symbol))
        return false;
    uint64_t value = symbol + (uint64_t)relocation->addend, distance = value - at;
    switch (relocation->type) {
    case R_64:
        store(at, value, 8);
        return true;
    case R_PC64:
        store(at, distance, 8);
        return true;
    case R_32:
        store(at, value, 4);
        return value == (uint32_t)value || fail(module, "a relocation is out of reach", "");
    case R_32S:
        store(at, value, 4);
        return (int64_t)value == (int32_t)value || fail(module, "a relocation is out of reach", "");
    case R_PC32:
    case R_PLT32:
        store(at, distance, 4);
        return (int64_t)distance == (int32_t)distance || fail(module, "a relocation is out of reach", "");
    }
    return fail(module, "there is a relocation of an unknown type", "");
}

static bool relocate_section(struct module *module, const struct elf_section *table) {
    if (table->type != SECTION_RELA || table->info >= header_of(module)->section_count ||
        !module->addresses[table->info])
        return true;
    const struct elf_relocation *relocations = (const void *)(module->file + table->offset);
    const struct elf_section *section = section_of(module, table->info);
    if (table->offset % 8 != 0)
        return fail(module, "relocations are not aligned", "");
    for (uint64_t i = 0; i < table->size / sizeof *relocations; i++) {
        if (relocations[i].offset > section->size || section->size - relocations[i].offset < width_of(&relocations[i]))
            return fail(module, "a relocation is outside of its section", name_of(module, table->info));
        if (!relocate(module, module->addresses[table->info] + relocations[i].offset, &relocations[i]))
            return false;
    }
    return true;
}

static bool relocate_all(struct module *module) {
    for (unsigned i = 0; i < header_of(module)->section_count; i++)
        if (!relocate_section(module, section_of(module, i)))
            return false;
    return true;
}

/* ---- The library's tables ---- */

/* NULL: there is none. One that ends amid an entry is a fault. */
static void *find_table(struct module *module, const char *name, uint64_t entry, uint64_t *count) {
    for (unsigned i = 0; i < header_of(module)->section_count; i++) {
        if (!module->addresses[i] || !same_text(name_of(module, i), name))
            continue;
        if (section_of(module, i)->size % entry != 0)
            fail(module, "a table ends amid an entry", name);
        *count = section_of(module, i)->size / entry;
        return (void *)module->addresses[i];
    }
    *count = 0;
    return NULL;
}

static bool find_tables(struct module *module) {
    struct tp_image *image = &module->image;
    uint64_t sites, keys, inlines, originals, replacements, bytes;
    image->name = "module";
    image->sites = find_table(module, ".textpatch.sites", sizeof *image->sites, &sites);
    image->keys = find_table(module, ".textpatch.keys", sizeof *image->keys, &keys);
    image->inlines = find_table(module, ".textpatch.inlines", sizeof *image->inlines, &inlines);
    image->originals = find_table(module, ".textpatch.originals", 1, &originals);
    image->replacements = find_table(module, ".textpatch.replacements", 1, &replacements);
    if (module->fault)
        return false;
    image->site_count = (uint32_t)sites;
    image->key_count = (uint32_t)keys;
    image->inline_count = (uint32_t)inlines;
    image->originals_end = image->originals + originals;
    image->replacements_end = image->replacements + replacements;
    image->index = (uint32_t *)(void *)take_room(module, sites * sizeof *image->index, 8);
    if (!image->index)
        return fail(module, "there is no room for the index", "");
    const void *head = find_table(module, ".textpatch.orc", 1, &bytes);
    module->has_table = head && tp_read_unwind_table(&module->table, head, bytes) == TP_OK;
    return true;
}

/* ---- Whole ---- */

/* Writable as well, since live_entry.asm stores there. protect_text() flushes the other CPUs' TLBs. */
static void make_executable(const struct module *module, bool executable) {
    for (uintptr_t page = module->image.text_start; page < module->image.text_end; page += PAGE_SIZE)
        backend->set_page_entry(page, backend->frame_of(page) << PAGE_SHIFT | PAGE_PRESENT | PAGE_ACCESSED | PAGE_DIRTY |
                                          PAGE_WRITABLE | (executable ? 0 : PAGE_NOEXECUTE));
    protect_text();
}

bool load_module(struct module *module, const uint8_t *file, size_t size, const struct export *exports,
                 struct module_room *room) {
    *module = (struct module){.file = file, .size = size, .exports = exports, .room = room, .culprit = ""};
    if (!check_file(module) || !place_sections(module) || !relocate_all(module) || !find_tables(module))
        return false;
    make_executable(module, true);
    return true;
}

void unload_module(struct module *module) {
    make_executable(module, false);
    *module = (struct module){.file = NULL};
}
