/* SPDX-License-Identifier: MIT */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

static const char *base_path;

void set_base_kernel(const char *path) {
    base_path = path;
}

const struct kernel *open_base_kernel(void) {
    return base_path ? open_kernel(base_path) : NULL;
}

/* ---- One kernel of two ---- */

static void check_order(const struct kernel *module, const struct kernel *base) {
    uint64_t first = UINT64_MAX, end = 0;
    for (uint32_t i = 0; i < module->segment_count; i++)
        if (module->segments[i].memory_size && module->segments[i].address < first)
            first = module->segments[i].address;
    for (uint32_t i = 0; i < base->segment_count; i++)
        if (base->segments[i].address + base->segments[i].memory_size > end)
            end = base->segments[i].address + base->segments[i].memory_size;
    if (first < end)
        give_up("program headers: it is loaded at 0x%lx, and must lie behind %s, which ends at 0x%lx: link it by "
                "textpatch-module-view.ld, as tools/link-module does",
                (unsigned long)first, base->name, (unsigned long)end);
}

static void join_sections(struct kernel *joined, const struct kernel *base) {
    uint32_t own = joined->section_count, count = own + base->section_count;
    joined->sections = grow(joined->sections, own, count, sizeof *joined->sections);
    for (uint32_t i = 0; i < base->section_count; i++) {
        joined->sections[own + i] = base->sections[i];
        joined->sections[own + i].name = format_text("kernel:%s", base->sections[i].name);
        joined->sections[own + i].index = own + i;
    }
    joined->section_count = count;
}

static void join_segments(struct kernel *joined, const struct kernel *base) {
    uint32_t count = base->segment_count + joined->segment_count;
    struct kernel_segment *segments = grow(base->segments, base->segment_count, count, sizeof *segments);
    for (uint32_t i = 0; i < joined->segment_count; i++)
        segments[base->segment_count + i] = joined->segments[i];
    joined->segments = segments;
    joined->segment_count = count;
}

static struct kernel_symbol *join_lists(const struct kernel_symbol *base, uint32_t base_count,
                                        const struct kernel_symbol *own, uint32_t own_count, uint32_t first_section,
                                        uint32_t *count) {
    struct kernel_symbol *joined = grow(base, base_count, (size_t)base_count + own_count, sizeof *joined);
    for (uint32_t i = 0; i < base_count; i++)
        if (joined[i].section != SHN_ABS)
            joined[i].section = (uint16_t)(joined[i].section + first_section);
    *count = base_count;
    for (uint32_t i = 0; i < own_count; i++)
        if (own[i].section != SHN_ABS) /* the kernel's, by their addresses */
            joined[(*count)++] = own[i];
    return joined;
}

/* Both are sorted; the module's come first among equals. */
static const struct kernel_symbol **join_names(const struct kernel *joined, uint32_t base_count) {
    uint32_t count = joined->symbol_count;
    const struct kernel_symbol **names = allocate(count, sizeof *names);
    for (uint32_t i = 0; i < count; i++)
        names[i] = &joined->symbols[i < count - base_count ? base_count + i : i - (count - base_count)];
    return names;
}

static int compare_names(const void *left, const void *right) {
    const struct kernel_symbol *a = *(const struct kernel_symbol *const *)left;
    const struct kernel_symbol *b = *(const struct kernel_symbol *const *)right;
    int order = strcmp(a->name, b->name);
    return order ? order : a->address > b->address ? -1 : a->address < b->address;
}

static void join_symbols(struct kernel *joined, const struct kernel *module, const struct kernel *base) {
    uint32_t first = module->section_count;
    joined->symbols = join_lists(base->symbols, base->symbol_count, module->symbols, module->symbol_count, first,
                                 &joined->symbol_count);
    joined->functions = join_lists(base->functions, base->function_count, module->functions, module->function_count,
                                   first, &joined->function_count);
    joined->by_name = join_names(joined, base->symbol_count);
    if (joined->symbol_count)
        qsort(joined->by_name, joined->symbol_count, sizeof *joined->by_name, compare_names);
}

const struct kernel *join_kernels(const struct kernel *module, const struct kernel *base) {
    struct kernel *joined = allocate(1, sizeof *joined);
    check_order(module, base);
    if (module->section_count + base->section_count >= SHN_LORESERVE)
        give_up("section headers: %u, and %u more of %s, are too many", module->section_count, base->section_count,
                base->name);
    *joined = *module;
    join_sections(joined, base);
    join_segments(joined, base);
    join_symbols(joined, module, base);
    return joined;
}

/* ---- One image of two ---- */

static uint64_t measure_table(const struct kernel *kernel, const char *start, const char *end) {
    return need_symbol(kernel, end)->address - need_symbol(kernel, start)->address;
}

uint64_t measure_joined_tables(const struct kernel *module, const struct kernel *base) {
    enum { LARGEST = 1 << 28 };
    const struct kernel *const both[] = {module, base};
    uint64_t room = 64; /* so that both arrays may begin where they like */
    for (unsigned i = 0; i < 2; i++) {
        uint64_t keys = measure_table(both[i], "__tp_keys", "__tp_keys_end");
        uint64_t inlines = measure_table(both[i], "__tp_inlines", "__tp_inlines_end");
        if (keys > LARGEST || inlines > LARGEST)
            give_up("%s: __tp_keys and __tp_inlines: tables of 0x%lx and 0x%lx bytes can't be", both[i]->name,
                    (unsigned long)keys, (unsigned long)inlines);
        room += keys + inlines;
    }
    return room;
}

/* Copies records whose first `fields` words are self-relative. */
static void copy_records(void *to, const void *from, uint32_t count, size_t size, unsigned fields) {
    intptr_t moved = (intptr_t)((uintptr_t)from - (uintptr_t)to);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = (uint8_t *)to + i * size;
        memcpy(record, (const uint8_t *)from + i * size, size);
        for (unsigned n = 0; n < fields; n++) {
            int32_t field;
            memcpy(&field, record + n * sizeof field, sizeof field);
            int64_t distance = field + (int64_t)moved;
            if (distance > INT32_MAX || distance < INT32_MIN)
                give_up("record %u of the kernel's: the module lies too far from it", i);
            field = (int32_t)distance;
            memcpy(record + n * sizeof field, &field, sizeof field);
        }
    }
}

static void join_keys(struct image *image, const struct kernel *base, uint8_t *room) {
    struct tp_image *tables = &image->tables;
    struct tp_key *joined = (struct tp_key *)room;
    uint32_t count;
    const void *keys = find_table(image, base, "__tp_keys", "__tp_keys_end", sizeof *joined, 8, &count);
    copy_records(joined, keys, count, sizeof *joined, 2);
    copy_records(joined + count, tables->keys, tables->key_count, sizeof *joined, 2);
    tables->keys = joined;
    tables->key_count += count;
}

static void join_inlines(struct image *image, const struct kernel *base, uint8_t *room) {
    struct tp_image *tables = &image->tables;
    struct tp_inline *joined = (struct tp_inline *)room;
    uint32_t count;
    const void *inlines = find_table(image, base, "__tp_inlines", "__tp_inlines_end", sizeof *joined, 4, &count);
    copy_records(joined, inlines, count, sizeof *joined, 3);
    copy_records(joined + count, tables->inlines, tables->inline_count, sizeof *joined, 3);
    tables->inlines = joined;
    tables->inline_count += count;
}

void join_tables(struct image *image, const struct kernel *base, uint64_t room) {
    struct tp_image *tables = &image->tables;
    uint32_t bytes;
    uint8_t *at = image->memory + ((image->end - image->first - room + 7) & ~UINT64_C(7));
    join_keys(image, base, at);
    join_inlines(image, base, at + tables->key_count * sizeof(struct tp_key));
    tables->replacements = find_table(image, base, "__tp_replacements", "__tp_replacements_end", 1, 1, &bytes);
    image->names = need_symbol(base, "__tp_replacements_end")->address;
    if (tables->replacements > tables->replacements_end || image->names > image->names_end)
        give_up("__tp_replacements: the tables do not lie behind those of %s", base->name);
    if (kernel_address(image, tables->replacements_end) > image->text_start)
        give_up("__tp_replacements_end = 0x%lx: the text must lie behind the tables",
                (unsigned long)kernel_address(image, tables->replacements_end));
    tables->name = "module";
}
