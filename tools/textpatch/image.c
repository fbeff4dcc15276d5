/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/site/registry.h"
#include "forms.h"
#include "module.h"
#include "report.h"

/* What 32-bit fields reach from the tables; segments beyond (boot code at low addresses) can't hold a site. */
#define REACH (UINT64_C(1) << 31)

static bool is_near(const struct kernel_segment *segment, uint64_t tables) {
    uint64_t end = segment->address + segment->memory_size;
    uint64_t low = tables > REACH ? tables - REACH : 0, high = tables < UINT64_MAX - REACH ? tables + REACH : UINT64_MAX;
    return segment->memory_size && segment->address >= low && end <= high;
}

/* With some room behind it. */
static void lay_out(struct image *image, uint64_t tables, uint64_t room) {
    const struct kernel *kernel = image->kernel;
    image->first = UINT64_MAX;
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct kernel_segment *segment = &kernel->segments[i];
        if (!is_near(segment, tables))
            continue;
        uint64_t first = segment->address & ~UINT64_C(0xfff), end = segment->address + segment->memory_size;
        image->first = first < image->first ? first : image->first;
        image->end = end > image->end ? end : image->end;
    }
    if (image->first >= image->end)
        give_up("program headers: no segment is loaded near the tables at 0x%lx", (unsigned long)tables);
    image->end += room;
    image->memory = reserve(image->end - image->first);
    image->shift = (uintptr_t)image->memory - image->first;
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct kernel_segment *segment = &kernel->segments[i];
        if (is_near(segment, tables) && segment->file_size)
            memcpy(image->memory + (segment->address - image->first), segment->bytes, segment->file_size);
    }
}

uint8_t *memory_at(const struct image *image, uint64_t address, uint64_t size) {
    if (address < image->first || address > image->end || size > image->end - address)
        return NULL;
    return image->memory + (address - image->first);
}

uint64_t kernel_address(const struct image *image, const void *memory) {
    return (uintptr_t)memory - image->shift;
}

uint64_t field_target(const struct image *image, const int32_t *field) {
    return kernel_address(image, field) + (uint64_t)(int64_t)*field;
}

/* A kernel that relocates itself has its pointers in these, and not where they belong. */
static void relocate_pointers(struct image *image) {
    const struct kernel *kernel = image->kernel;
    for (uint32_t i = 1; i < kernel->section_count; i++) {
        const struct kernel_section *table = &kernel->sections[i];
        if (table->type != SHT_RELA || !(table->flags & SHF_ALLOC))
            continue;
        for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= table->size; at += sizeof(Elf64_Rela)) {
            Elf64_Rela entry;
            memcpy(&entry, table->bytes + at, sizeof entry);
            uint8_t *field = memory_at(image, entry.r_offset, 8);
            if (field && ELF64_R_TYPE(entry.r_info) == R_X86_64_RELATIVE)
                memcpy(field, &entry.r_addend, 8);
        }
    }
}

static void find_text(struct image *image) {
    const struct kernel *kernel = image->own;
    image->text_start = UINT64_MAX;
    for (uint32_t i = 1; i < kernel->section_count; i++) {
        const struct kernel_section *section = &kernel->sections[i];
        if (!is_executable(section) || !section->size || !memory_at(image, section->address, section->size))
            continue;
        if (section->address < image->text_start)
            image->text_start = section->address;
        if (section->address + section->size > image->text_end)
            image->text_end = section->address + section->size;
    }
    if (image->text_start >= image->text_end)
        give_up("section headers: no executable section is loaded near the tables");
}

/* One table between two symbols of the linker script's fragment. */
void *find_table(struct image *image, const struct kernel *kernel, const char *start_name, const char *end_name,
                 size_t entry, size_t alignment, uint32_t *count) {
    uint64_t start = need_symbol(kernel, start_name)->address, end = need_symbol(kernel, end_name)->address;
    if (end < start || (end - start) % entry != 0 || start % alignment != 0 || (end - start) / entry > UINT32_MAX)
        give_up("%s = 0x%lx, %s = 0x%lx: no table of aligned entries of %zu bytes", start_name, (unsigned long)start,
                end_name, (unsigned long)end, entry);
    void *table = memory_at(image, start, end - start);
    if (!table)
        give_up("%s = 0x%lx: the table is in no segment that is loaded", start_name, (unsigned long)start);
    *count = (uint32_t)((end - start) / entry);
    return table;
}

static void find_tables(struct image *image) {
    struct tp_image *tables = &image->tables;
    const struct kernel *own = image->own;
    uint32_t bytes, room;
    *tables = (struct tp_image){.name = "kernel",
                                .text_start = image->text_start + image->shift,
                                .text_end = image->text_end + image->shift};
    tables->sites = find_table(image, own, "__tp_sites", "__tp_sites_end", sizeof(struct tp_site), 4, &tables->site_count);
    tables->keys = find_table(image, own, "__tp_keys", "__tp_keys_end", sizeof(struct tp_key), 8, &tables->key_count);
    tables->inlines = find_table(image, own, "__tp_inlines", "__tp_inlines_end", sizeof(struct tp_inline), 4,
                                 &tables->inline_count);
    tables->originals = find_table(image, own, "__tp_originals", "__tp_originals_end", 1, 1, &bytes);
    tables->originals_end = tables->originals + bytes;
    tables->replacements = find_table(image, own, "__tp_replacements", "__tp_replacements_end", 1, 1, &bytes);
    tables->replacements_end = tables->replacements + bytes;
    tables->index = find_table(image, own, "__tp_index", "__tp_orc", 4, 4, &room);
    if (room < tables->site_count)
        give_up("__tp_index: room for %u sites, and there are %u", room, tables->site_count);
    image->tables_start = need_symbol(own, "__tp_start")->address;
    image->tables_end = need_symbol(own, "__tp_end")->address;
    image->anchor_name = image->is_module ? "tp_module_text" : "__tp_start";
    image->anchor = need_symbol(own, image->anchor_name)->address;
    image->names = need_symbol(own, "__tp_replacements_end")->address;
    image->names_end = need_symbol(own, "__tp_index")->address;
    if (image->names > image->names_end || !memory_at(image, image->names, image->names_end - image->names))
        give_up("__tp_index = 0x%lx: it is not behind the names", (unsigned long)image->names_end);
}

/* Of the records as they are in the file. */
static void find_trampolines(struct image *image, const struct kernel *kernel) {
    uint32_t count, old = image->trampoline_count;
    const struct tp_site *sites = find_table(image, kernel, "__tp_sites", "__tp_sites_end", sizeof *sites, 4, &count);
    image->trampolines = grow(image->trampolines, old, (size_t)old + count, sizeof *image->trampolines);
    for (uint32_t i = 0; i < count; i++)
        if (sites[i].kind == (TP_RECORD_VERSION << 4 | TP_KIND_TRAMPOLINE))
            image->trampolines[image->trampoline_count++] =
                (struct trampoline){field_target(image, &sites[i].text), field_target(image, &sites[i].key)};
}

static int compare_trampolines(const void *left, const void *right) {
    const struct trampoline *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static void sort_trampolines(struct image *image) {
    if (image->trampoline_count)
        qsort(image->trampolines, image->trampoline_count, sizeof *image->trampolines, compare_trampolines);
}

const struct trampoline *find_trampoline(const struct image *image, uint64_t address) {
    const struct trampoline wanted = {.address = address};
    if (!image->trampoline_count)
        return NULL;
    return bsearch(&wanted, image->trampolines, image->trampoline_count, sizeof wanted, compare_trampolines);
}

struct image *load_image(const struct kernel *kernel) {
    struct image *image = allocate(1, sizeof *image);
    const struct kernel *base = open_base_kernel();
    if (base)
        name_input(kernel->name);
    image->own = kernel;
    image->is_module = base;
    image->kernel = base ? join_kernels(kernel, base) : kernel;
    uint64_t room = base ? measure_joined_tables(kernel, base) : 0;
    lay_out(image, need_symbol(kernel, "__tp_start")->address, room);
    relocate_pointers(image);
    find_text(image);
    find_tables(image);
    find_trampolines(image, kernel);
    if (base) {
        find_trampolines(image, base);
        join_tables(image, base, room);
    }
    sort_trampolines(image);
    const struct kernel_symbol *none = find_symbol(kernel, "tp_nop_function");
    image->nop_function = none ? none->address : 0;
    return image;
}

/* Features are forms.c's to choose. */
static void answer_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    (void)leaf;
    (void)subleaf;
    memset(out, 0, 4 * sizeof *out);
}

static const struct tp_port port = {.cpuid = answer_cpuid};

bool take_records(struct image *image) {
    if (tp_registry.initialized && tp_finish() != TP_OK) /* of an earlier run */
        give_up("the library can't be started again");
    if (image->is_module && image->tables.site_count == 0) /* it may have calls of the kernel's, to be found yet */
        return tp_init(&port) == TP_OK;
    if (!check_records(image))
        return false;
    if (tp_init(&port) == TP_OK && tp_image_add(&image->tables) == TP_OK) {
        image->forms = allocate(image->tables.place_count, sizeof *image->forms);
        return true;
    }
    const struct tp_error *error = tp_last_error();
    bool is_address = memory_at(image, error->value - image->shift, 1);
    complain("%s: the library refuses the tables: %s (value 0x%lx)",
             error->site ? describe_address(image->kernel, error->site - image->shift) : "tables",
             tp_status_text(error->status), (unsigned long)(error->value - (is_address ? image->shift : 0)));
    return false;
}
