/* SPDX-License-Identifier: MIT */
#include "elf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>
#include <libelf.h>

#include "elf_symbols.h"
#include "report.h"

/* Kernels are smaller; a device or a pipe would have no end. */
enum { FILE_MAX = 1 << 30 };

const uint8_t *read_whole_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        give_up("can't be opened");
    uint8_t *bytes = NULL;
    size_t room = 0, used = 0, got = 1;
    while (got) {
        if (used == room) {
            room = room ? 2 * room : 1 << 16;
            bytes = grow(bytes, used, room, 1);
        }
        got = fread(bytes + used, 1, room - used, file);
        used += got;
        if (used > FILE_MAX)
            got = 0;
    }
    bool failed = ferror(file);
    fclose(file);
    if (failed)
        give_up("can't be read (offset 0x%zx)", used);
    if (used > FILE_MAX)
        give_up("is larger than 1 GiB");
    *size = used;
    return bytes;
}

/* Bytes of the file; NULL if they aren't all there. */
static const uint8_t *file_bytes(const struct kernel *kernel, uint64_t offset, uint64_t size) {
    return offset <= kernel->size && size <= kernel->size - offset ? kernel->bytes + offset : NULL;
}

/* A string that ends inside its table. */
static const char *string_at(const struct kernel_section *table, uint64_t offset) {
    if (!table->bytes || offset >= table->size || !memchr(table->bytes + offset, 0, table->size - offset))
        return NULL;
    return (const char *)table->bytes + offset;
}

static void check_header(const struct kernel *kernel, const GElf_Ehdr *header) {
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64)
        give_up("is no ELF file for x86-64 (header, offset 0x10: machine %u)", header->e_machine);
    if (header->e_type == ET_REL)
        give_up("is an object file that no linker has seen (header, offset 0x10); give the linked kernel");
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        give_up("is no linked program (header, offset 0x10: type %u)", header->e_type);
    if (header->e_shoff == 0)
        give_up("has no section headers (header, offset 0x28)");
    (void)kernel;
}

static void read_section(struct kernel *kernel, Elf *elf, uint32_t index) {
    GElf_Shdr header;
    struct kernel_section *section = &kernel->sections[index];
    Elf_Scn *scn = elf_getscn(elf, index);
    if (!scn || !gelf_getshdr(scn, &header))
        give_up("section %u: its header can't be read: %s", index, elf_errmsg(-1));
    *section = (struct kernel_section){.name = "",
                                       .address = header.sh_addr,
                                       .size = header.sh_size,
                                       .offset = header.sh_offset,
                                       .flags = header.sh_flags,
                                       .entry_size = header.sh_entsize,
                                       .type = header.sh_type,
                                       .link = header.sh_link,
                                       .info = header.sh_info,
                                       .index = index};
    if (section->size > UINT64_MAX - section->address)
        give_up("section %u: address 0x%lx and size 0x%lx go past the end of memory", index,
                (unsigned long)section->address, (unsigned long)section->size);
    if (section->type == SHT_NOBITS || section->type == SHT_NULL)
        return;
    section->bytes = file_bytes(kernel, section->offset, section->size);
    if (!section->bytes)
        give_up("section %u: its 0x%lx bytes at offset 0x%lx are not in the file, which has 0x%zx: truncated?", index,
                (unsigned long)section->size, (unsigned long)section->offset, kernel->size);
}

static void name_sections(struct kernel *kernel, Elf *elf) {
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0 || names >= kernel->section_count)
        give_up("header, offset 0x3e: no section holds the sections' names");
    for (uint32_t i = 1; i < kernel->section_count; i++) {
        GElf_Shdr header;
        const char *name = NULL;
        if (gelf_getshdr(elf_getscn(elf, i), &header))
            name = string_at(&kernel->sections[names], header.sh_name);
        if (!name)
            give_up("section %u: its name is not in the table of names (section %zu)", i, names);
        kernel->sections[i].name = name;
    }
}

static int compare_addresses(const void *left, const void *right) {
    const struct kernel_section *a = *(const struct kernel_section *const *)left;
    const struct kernel_section *b = *(const struct kernel_section *const *)right;
    return a->address < b->address ? -1 : a->address > b->address;
}

/* What one address holds, and which function, must be one thing. */
static void refuse_overlaps(const struct kernel *kernel) {
    const struct kernel_section **code = allocate(kernel->section_count, sizeof *code);
    uint32_t count = 0;
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (is_executable(&kernel->sections[i]) && kernel->sections[i].size)
            code[count++] = &kernel->sections[i];
    qsort(code, count, sizeof *code, compare_addresses);
    for (uint32_t i = 1; i < count; i++)
        if (code[i]->address - code[i - 1]->address < code[i - 1]->size)
            give_up("sections %s (%u) and %s (%u) are executable, and overlap at 0x%lx", code[i - 1]->name,
                    code[i - 1]->index, code[i]->name, code[i]->index, (unsigned long)code[i]->address);
}

static void read_sections(struct kernel *kernel, Elf *elf) {
    size_t count;
    if (elf_getshdrnum(elf, &count) != 0)
        give_up("section headers: %s", elf_errmsg(-1));
    if (count == 0 || count > kernel->size / sizeof(Elf64_Shdr))
        give_up("section headers (offset 0x28): %zu are not in the file: truncated?", count);
    kernel->section_count = (uint32_t)count;
    kernel->sections = allocate(count, sizeof *kernel->sections);
    for (uint32_t i = 0; i < count; i++)
        read_section(kernel, elf, i);
    name_sections(kernel, elf);
    refuse_overlaps(kernel);
}

static void read_segments(struct kernel *kernel, Elf *elf) {
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0)
        give_up("program headers: %s", elf_errmsg(-1));
    if (count > kernel->size / sizeof(Elf64_Phdr))
        give_up("program headers (offset 0x20): %zu are not in the file: truncated?", count);
    kernel->segments = allocate(count, sizeof *kernel->segments);
    for (uint32_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(elf, (int)i, &header))
            give_up("program header %u: %s", i, elf_errmsg(-1));
        if (header.p_type != PT_LOAD)
            continue;
        const uint8_t *bytes = file_bytes(kernel, header.p_offset, header.p_filesz);
        if (!bytes)
            give_up("program header %u: its 0x%lx bytes at offset 0x%lx are not in the file: truncated?", i,
                    (unsigned long)header.p_filesz, (unsigned long)header.p_offset);
        if (header.p_filesz > header.p_memsz || header.p_memsz > UINT64_MAX - header.p_vaddr)
            give_up("program header %u: size 0x%lx can't be", i, (unsigned long)header.p_memsz);
        kernel->segments[kernel->segment_count++] = (struct kernel_segment){.address = header.p_vaddr,
                                                                            .physical = header.p_paddr,
                                                                            .memory_size = header.p_memsz,
                                                                            .file_size = header.p_filesz,
                                                                            .offset = header.p_offset,
                                                                            .flags = header.p_flags,
                                                                            .index = i,
                                                                            .bytes = bytes};
    }
}

static void read_all(struct kernel *kernel, Elf *elf, GElf_Ehdr *header) {
    check_header(kernel, header);
    kernel->entry = header->e_entry;
    read_sections(kernel, elf);
    read_segments(kernel, elf);
    read_symbols(kernel);
}

/* libelf's handle is needed for headers only; what it found is ours by then. */
static Elf *elf_in_work;

static void drop_elf(void) {
    if (elf_in_work)
        elf_end(elf_in_work);
    elf_in_work = NULL;
}

const struct kernel *read_kernel(const char *name, const uint8_t *bytes, size_t size) {
    struct kernel *kernel = allocate(1, sizeof *kernel);
    GElf_Ehdr header;
    *kernel = (struct kernel){.name = name, .bytes = bytes, .size = size};
    if (size < sizeof(Elf64_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        give_up("is no ELF file (offset 0)");
    drop_elf(); /* of a run that gave up */
    elf_version(EV_CURRENT);
    /* libelf may convert in place: it gets a copy. */
    uint8_t *copy = grow(bytes, size, size, 1);
    elf_in_work = elf_memory((char *)copy, size);
    if (!elf_in_work || elf_kind(elf_in_work) != ELF_K_ELF || !gelf_getehdr(elf_in_work, &header))
        give_up("is no ELF file that can be read (header): %s", elf_errmsg(-1));
    read_all(kernel, elf_in_work, &header);
    drop_elf();
    return kernel;
}

const struct kernel *open_kernel(const char *path) {
    size_t size;
    name_input(path);
    const uint8_t *bytes = read_whole_file(path, &size);
    return read_kernel(path, bytes, size);
}

const struct kernel_section *find_section(const struct kernel *kernel, const char *name) {
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (strcmp(kernel->sections[i].name, name) == 0)
            return &kernel->sections[i];
    return NULL;
}

const struct kernel_section *section_at(const struct kernel *kernel, uint64_t address) {
    for (uint32_t i = 1; i < kernel->section_count; i++) {
        const struct kernel_section *section = &kernel->sections[i];
        if ((section->flags & SHF_ALLOC) && address >= section->address && address - section->address < section->size)
            return section;
    }
    return NULL;
}

const uint8_t *bytes_at(const struct kernel *kernel, uint64_t address, uint64_t size) {
    const struct kernel_section *section = section_at(kernel, address);
    if (!section || !section->bytes || size > section->size - (address - section->address))
        return NULL;
    return section->bytes + (address - section->address);
}

bool has_symbol_at(const struct kernel *kernel, uint64_t address) {
    return function_at(kernel, address) || object_at(kernel, address);
}

const char *name_address(const struct kernel *kernel, uint64_t address) {
    const struct kernel_symbol *symbol = function_at(kernel, address);
    if (!symbol)
        symbol = object_at(kernel, address);
    if (!symbol)
        return format_text("0x%lx", (unsigned long)address);
    if (symbol->address == address)
        return symbol->name;
    return format_text("%s+0x%lx", symbol->name, (unsigned long)(address - symbol->address));
}

const char *describe_address(const struct kernel *kernel, uint64_t address) {
    struct source_line line;
    const char *name = name_address(kernel, address);
    if (!find_line(kernel, address, &line))
        return name;
    return format_text("%s (%s:%u)", name, line.file, line.line);
}
