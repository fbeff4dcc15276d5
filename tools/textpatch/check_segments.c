/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdio.h>

#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "forms.h"
#include "report.h"

static void check_permissions(const struct kernel *kernel) {
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct kernel_segment *segment = &kernel->segments[i];
        if ((segment->flags & PF_W) && (segment->flags & PF_X))
            complain("program header %u: the segment at 0x%lx is both writable and executable", segment->index,
                     (unsigned long)segment->address);
    }
    for (uint32_t i = 1; i < kernel->section_count; i++) {
        const struct kernel_section *section = &kernel->sections[i];
        if (is_executable(section) && (section->flags & SHF_WRITE))
            complain("section %s at 0x%lx is both writable and executable", section->name,
                     (unsigned long)section->address);
    }
}

/* The library writes them, and forms must not be taken for code. */
static void check_tables(const struct image *image) {
    const struct kernel *kernel = image->kernel;
    bool writable = false;
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct kernel_segment *segment = &kernel->segments[i];
        uint64_t end = segment->address + segment->memory_size;
        if (segment->address >= image->tables_end || end <= image->tables_start)
            continue;
        if (segment->flags & PF_X)
            complain("program header %u: the tables at 0x%lx are in a segment that is executable", segment->index,
                     (unsigned long)image->tables_start);
        writable = writable || ((segment->flags & PF_W) && segment->address <= image->tables_start &&
                                end >= image->tables_end);
    }
    if (!writable && image->tables_start < image->tables_end)
        complain("the tables at 0x%lx are not in a segment that is writable", (unsigned long)image->tables_start);
    const struct kernel_section *section = section_at(kernel, image->tables_start);
    if (section && is_executable(section))
        complain("section %s: the tables at 0x%lx are in a section that is executable", section->name,
                 (unsigned long)image->tables_start);
}

static bool overlap(uint64_t start, uint64_t size, uint64_t other_start, uint64_t other_size) {
    return size && other_size && (start - other_start < other_size || other_start - start < size);
}

static uint64_t page_of(uint64_t address) {
    return address & ~UINT64_C(0xfff);
}

/* Up to the end of its last page. */
static uint64_t paged_size(const struct kernel_segment *segment) {
    uint64_t end = segment->address + segment->memory_size;
    return segment->memory_size ? page_of(end + 0xfff) - page_of(segment->address) : 0;
}

static void check_pair(const struct kernel_segment *text, const struct kernel_segment *data) {
    if (overlap(page_of(text->address), paged_size(text), page_of(data->address), paged_size(data)))
        complain("program headers %u and %u: the executable segment at 0x%lx and the writable one at 0x%lx share a page",
                 text->index, data->index, (unsigned long)text->address, (unsigned long)data->address);
    else if (overlap(text->physical, text->memory_size, data->physical, data->memory_size))
        complain("program headers %u and %u: the executable segment at 0x%lx and the writable one at 0x%lx share memory at "
                 "the physical address 0x%lx",
                 text->index, data->index, (unsigned long)text->address, (unsigned long)data->address,
                 (unsigned long)(text->physical > data->physical ? text->physical : data->physical));
}

/* Nothing is written by way of one segment that is executed by way of another. */
static void check_overlaps(const struct kernel *kernel) {
    for (uint32_t i = 0; i < kernel->segment_count; i++)
        for (uint32_t j = 0; j < kernel->segment_count; j++)
            if (i != j && (kernel->segments[i].flags & PF_X) && (kernel->segments[j].flags & PF_W))
                check_pair(&kernel->segments[i], &kernel->segments[j]);
}

void check_segments(const struct image *image) {
    check_permissions(image->kernel);
    check_overlaps(image->kernel);
    check_tables(image);
}

void check_places(const struct image *image) {
    for (uint32_t i = 0; i < image->own->segment_count; i++) {
        const struct kernel_segment *segment = &image->own->segments[i];
        uint32_t at = tp_search_sites(&image->tables, 0, image->tables.place_count, segment->address + image->shift);
        if (at == image->tables.place_count || (segment->flags & PF_X))
            continue;
        uint64_t address = kernel_address(image, (const void *)tp_site_address(&image->tables.sites[at]));
        if (address - segment->address < segment->memory_size)
            complain("program header %u: the segment at 0x%lx is not executable, and a site lies in it, at %s",
                     segment->index, (unsigned long)segment->address, describe_address(image->kernel, address));
    }
}

void print_geometry(const struct image *image) {
    unsigned all[TP_KIND_LOCK_PREFIX + 1] = {0}, whole[TP_KIND_LOCK_PREFIX + 1] = {0}, sites = 0, in_one = 0;
    for (uint32_t at = 0; at < image->tables.place_count; at++) {
        const struct tp_site *site = &image->tables.sites[at];
        uint64_t address = kernel_address(image, (const void *)tp_site_address(site));
        bool fits = address % 8 + site->length <= 8;
        all[tp_site_kind(site)]++;
        whole[tp_site_kind(site)] += fits;
        sites++;
        in_one += fits;
    }
    printf("%u sites in the text, %u (%u %%) in one aligned quadword\n", sites, in_one, sites ? 100 * in_one / sites : 0);
    for (unsigned kind = TP_KIND_ALTERNATIVE; kind <= TP_KIND_LOCK_PREFIX; kind++)
        if (all[kind])
            printf("  %-12s %6u, %6u (%u %%) in one aligned quadword\n", tp_kind_text(kind), all[kind], whole[kind],
                   100 * whole[kind] / all[kind]);
}
