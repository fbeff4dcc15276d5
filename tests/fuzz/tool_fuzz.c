/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: the host tool on kernels with changed bytes. run_tool_fuzz builds and runs it.
 *
 * The kernels that TP_FUZZ_KERNELS names, with a colon between two, are good. MODULE@KERNEL is a module, as its view
 * was linked. Most inputs are for the first few, which should be small. An input's first byte chooses one, its second
 * the options; the rest is a list of changes of eight bytes each: which part of the file, how many bytes, where in the
 * part, and the new bytes. So what is changed is mostly something that is looked at. In .eh_frame it may be what a
 * description says of its function's frame, wherever that is.
 * Each is given to `check`, also with the good one as the first link, whose verdict is not judged here, has its forms
 * collected as `list` does it, is searched by `sites`, and has its table made as `orc` does. How far `check` gets with a
 * table that is linked, and how far `orc` does, is counted and told at the end:
 *   refused   tables, for they can't be read        others    that aren't the text's
 *   tables    were made        entries   are in them
 *   frames    refused for what .eh_frame says; likewise hints, flow (two stacks at one place), forms (that disagree)
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <textpatch/live.h>

#include "../../tools/textpatch/check.h"
#include "../../tools/textpatch/commands.h"
#include "../../tools/textpatch/forms.h"
#include "../../tools/textpatch/module.h"
#include "../../tools/textpatch/orc.h"
#include "../../tools/textpatch/report.h"

enum { CHANGE = 8, HEAD = 2, PARTS = 14, KERNELS = 9, SMALL_KERNELS = 5, SHARES = 60 };

struct part {
    size_t offset, size;
};

/* A good kernel. */
struct target {
    const char *base; /* of a module: its kernel; else NULL */
    char function[64], object[64]; /* the names of some */
    uint8_t *pristine, *bytes;
    size_t size;
    struct part parts[PARTS];
    struct part *programs; /* of .eh_frame's descriptions */
    size_t program_count;
};

static struct target targets[KERNELS];
static unsigned target_count;

static struct {
    unsigned long runs, tables, entries, frames, hints, flow, forms;
} orc_counts;
static struct {
    unsigned long runs, fine, refused, others;
} check_counts;
static bool heard_frames, heard_hints, heard_flow, heard_forms, heard_refused, heard_others;

/* The second byte of an input. */
static struct {
    uint8_t call_scheme;
    bool verbose, named, without_union, quiet;
} options;

static void hear(const char *message) {
    heard_frames |= strstr(message, ".eh_frame+") != NULL;
    heard_hints |= strstr(message, ".debug_textpatch_hints") != NULL;
    heard_flow |= strstr(message, "a hint must say") != NULL;
    heard_refused |= strstr(message, "the library refuses it") != NULL;
    heard_others |= strstr(message, "Is it another link's?") != NULL;
    heard_forms |= strstr(message, "two forms of this site") != NULL || strstr(message, "another stack than") != NULL;
}

static void hear_warning(const char *message) { (void)message; }

/* ---- Good kernels ---- */

static struct part part_of(const struct target *target, const struct kernel *kernel, const char *name) {
    const struct kernel_section *section = find_section(kernel, name);
    return section && section->bytes && section->size ? (struct part){section->offset, section->size}
                                                      : (struct part){0, target->size};
}

static struct part find_stretch(const struct target *target, const struct kernel *kernel, const char *first, const char *end) {
    uint64_t start = need_symbol(kernel, first)->address;
    uint64_t size = need_symbol(kernel, end)->address - start;
    const uint8_t *found = size ? bytes_at(kernel, start, size) : NULL;
    return found ? (struct part){(size_t)(found - target->pristine), size} : (struct part){0, target->size};
}

static void name_some(struct target *target, const struct kernel *kernel) {
    for (uint32_t i = 0; i < kernel->symbol_count; i++) {
        const struct kernel_symbol *symbol = &kernel->symbols[i];
        if (symbol->type == STT_OBJECT && symbol->size >= 64)
            snprintf(target->object, sizeof target->object, "%s", symbol->name);
    }
    if (kernel->function_count)
        snprintf(target->function, sizeof target->function, "%s", kernel->functions[0].name);
}

/* Behind length, pointer, two addresses of four bytes, and the length of an augmentation. */
static void find_programs(struct target *target, const struct kernel *kernel) {
    enum { FIXED = 17 };
    const struct kernel_section *section = find_section(kernel, ".eh_frame");
    uint32_t length;
    if (!section || !section->bytes)
        return;
    target->programs = calloc(section->size / FIXED + 1, sizeof *target->programs);
    if (!target->programs)
        abort();
    for (uint64_t at = 0; at + 4 <= section->size; at += 4 + length) {
        memcpy(&length, section->bytes + at, 4);
        if (length > section->size - at - 4)
            return;
        if (length > FIXED - 4)
            target->programs[target->program_count++] = (struct part){section->offset + at + FIXED, length + 4 - FIXED};
    }
}

static void find_parts(void *argument) {
    struct target *target = argument;
    const struct kernel *kernel = read_kernel("good", target->pristine, target->size);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)target->pristine;
    struct part *parts = target->parts;
    parts[0] = (struct part){0, target->size};
    parts[1] = (struct part){0, sizeof *header + header->e_phnum * sizeof(Elf64_Phdr)};
    parts[2] = (struct part){header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr)};
    parts[3] = part_of(target, kernel, ".textpatch");
    parts[4] = find_stretch(target, kernel, "__tp_replacements", "__tp_replacements_end");
    parts[5] = part_of(target, kernel, ".symtab");
    parts[6] = part_of(target, kernel, ".text");
    parts[7] = part_of(target, kernel, ".rela.text");
    parts[8] = parts[9] = part_of(target, kernel, ".eh_frame");
    parts[10] = part_of(target, kernel, ".debug_textpatch_hints");
    parts[11] = find_stretch(target, kernel, "__tp_orc", "__tp_orc_end");
    parts[12] = find_stretch(target, kernel, "__tp_sites", "__tp_keys_end");
    parts[13] = parts[8]; /* or one of `programs` */
    find_programs(target, kernel);
    name_some(target, kernel);
}

static void read_target(struct target *target, char *path) {
    char *at = strchr(path, '@');
    if (at) {
        *at = '\0';
        target->base = at + 1;
    }
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        abort();
    target->size = (size_t)ftell(file);
    rewind(file);
    target->pristine = malloc(target->size);
    target->bytes = malloc(target->size);
    if (!target->pristine || !target->bytes || fread(target->pristine, 1, target->size, file) != target->size)
        abort();
    fclose(file);
    if (!run_guarded(find_parts, target))
        abort();
}

static void tell_counts(void) {
    fprintf(stderr, "orc: %lu runs, %lu tables, %lu entries, %lu frames, %lu hints, %lu flow, %lu forms\n",
            orc_counts.runs, orc_counts.tables, orc_counts.entries, orc_counts.frames, orc_counts.hints, orc_counts.flow,
            orc_counts.forms);
    fprintf(stderr, "check: %lu runs, %lu fine, %lu refused, %lu others\n", check_counts.runs, check_counts.fine,
            check_counts.refused, check_counts.others);
}

/* A file of changed bytes, for a command that opens what it is given. */
static int changed_file;
static char changed_path[32];

static void get_ready(void) {
    char *paths = getenv("TP_FUZZ_KERNELS");
    set_listener(hear);
    set_warning_listener(hear_warning);
    for (char *path = paths ? strtok(paths, ":") : NULL; path && target_count < KERNELS; path = strtok(NULL, ":"))
        read_target(&targets[target_count++], path);
    changed_file = memfd_create("changed", 0);
    if (!target_count || changed_file < 0 || !freopen("/dev/null", "w", stdout)) /* what --verbose says */
        abort();
    snprintf(changed_path, sizeof changed_path, "/proc/self/fd/%d", changed_file);
    atexit(tell_counts);
}

/* ---- Changes ---- */

static void change(const struct target *target, const uint8_t *input) {
    unsigned number = input[0] % PARTS;
    struct part part = target->parts[number];
    size_t width = 1u << (input[0] / PARTS) % 3;
    size_t at = (size_t)input[1] << 16 | (size_t)input[2] << 8 | input[3];
    if (number == PARTS - 1 && target->program_count) {
        part = target->programs[at / 256 % target->program_count];
        at = input[3];
    }
    at %= part.size;
    if (width <= target->size - part.offset - at)
        memcpy(target->bytes + part.offset + at, input + 4, width);
}

/* ---- Commands ---- */

static const struct kernel *read_changed(const struct target *target) {
    return read_kernel("kernel", target->bytes, target->size);
}

static void collect_all(void *argument) {
    struct image *image = load_image(read_changed(argument));
    if (!take_records(image))
        return;
    for (uint32_t at = 0; at < image->tables.place_count; at++)
        (void)collect_own_forms(image, at);
}

static void prove(void *argument) {
    const struct target *target = argument;
    const char *const functions[] = {target->function, NULL}, *const objects[] = {target->object, NULL};
    const struct check_options checks = {.hooks = options.named ? functions : NULL,
                                         .ports = options.named ? objects : NULL,
                                         .ends = options.named ? functions : NULL,
                                         .call_scheme = options.call_scheme,
                                         .verbose = options.verbose};
    prove_kernel(read_changed(target), &checks);
}

static void run_check(struct target *target) {
    heard_refused = heard_others = false;
    check_counts.fine += run_guarded(prove, target);
    check_counts.runs++;
    check_counts.refused += heard_refused;
    check_counts.others += heard_others;
}

static void compare_links(void *argument) {
    const struct target *target = argument;
    check_same_text(read_changed(target), read_kernel("first", target->pristine, target->size));
}

static void run_sites(const struct target *target) {
    char output[] = "/dev/stdout", dash_o[] = "-o", verbose[] = "--verbose", except[] = "--except";
    char section[] = "--except-section", text[] = ".text.trampolines", function[sizeof target->function];
    memcpy(function, target->function, sizeof function);
    char *words[] = {changed_path, dash_o, output, verbose, except, function, section, text, NULL};
    struct arguments arguments = {options.named ? 8 : options.verbose ? 4 : 3, words};
    words[arguments.count] = NULL;
    if (ftruncate(changed_file, 0) != 0 ||
        pwrite(changed_file, target->bytes, target->size, 0) != (ssize_t)target->size)
        abort();
    (void)run_guarded(sites_command.run, &arguments);
    name_input("kernel");
}

struct orc_run {
    const struct target *target;
    FILE *out;
};

static void make_table(void *argument) {
    const struct orc_run *run = argument;
    const struct orc_options how = {
        .without_union = options.without_union, .quiet = options.quiet, .call_scheme = options.call_scheme};
    const struct orc_text *text = describe_text(read_changed(run->target), &how);
    if (text)
        write_table(text, run->out);
}

static void count_table(const char *table) {
    const char *entries = table ? strstr(table, " # bytes\n\t.long ") : NULL;
    orc_counts.tables++;
    if (!entries)
        abort(); /* nothing was complained of, and there is no table */
    orc_counts.entries += strtoul(entries + strlen(" # bytes\n\t.long "), NULL, 10);
}

static void run_orc(const struct target *target) {
    char *table = NULL;
    size_t size;
    struct orc_run run = {target, open_memstream(&table, &size)};
    if (!run.out)
        abort();
    heard_frames = heard_hints = heard_flow = heard_forms = false;
    bool fine = run_guarded(make_table, &run);
    fclose(run.out);
    orc_counts.runs++;
    orc_counts.frames += heard_frames;
    orc_counts.hints += heard_hints;
    orc_counts.flow += heard_flow;
    orc_counts.forms += heard_forms;
    if (fine)
        count_table(table);
    free(table);
}

static void choose_options(uint8_t byte) {
    options.verbose = byte & 1;
    options.named = byte & 2;
    options.quiet = byte & 4;
    options.without_union = (byte >> 3) % 4 == 0;
    options.call_scheme = (byte >> 5) % 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length) {
    if (!target_count)
        get_ready();
    unsigned number = length ? input[0] % SHARES : 0;
    struct target *target = &targets[number < target_count ? number : number % SMALL_KERNELS % target_count];
    choose_options(length > 1 ? input[1] : 0);
    set_base_kernel(target->base);
    memcpy(target->bytes, target->pristine, target->size);
    for (size_t at = HEAD; at + CHANGE <= length; at += CHANGE)
        change(target, input + at);
    run_check(target);
    (void)run_guarded(compare_links, target);
    (void)run_guarded(collect_all, target);
    run_sites(target);
    run_orc(target);
    return 0;
}
