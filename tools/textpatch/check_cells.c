/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

#include "../../lib/site/site.h"
#include "report.h"

/* The first symbol at an address; symbol_count if there is none. */
static uint32_t find_first(const struct kernel *kernel, uint64_t address) {
    uint32_t low = 0, high = kernel->symbol_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kernel->symbols[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* In assembler a label without type or size, within what another symbol covers, may be one; labels of macros are not. */
static bool begins_function(const struct kernel *kernel, uint64_t address) {
    for (uint32_t i = find_first(kernel, address); i < kernel->symbol_count; i++) {
        const struct kernel_symbol *symbol = &kernel->symbols[i];
        if (symbol->address != address)
            return false;
        if (symbol->type != STT_OBJECT && strncmp(symbol->name, "..@", 3) != 0 && strncmp(symbol->name, ".L", 2) != 0)
            return true;
    }
    return false;
}

/* What is wrong with it as a function that is called; NULL if nothing is. */
static const char *find_fault(const struct image *image, uint64_t address) {
    if (!begins_function(image->kernel, address))
        return "where no function begins";
    return find_trampoline(image, address) ? "a trampoline, which would call itself or another one" : NULL;
}

static void check_key(const struct image *image, const struct tp_key *key) {
    uint64_t value = tp_key_read(key);
    const char *fault = value && key->kind != TP_KEY_KIND_STATIC_KEY ? find_fault(image, value) : NULL;
    if (fault)
        complain("key %s: its cell at 0x%lx holds 0x%lx (%s), %s", tp_key_name(key),
                 (unsigned long)field_target(image, &key->cell), (unsigned long)value,
                 describe_address(image->kernel, value), fault);
}

static void check_inline(const struct image *image, const struct tp_inline *form) {
    uint64_t function = field_target(image, &form->function);
    const char *fault = find_fault(image, function);
    if (fault)
        complain("inline form of 0x%lx (%s): %s", (unsigned long)function, describe_address(image->kernel, function),
                 fault);
}

void check_cells(const struct image *image) {
    for (uint32_t i = 0; i < image->tables.key_count; i++)
        check_key(image, &image->tables.keys[i]);
    for (uint32_t i = 0; i < image->tables.inline_count; i++)
        check_inline(image, &image->tables.inlines[i]);
}
