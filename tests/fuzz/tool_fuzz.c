/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: the host tool on kernels with changed bytes. run_tool_fuzz builds and runs it.
 *
 * The kernel that TP_FUZZ_KERNEL names is good. An input is a list of changes of eight bytes each: which part of the file,
 * how many bytes, where in the part, and the new bytes. So what is changed is mostly something that is looked at.
 * Each is given to `check`, whose verdict is not judged here, has its forms collected as `list`
 * does it, and its relocations read as `sites` does.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/textpatch/check.h"
#include "../../tools/textpatch/forms.h"
#include "../../tools/textpatch/report.h"

enum { CHANGE = 8, PARTS = 8 };

static uint8_t *pristine, *bytes;
static size_t size;
static struct part {
    size_t offset, size;
} parts[PARTS];

static void hear(const char *message) { (void)message; }

static struct part part_of(const struct kernel *kernel, const char *name) {
    const struct kernel_section *section = find_section(kernel, name);
    return section && section->bytes ? (struct part){section->offset, section->size} : (struct part){0, size};
}

static void find_parts(void *argument) {
    const struct kernel *kernel = read_kernel("good", pristine, size);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)pristine;
    (void)argument;
    parts[0] = (struct part){0, size};
    parts[1] = (struct part){0, sizeof *header + header->e_phnum * sizeof(Elf64_Phdr)};
    parts[2] = (struct part){header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr)};
    parts[3] = parts[4] = part_of(kernel, ".textpatch");
    parts[5] = part_of(kernel, ".symtab");
    parts[6] = part_of(kernel, ".text");
    parts[7] = part_of(kernel, ".rela.text");
}

static void get_ready(void) {
    const char *path = getenv("TP_FUZZ_KERNEL");
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0)
        abort();
    size = (size_t)ftell(file);
    rewind(file);
    pristine = malloc(size);
    bytes = malloc(size);
    if (!pristine || !bytes || fread(pristine, 1, size, file) != size)
        abort();
    fclose(file);
    set_listener(hear);
    if (!run_guarded(find_parts, NULL))
        abort();
}

static void change(const uint8_t *input) {
    const struct part *part = &parts[input[0] % PARTS];
    size_t width = 1u << (input[0] / PARTS) % 3;
    size_t at = ((size_t)input[1] << 16 | (size_t)input[2] << 8 | input[3]) % part->size;
    if (width <= size - part->offset - at)
        memcpy(bytes + part->offset + at, input + 4, width);
}

static void collect_all(void *argument) {
    struct image *image = load_image(read_kernel("kernel", bytes, size));
    (void)argument;
    if (!take_records(image))
        return;
    for (uint32_t at = 0; at < image->tables.place_count; at++)
        (void)collect_own_forms(image, at);
}

static void read_all_relocations(void *argument) {
    const struct kernel *kernel = read_kernel("kernel", bytes, size);
    uint32_t count;
    (void)argument;
    for (uint32_t i = 1; i < kernel->section_count; i++)
        (void)read_relocations(kernel, &kernel->sections[i], &count);
}

static void prove(void *argument) {
    (void)argument;
    prove_kernel(read_kernel("kernel", bytes, size), &(struct check_options){.hooks = NULL});
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length) {
    if (!bytes)
        get_ready();
    memcpy(bytes, pristine, size);
    for (size_t at = 0; at + CHANGE <= length; at += CHANGE)
        change(input + at);
    (void)run_guarded(prove, NULL);
    (void)run_guarded(collect_all, NULL);
    (void)run_guarded(read_all_relocations, NULL);
    return 0;
}
