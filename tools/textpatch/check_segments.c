/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdio.h>

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

void check_segments(const struct image *image) {
    check_permissions(image->kernel);
    check_tables(image);
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
