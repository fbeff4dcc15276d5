/* SPDX-License-Identifier: MIT */
/*
 * `textpatch diff`: what the sites of a running kernel hold, from a dump of its memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/site/registry.h"
#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "commands.h"
#include "disassemble.h"
#include "forms.h"
#include "report.h"

struct options {
    const char *kernel, *dump;
    uint64_t base;
    bool has_base, physical, changed_only;
    const char **ignored; /* functions that others than the library write */
};

struct dump {
    const struct kernel *kernel;
    const uint8_t *bytes;
    size_t size;
    uint64_t base;
    bool physical;
    const char *const *ignored;
};

static uint64_t read_number(const char *word) {
    char *end;
    uint64_t value = strtoull(word, &end, 16);
    if (*end || end == word)
        give_up("%s is no address", word);
    return value;
}

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.ignored = allocate((size_t)arguments->count + 1, sizeof *options.ignored)};
    unsigned ignored = 0;
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        bool more = i + 1 < arguments->count;
        if ((strcmp(word, "--base") == 0 || strcmp(word, "--physical") == 0) && more) {
            options.physical = strcmp(word, "--physical") == 0;
            options.base = read_number(arguments->words[++i]);
            options.has_base = true;
        } else if (strcmp(word, "--changed") == 0) {
            options.changed_only = true;
        } else if (strcmp(word, "--ignore") == 0 && more) {
            options.ignored[ignored++] = arguments->words[++i];
        } else if (word[0] == '-' || options.dump) {
            refuse_usage(&diff_command);
        } else if (options.kernel) {
            options.dump = word;
        } else {
            options.kernel = word;
        }
    }
    if (!options.dump || !options.has_base)
        refuse_usage(&diff_command);
    return options;
}

/* Where the dump has an address of the kernel's; false if it hasn't. */
static bool find_in_dump(const struct dump *dump, uint64_t address, uint64_t size, const uint8_t **found) {
    uint64_t place = address;
    for (uint32_t i = 0; dump->physical && i < dump->kernel->segment_count; i++) {
        const struct kernel_segment *segment = &dump->kernel->segments[i];
        if (address >= segment->address && address - segment->address < segment->memory_size)
            place = segment->physical + (address - segment->address);
    }
    if (place < dump->base || place - dump->base > dump->size || size > dump->size - (place - dump->base))
        return false;
    *found = dump->bytes + (place - dump->base);
    return true;
}

static void compare_site(const struct image *image, uint32_t at, const uint8_t *found, bool changed_only) {
    const struct tp_site *site = &image->tables.sites[at];
    uint64_t address = tp_site_address(site) - image->shift;
    const char *kind = tp_kind_text(tp_site_kind(site)), *form = match_form(image, at, found);
    const char *insns = disassemble(image->kernel, found, site->length, address);
    if (!form && found[0] == 0xcc)
        complain("%s at %s: an int3 is on its first byte: it is being changed, or a debugger's is there: %s", kind,
                 describe_address(image->kernel, address), show_bytes(found, site->length));
    else if (!form)
        complain("%s at %s: what it holds is none of its forms: %s, %s", kind, describe_address(image->kernel, address),
                 show_bytes(found, site->length), insns);
    else if (!changed_only || memcmp(found, (const void *)tp_site_address(site), site->length) != 0)
        printf("%016lx %s: %s%s%s: %s: %s\n", (unsigned long)address, name_address(image->kernel, address), kind,
               tp_site_has_key(site) ? " " : "", tp_site_has_key(site) ? tp_key_name(tp_site_key(site)) : "", form, insns);
}

static bool is_ignored(const struct dump *dump, uint64_t address) {
    const struct kernel_symbol *function = function_at(dump->kernel, address);
    for (const char *const *name = dump->ignored; function && *name; name++)
        if (strcmp(*name, function->name) == 0)
            return true;
    return false;
}

/* One stretch of bytes that differ and lie in no site is told once. */
static void compare_plain(const struct image *image, const struct dump *dump, const uint8_t *found, uint64_t address,
                          uint64_t size) {
    const uint8_t *expected = memory_at(image, address, size);
    for (uint64_t i = 0; i < size; i++) {
        uint64_t start = i;
        while (i < size && found[i] != expected[i])
            i++;
        unsigned shown = i - start < 16 ? (unsigned)(i - start) : 16;
        if (i > start && !is_ignored(dump, address + start))
            complain("%s: %lu bytes differ where no site is: found %s, expected %s",
                     describe_address(image->kernel, address + start), (unsigned long)(i - start),
                     show_bytes(found + start, shown), show_bytes(expected + start, shown));
    }
}

/* A page at a time, as far as the dump has it; sites are left out. */
static uint64_t compare_between(const struct image *image, const struct dump *dump, uint64_t start, uint64_t end) {
    uint64_t covered = 0;
    for (uint64_t at = start; at < end;) {
        uint64_t next = (at | 0xfff) + 1 < end ? (at | 0xfff) + 1 : end;
        const uint8_t *found;
        if (find_in_dump(dump, at, next - at, &found)) {
            compare_plain(image, dump, found, at, next - at);
            covered += next - at;
        }
        at = next;
    }
    return covered;
}

static uint64_t compare_section(const struct image *image, const struct dump *dump, const struct kernel_section *section,
                                bool changed_only) {
    const struct tp_image *tables = &image->tables;
    uint64_t at = section->address, end = section->address + section->size, covered = 0;
    uint32_t site = tp_search_sites(tables, 0, tables->place_count, at + image->shift);
    for (; site < tables->place_count && tp_site_address(&tables->sites[site]) - image->shift < end; site++) {
        uint64_t address = tp_site_address(&tables->sites[site]) - image->shift;
        const uint8_t *found;
        if (!is_outermost(image, site))
            continue;
        covered += compare_between(image, dump, at, address);
        at = address + tables->sites[site].length;
        if (!find_in_dump(dump, address, at - address, &found))
            continue;
        compare_site(image, site, found, changed_only);
        covered += at - address;
    }
    return covered + compare_between(image, dump, at, end);
}

static void compare(void *argument) {
    struct options options = read_options(argument);
    struct dump dump = {.base = options.base, .physical = options.physical, .ignored = options.ignored};
    struct image *image = load_image(open_kernel(options.kernel));
    uint64_t covered = 0;
    if (!take_records(image))
        return;
    name_input(options.dump);
    dump.kernel = image->kernel;
    dump.bytes = read_whole_file(options.dump, &dump.size);
    for (uint32_t i = 1; i < image->kernel->section_count; i++) {
        const struct kernel_section *section = &image->kernel->sections[i];
        if (is_executable(section) && lies_in_image_text(image, section->address, section->size))
            covered += compare_section(image, &dump, section, options.changed_only);
    }
    if (covered == 0)
        complain("the dump, of 0x%zx bytes from 0x%lx on, has none of the kernel's text (0x%lx to 0x%lx)", dump.size,
                 (unsigned long)dump.base, (unsigned long)image->text_start, (unsigned long)image->text_end);
}

const struct command diff_command = {
    .name = "diff",
    .usage = "KERNEL.elf DUMP (--base|--physical) ADDRESS [--changed] [--ignore FUNCTION]…",
    .help = "Tells which form each site of a running kernel holds, from a dump of its memory that begins at an address\n"
            "(hexadecimal): one of the kernel's own with --base (GDB's dump memory, QEMU's memsave), a physical one with\n"
            "--physical (pmemsave). Text outside sites that is not the ELF file's, and bytes of a site that are none of its\n"
            "forms, are errors. --changed: leaves out sites that hold what the file has. --ignore: a function that others write,\n"
            "as Xen does its hypercall page.",
    .run = compare,
};
