/* SPDX-License-Identifier: MIT */
/*
 * `textpatch sites`: calls of static calls become sites of their own.
 *
 * How it works
 *   The compiler knows nothing of sites: it writes `call tp_static_call_trampoline_name`, or a jmp, or a jcc. The kernel
 *   is linked once with --emit-relocs, and each relocation in its text that leads to a trampoline, and is a branch's, is
 *   written as a record for a second link. Records of other sites that the second link adds move what lies behind them,
 *   which is neither the text nor, by linker/textpatch.ld, the data before them; so everything is written as a distance
 *   from __tp_start, and no symbol of the compiler's is asked for.
 *   A module (module.h) calls its kernel's trampolines too. Its records refer to its text and data by tp_module_text and
 *   tp_module_data, and to the kernel's trampolines and cells by name, which its loader resolves.
 *
 * Edge cases
 *   - An address of a trampoline that is taken stays what it is; so does a branch with prefixes that a site can't have,
 *     a short one, and one that lies in a site already.
 *   - A call is looked for where code leads (check_map.h): data in a function is no hindrance.
 *   - A cell behind the tables is referred to by its symbol.
 */
#include <stdio.h>
#include <string.h>

#include "../../lib/insn/decode.h"
#include "../../lib/site/search.h"
#include "../../lib/site/site.h"
#include "check_map.h"
#include "commands.h"
#include "image.h"
#include "output.h"
#include "report.h"

struct options {
    const char *kernel, *output;
    const char **exceptions, **excepted_sections; /* functions and sections that stay as they are */
    bool verbose;
};

struct found {
    uint64_t address;
    const struct trampoline *trampoline;
    unsigned length, detail;
};

/* As assembler source. */
struct records {
    const char **texts;
    size_t count, room;
    uint32_t relocations; /* that were looked at */
};

static struct options read_options(const struct arguments *arguments) {
    size_t room = (size_t)arguments->count + 1;
    struct options options = {.exceptions = allocate(room, sizeof *options.exceptions),
                              .excepted_sections = allocate(room, sizeof *options.excepted_sections)};
    unsigned exceptions = 0, sections = 0;
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        bool more = i + 1 < arguments->count;
        if (strcmp(word, "-o") == 0 && more)
            options.output = arguments->words[++i];
        else if (strcmp(word, "--except") == 0 && more)
            options.exceptions[exceptions++] = arguments->words[++i];
        else if (strcmp(word, "--except-section") == 0 && more)
            options.excepted_sections[sections++] = arguments->words[++i];
        else if (strcmp(word, "--verbose") == 0)
            options.verbose = true;
        else if (word[0] == '-' || options.kernel)
            refuse_usage(&sites_command);
        else
            options.kernel = word;
    }
    if (!options.kernel || !options.output)
        refuse_usage(&sites_command);
    return options;
}

static bool is_among(const char **names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* 2e before the opcode, and nothing else: what a static call's record may describe. */
static bool has_known_prefixes(const struct tp_insn *insn, const uint8_t *bytes) {
    for (unsigned i = 0; i < insn->prefix_bytes; i++)
        if (bytes[i] != 0x2e)
            return false;
    return true;
}

static bool classify(const struct tp_insn *insn, const uint8_t *bytes, struct found *found) {
    if (insn->operand_size != 4 || !has_known_prefixes(insn, bytes))
        return false;
    found->length = insn->length;
    if (insn->kind == TP_INSN_CALL_RELATIVE)
        found->detail = TP_BRANCH_CALL;
    else if (insn->kind == TP_INSN_JMP_RELATIVE)
        found->detail = TP_BRANCH_JMP;
    else if (insn->kind == TP_INSN_JCC_RELATIVE && insn->prefix_bytes == 0)
        found->detail = TP_BRANCH_JCC | insn->condition;
    else
        return false;
    return true;
}

/* The instruction whose operand a relocation filled: as the text is followed, not as the bytes before it look. */
static const char *find_branch(const struct text_map *map, const struct kernel_symbol *function, uint64_t field,
                               struct found *found) {
    struct tp_insn insn;
    if (!is_code(map, field - 1))
        return "nothing leads to it, as far as branches say where they lead";
    uint64_t at = find_instruction(map, field - 1);
    const uint8_t *bytes = memory_at(map->image, at, function->end - at);
    if (!bytes)
        return "its function goes past the text";
    if (tp_insn_decode(bytes, bytes + (function->end - at), &insn) != TP_OK || at + insn.operand_offset != field)
        return "it is in the middle of an instruction";
    found->address = at;
    return classify(&insn, bytes, found) ? NULL : "it is no call, jmp or jcc of 32 bits, or has prefixes";
}

static bool overlaps_site(const struct image *image, const struct found *found) {
    uintptr_t here = found->address + image->shift;
    uint32_t next = tp_search_sites(&image->tables, 0, image->tables.place_count, here);
    bool overlaps = next < image->tables.place_count && tp_site_address(&image->tables.sites[next]) < here + found->length;
    return overlaps || tp_search_place(&image->tables, here) != image->tables.place_count;
}

/* Why a reference to a trampoline can't become a site, or must not; NULL if it can. */
static const char *find_reason(const struct text_map *map, const struct options *options,
                               const struct kernel_section *section, const struct kernel_relocation *relocation,
                               struct found *found) {
    const struct kernel_symbol *function = function_at(map->image->kernel, relocation->address);
    if (is_among(options->excepted_sections, section->name))
        return format_text("section %s is excepted", section->name);
    if (is_among(options->exceptions, function->name))
        return format_text("%s is excepted", function->name);
    const char *reason = find_branch(map, function, relocation->address, found);
    if (reason)
        return reason;
    return overlaps_site(map->image, found) ? "it lies in another site" : NULL;
}

static void tell_reason(const struct image *image, const struct options *options,
                        const struct kernel_relocation *relocation, uint64_t trampoline, const char *reason) {
    if (options->verbose)
        printf("%s at %s: left alone: %s\n", name_address(image->kernel, trampoline),
               describe_address(image->kernel, relocation->address), reason);
}

/* Whether the relocation is one of a branch that can become a site. */
static bool judge(const struct text_map *map, const struct options *options, const struct kernel_section *section,
                  const struct kernel_relocation *relocation, struct found *found) {
    const struct image *image = map->image;
    bool relative = relocation->type == R_X86_64_PC32 || relocation->type == R_X86_64_PLT32;
    found->trampoline = find_trampoline(image, relocation->value + (uint64_t)relocation->addend + (relative ? 4 : 0));
    if (!found->trampoline)
        return false;
    if (!relative) {
        tell_reason(image, options, relocation, found->trampoline->address, "its address is taken");
        return false;
    }
    if (!lies_in_image_text(image, relocation->address, 4)) {
        complain("section %s: a relocation to %s at 0x%lx is out of the text", section->name, relocation->name,
                 (unsigned long)relocation->address);
        return false;
    }
    if (!function_at(image->kernel, relocation->address)) {
        complain("section %s: no function covers the call of %s at 0x%lx", section->name, relocation->name,
                 (unsigned long)relocation->address);
        return false;
    }
    const char *reason = find_reason(map, options, section, relocation, found);
    if (reason)
        tell_reason(image, options, relocation, found->trampoline->address, reason);
    return !reason;
}

/* A section of a module moves as one piece; what is the kernel's has a name that the loader knows. */
static const char *name_by_module(const struct image *image, uint64_t address) {
    static const char *const pieces[] = {"tp_module_text", "tp_module_data"};
    const struct kernel_section *section = section_at(image->own, address);
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces && section; i++) {
        uint64_t start = need_symbol(image->own, pieces[i])->address;
        if (start == section->address)
            return format_text("%s + 0x%lx", pieces[i], (unsigned long)(address - start));
    }
    const char *name = name_address(image->kernel, address);
    if (section || !has_symbol_at(image->kernel, address) || strchr(name, '+'))
        give_up("0x%lx: a module's records may refer to its .text and .data, and to symbols of the kernel's: this is none",
                (unsigned long)address);
    return name;
}

static const char *name_cell(const struct image *image, uint64_t cell) {
    uint64_t base = image->tables_start;
    if (image->is_module)
        return name_by_module(image, cell);
    if (cell < base)
        return format_text("__tp_start - 0x%lx", (unsigned long)(base - cell));
    const char *name = name_address(image->kernel, cell);
    if (!has_symbol_at(image->kernel, cell) || strchr(name, '+'))
        give_up("the cell at 0x%lx lies behind the tables and has no symbol: put .data before textpatch.ld",
                (unsigned long)cell);
    return name;
}

/* Text. */
static const char *name_place(const struct image *image, uint64_t address) {
    uint64_t base = image->anchor;
    if (image->is_module)
        return name_by_module(image, address);
    if (address > base)
        give_up("0x%lx: this text lies behind the tables, which will grow: put .text before textpatch.ld",
                (unsigned long)address);
    return format_text("%s - 0x%lx", image->anchor_name, (unsigned long)(base - address));
}

static const char *format_record(const struct image *image, const struct found *found) {
    return format_text("\t.long %s - ., %s - ., %s - .\n\t.byte %u, %u\n\t.short 0x%x\n", name_place(image, found->address),
                       name_cell(image, found->trampoline->cell), name_place(image, found->trampoline->address),
                       found->length, TP_RECORD_VERSION << 4 | TP_KIND_STATIC_CALL, found->detail);
}

static void add_record(struct records *records, const char *text) {
    if (records->count == records->room) {
        size_t room = records->room ? 2 * records->room : 256;
        records->texts = grow(records->texts, records->count, room, sizeof *records->texts);
        records->room = room;
    }
    records->texts[records->count++] = text;
}

static void find_sites_of(struct records *records, const struct text_map *map, const struct options *options,
                          const struct kernel_section *section) {
    uint32_t count;
    const struct kernel_relocation *all = read_relocations(map->image->own, section, &count);
    records->relocations += count;
    for (uint32_t i = 0; i < count; i++) {
        struct found found = {.length = 0};
        if (judge(map, options, section, &all[i], &found))
            add_record(records, format_record(map->image, &found));
    }
}

/* Of some section; a module's text may have none. */
static bool keeps_relocations(const struct kernel *kernel) {
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (kernel->sections[i].type == SHT_RELA && !(kernel->sections[i].flags & SHF_ALLOC))
            return true;
    return false;
}

static void write_file(const struct records *records, const char *path) {
    FILE *out = fopen(path, "w");
    if (!out)
        give_up("%s can't be written", path);
    fprintf(out, "# Sites of static calls, by `textpatch sites`: for the second link.\n"
                 "\t.section .textpatch.sites, \"aw\", @progbits\n\t.balign 4\n");
    for (size_t i = 0; i < records->count; i++)
        fputs(records->texts[i], out);
    fprintf(out, "\t.section .note.GNU-stack, \"\", @progbits\n");
    if ((ferror(out) | fclose(out)) != 0)
        complain("%s could not be written", path);
}

static void write_sites(void *argument) {
    struct options options = read_options(argument);
    const struct kernel *kernel = open_kernel(options.kernel);
    remove_output(options.output); /* no error from here on leaves an older one behind */
    struct image *image = load_image(kernel);
    struct records records = {.count = 0};
    if (!take_records(image))
        return;
    const struct text_map *map = map_text(image);
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (is_executable(&kernel->sections[i]))
            find_sites_of(&records, map, &options, &kernel->sections[i]);
    if (records.relocations == 0 && !(image->is_module && keeps_relocations(kernel)))
        complain("no relocations of its text were kept: link it with --emit-relocs (-Wl,--emit-relocs)");
    if (count_complaints() == 0)
        write_file(&records, options.output);
    if (count_complaints())
        remove_output(options.output);
}

const struct command sites_command = {
    .name = "sites",
    .usage = "KERNEL.elf -o FILE.s [--except FUNCTION]… [--except-section NAME]… [--verbose]",
    .help = "Writes records for the calls of static calls in a kernel that was linked with --emit-relocs, as assembler\n"
            "source for a second link. --except: a function whose calls stay calls of the trampoline. --except-section: a\n"
            "section of the kernel's, likewise: one that is freed. --verbose: what is left alone, and why.",
    .run = write_sites,
};
