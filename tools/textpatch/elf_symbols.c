/* SPDX-License-Identifier: MIT */
/*
 * Symbols, functions, relocations.
 */
#include "elf_symbols.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

static const struct kernel_section *find_symbol_table(const struct kernel *kernel) {
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (kernel->sections[i].type == SHT_SYMTAB)
            return &kernel->sections[i];
    return NULL;
}

static const struct kernel_section *strings_of(const struct kernel *kernel, const struct kernel_section *table) {
    if (table->link == 0 || table->link >= kernel->section_count || !kernel->sections[table->link].bytes)
        give_up("section %s (offset 0x%lx): no section holds its names", table->name, (unsigned long)table->offset);
    return &kernel->sections[table->link];
}

static uint32_t count_entries(const struct kernel_section *table, size_t size) {
    if (table->entry_size != size || table->size % size != 0 || table->size / size > UINT32_MAX)
        give_up("section %s (offset 0x%lx): 0x%lx bytes are no table of entries of %zu", table->name,
                (unsigned long)table->offset, (unsigned long)table->size, size);
    return (uint32_t)(table->size / size);
}

static const char *string_of(const struct kernel_section *strings, uint32_t offset,
                             const struct kernel_section *table, uint32_t entry) {
    if (offset >= strings->size || !memchr(strings->bytes + offset, 0, strings->size - offset))
        give_up("section %s, entry %u: its name is not in section %s", table->name, entry, strings->name);
    return (const char *)strings->bytes + offset;
}

/* A name that a symbol of this kind may be known by. */
static bool is_wanted(const struct kernel *kernel, const Elf64_Sym *entry) {
    unsigned type = ELF64_ST_TYPE(entry->st_info);
    if (entry->st_name == 0 || (type != STT_NOTYPE && type != STT_OBJECT && type != STT_FUNC))
        return false;
    return entry->st_shndx == SHN_ABS || (entry->st_shndx != SHN_UNDEF && entry->st_shndx < kernel->section_count);
}

/* The better name of one address comes first: functions, then globals. */
static unsigned rank(const struct kernel_symbol *symbol) {
    return 2u * (symbol->type != STT_FUNC) + (symbol->binding == STB_LOCAL);
}

static int compare_addresses(const void *left, const void *right) {
    const struct kernel_symbol *a = left, *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (rank(a) != rank(b))
        return rank(a) < rank(b) ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_names(const void *left, const void *right) {
    const struct kernel_symbol *a = *(const struct kernel_symbol *const *)left;
    const struct kernel_symbol *b = *(const struct kernel_symbol *const *)right;
    int order = strcmp(a->name, b->name);
    if (order != 0)
        return order;
    if ((a->binding == STB_LOCAL) != (b->binding == STB_LOCAL))
        return a->binding == STB_LOCAL ? 1 : -1;
    return a->address < b->address ? -1 : a->address > b->address;
}

static bool lies_in_text(const struct kernel *kernel, const struct kernel_symbol *symbol) {
    if (symbol->section >= kernel->section_count)
        return false;
    const struct kernel_section *section = &kernel->sections[symbol->section];
    return is_executable(section) && symbol->address >= section->address &&
           symbol->address - section->address < section->size;
}

/* NASM writes the local label .again of function as function.again; GCC has function.cold, but as a function. */
static bool is_label_of(const struct kernel_symbol *symbol, const struct kernel_symbol *function) {
    size_t length = strlen(function->name);
    return symbol->type == STT_NOTYPE && strncmp(symbol->name, function->name, length) == 0 &&
           symbol->name[length] == '.';
}

/* Labels of NASM's macros (..@4.site), and what clang's integrated assembler keeps of its own. */
static bool is_no_name(const struct kernel_symbol *symbol) {
    return symbol->type == STT_NOTYPE && (strncmp(symbol->name, "..@", 3) == 0 || strncmp(symbol->name, ".L", 2) == 0);
}

static bool begins_inside(const struct kernel_symbol *symbol, const struct kernel_symbol *function) {
    if (!function || function->section != symbol->section)
        return false;
    return symbol->address == function->address || symbol->address - function->address < function->size ||
           is_label_of(symbol, function);
}

static void end_functions(struct kernel *kernel) {
    for (uint32_t i = 0; i < kernel->function_count; i++) {
        struct kernel_symbol *function = &kernel->functions[i];
        const struct kernel_section *section = &kernel->sections[function->section];
        uint64_t limit = section->address + section->size;
        if (i + 1 < kernel->function_count && function[1].section == function->section)
            limit = function[1].address;
        function->end = function->size && function->size < limit - function->address ? function->address + function->size
                                                                                     : limit;
    }
}

static void find_functions(struct kernel *kernel) {
    struct kernel_symbol *last = NULL;
    kernel->functions = allocate(kernel->symbol_count, sizeof *kernel->functions);
    for (uint32_t i = 0; i < kernel->symbol_count; i++) {
        const struct kernel_symbol *symbol = &kernel->symbols[i];
        if (symbol->type == STT_OBJECT || is_no_name(symbol) || !lies_in_text(kernel, symbol) ||
            begins_inside(symbol, last))
            continue;
        last = &kernel->functions[kernel->function_count++];
        *last = *symbol;
    }
    end_functions(kernel);
}

static void sort_symbols(struct kernel *kernel) {
    qsort(kernel->symbols, kernel->symbol_count, sizeof *kernel->symbols, compare_addresses);
    kernel->by_name = allocate(kernel->symbol_count, sizeof *kernel->by_name);
    for (uint32_t i = 0; i < kernel->symbol_count; i++)
        kernel->by_name[i] = &kernel->symbols[i];
    qsort(kernel->by_name, kernel->symbol_count, sizeof *kernel->by_name, compare_names);
}

void read_symbols(struct kernel *kernel) {
    const struct kernel_section *table = find_symbol_table(kernel);
    if (!table)
        return;
    const struct kernel_section *strings = strings_of(kernel, table);
    uint32_t count = count_entries(table, sizeof(Elf64_Sym));
    kernel->symbols = allocate(count, sizeof *kernel->symbols);
    for (uint32_t i = 1; i < count; i++) {
        Elf64_Sym entry;
        memcpy(&entry, table->bytes + (size_t)i * sizeof entry, sizeof entry);
        if (!is_wanted(kernel, &entry))
            continue;
        kernel->symbols[kernel->symbol_count++] =
            (struct kernel_symbol){.name = string_of(strings, entry.st_name, table, i),
                                   .address = entry.st_value,
                                   .size = entry.st_size,
                                   .type = ELF64_ST_TYPE(entry.st_info),
                                   .binding = ELF64_ST_BIND(entry.st_info),
                                   .section = entry.st_shndx};
    }
    sort_symbols(kernel);
    find_functions(kernel);
}

const struct kernel_symbol *find_symbol(const struct kernel *kernel, const char *name) {
    uint32_t low = 0, high = kernel->symbol_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(kernel->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < kernel->symbol_count && strcmp(kernel->by_name[low]->name, name) == 0;
    return found ? kernel->by_name[low] : NULL;
}

const struct kernel_symbol *need_symbol(const struct kernel *kernel, const char *name) {
    const struct kernel_symbol *symbol = find_symbol(kernel, name);
    if (!symbol && kernel->symbol_count == 0)
        give_up("has no symbols: it was stripped; give the kernel as the linker left it");
    if (!symbol)
        give_up("has no symbol %s", name);
    return symbol;
}

const struct kernel_symbol *function_at(const struct kernel *kernel, uint64_t address) {
    uint32_t low = 0, high = kernel->function_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kernel->functions[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= kernel->functions[low - 1].end)
        return NULL;
    return &kernel->functions[low - 1];
}

const struct kernel_symbol *object_at(const struct kernel *kernel, uint64_t address) {
    enum { LOOK_BACK = 32 }; /* labels and smaller objects that may lie before it in the same one */
    uint32_t low = 0, high = kernel->symbol_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kernel->symbols[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint32_t i = low; i > 0 && low - i < LOOK_BACK; i--) {
        const struct kernel_symbol *symbol = &kernel->symbols[i - 1];
        bool holds = symbol->address == address || address - symbol->address < symbol->size;
        if (holds && symbol->section < kernel->section_count && symbol->address)
            return symbol;
    }
    return NULL;
}

static int compare_relocations(const void *left, const void *right) {
    const struct kernel_relocation *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static const struct kernel_section *find_relocations(const struct kernel *kernel, uint32_t section) {
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (kernel->sections[i].type == SHT_RELA && kernel->sections[i].info == section)
            return &kernel->sections[i];
    return NULL;
}

static void read_relocation(const struct kernel *kernel, const struct kernel_section *table,
                            const struct kernel_section *symbols, uint32_t symbol_count, uint32_t i,
                            struct kernel_relocation *out) {
    Elf64_Rela entry;
    Elf64_Sym symbol;
    memcpy(&entry, table->bytes + (size_t)i * sizeof entry, sizeof entry);
    uint64_t index = ELF64_R_SYM(entry.r_info);
    if (index >= symbol_count)
        give_up("section %s (offset 0x%lx), entry %u: there is no symbol %lu", table->name,
                (unsigned long)table->offset, i, (unsigned long)index);
    memcpy(&symbol, symbols->bytes + index * sizeof symbol, sizeof symbol);
    *out = (struct kernel_relocation){.address = entry.r_offset,
                                      .type = ELF64_R_TYPE(entry.r_info),
                                      .addend = entry.r_addend,
                                      .value = symbol.st_value,
                                      .name = ""};
    if (symbol.st_name)
        out->name = string_of(strings_of(kernel, symbols), symbol.st_name, symbols, (uint32_t)index);
    else if (symbol.st_shndx < kernel->section_count)
        out->name = kernel->sections[symbol.st_shndx].name;
}

const struct kernel_relocation *read_relocations(const struct kernel *kernel, const struct kernel_section *section,
                                                 uint32_t *count) {
    const struct kernel_section *table = find_relocations(kernel, section->index);
    *count = 0;
    if (!table || table->size == 0)
        return NULL;
    const struct kernel_section *symbols = table->link < kernel->section_count ? &kernel->sections[table->link] : NULL;
    if (!symbols || symbols->type != SHT_SYMTAB)
        give_up("section %s (offset 0x%lx): no section holds its symbols", table->name, (unsigned long)table->offset);
    uint32_t symbol_count = count_entries(symbols, sizeof(Elf64_Sym));
    *count = count_entries(table, sizeof(Elf64_Rela));
    struct kernel_relocation *relocations = allocate(*count, sizeof *relocations);
    for (uint32_t i = 0; i < *count; i++)
        read_relocation(kernel, table, symbols, symbol_count, i, &relocations[i]);
    qsort(relocations, *count, sizeof *relocations, compare_relocations);
    return relocations;
}
