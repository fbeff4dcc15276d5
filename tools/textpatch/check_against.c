/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

#include "report.h"

static bool sections_agree(const struct kernel *kernel, const struct kernel *first) {
    bool agree = true;
    for (uint32_t i = 1; i < first->section_count; i++) {
        const struct kernel_section *before = &first->sections[i];
        const struct kernel_section *now = find_section(kernel, before->name);
        if (!is_executable(before) || (now && now->address == before->address && now->size == before->size))
            continue;
        complain("section %s: 0x%lx bytes at 0x%lx in the first link, 0x%lx bytes at 0x%lx in this one", before->name,
                 (unsigned long)before->size, (unsigned long)before->address, now ? (unsigned long)now->size : 0,
                 now ? (unsigned long)now->address : 0);
        agree = false;
    }
    return agree;
}

void check_same_text(const struct kernel *kernel, const struct kernel *first) {
    name_input(kernel->name);
    if (!sections_agree(kernel, first))
        return;
    if (kernel->function_count != first->function_count)
        complain("it has %u functions, and %s has %u", kernel->function_count, first->name, first->function_count);
    for (uint32_t i = 0; i < first->function_count && i < kernel->function_count; i++) {
        const struct kernel_symbol *before = &first->functions[i], *now = &kernel->functions[i];
        if (before->address == now->address && before->end == now->end)
            continue;
        complain("%s lies at 0x%lx to 0x%lx in the first link, %s at 0x%lx to 0x%lx in this one", before->name,
                 (unsigned long)before->address, (unsigned long)before->end, now->name, (unsigned long)now->address,
                 (unsigned long)now->end);
        return; /* all that follow are likely to have moved with it */
    }
}
