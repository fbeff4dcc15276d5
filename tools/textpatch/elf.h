/* SPDX-License-Identifier: MIT */
/*
 * A linked kernel: its sections, segments, symbols, relocations and lines.
 *
 * What for
 *   All that the commands know of the file comes from here. The file may be truncated or hostile: each offset, size,
 *   index and name in it is checked once, here, so that those above may follow all pointers that they are given. What
 *   can't be is give_up() (report.h) with the section and the offset at fault.
 *
 * Calls
 *   open_kernel()        a file
 *   read_kernel()        the same from memory (tests)
 *   find_section()       by name;  section_at()  by address, of those that are loaded
 *   bytes_at()           file bytes by address
 *   find_symbol()        by name;  function_at() by address;  need_symbol() gives up where there is none
 *   read_relocations()   what --emit-relocs kept for a section
 *   find_line()          file and line of an address, where there is debug information (elf_lines.c)
 *   describe_address()   "function+0x12 (file.c:34)", for messages and lists
 *
 * Example
 *   const struct kernel *kernel = open_kernel("kernel.elf");
 *   const struct kernel_section *frames = find_section(kernel, ".eh_frame");
 *   for (uint32_t i = 0; i < kernel->function_count; i++) …
 *
 * How it works
 *   x86-64 ELF files of the types EXEC and DYN. `symbols` holds every named symbol that has an address, sorted by it.
 *   `functions` are those that cover the executable sections: a function reaches to its size's end, or, where an
 *   assembler gave none, to the next one; labels inside a function (NASM's `function.label` too) are left out. They
 *   don't overlap.
 *
 * Edge cases
 *   - Everything lives until run_guarded() ends; addresses are the kernel's, as linked.
 *   - A stripped kernel opens, with symbol_count 0.
 */
#ifndef TOOL_ELF_H
#define TOOL_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <elf.h>

struct kernel_section {
    const char *name;
    uint64_t address;
    uint64_t size;
    uint64_t offset;      /* in the file */
    uint64_t flags;       /* SHF_… */
    uint64_t entry_size;
    uint32_t type;        /* SHT_… */
    uint32_t link, info;  /* as in the header: not checked */
    uint32_t index;
    const uint8_t *bytes; /* `size` of them; NULL if the file has none */
};

struct kernel_segment {
    uint64_t address;
    uint64_t physical;
    uint64_t memory_size;
    uint64_t file_size;
    uint64_t offset;
    uint32_t flags; /* PF_… */
    uint32_t index;
    const uint8_t *bytes; /* file_size of them */
};

struct kernel_symbol {
    const char *name;
    uint64_t address;
    uint64_t size; /* as in the file, 0 where an assembler gave none */
    uint64_t end;  /* of `functions` only: the byte after its last */
    uint8_t type;  /* STT_… */
    uint8_t binding;
    uint16_t section; /* index, or SHN_ABS */
};

struct kernel_relocation {
    uint64_t address; /* of the field, as linked */
    uint32_t type;    /* R_X86_64_… */
    int64_t addend;
    uint64_t value;   /* of the symbol */
    const char *name; /* of the symbol; of its section, if it is a section's; "" if it has none */
};

struct source_line {
    const char *file;
    unsigned line;
};

struct kernel {
    const char *name; /* of the file */
    const uint8_t *bytes;
    size_t size;
    uint64_t entry;
    struct kernel_section *sections;
    uint32_t section_count;
    struct kernel_segment *segments; /* PT_LOAD */
    uint32_t segment_count;
    struct kernel_symbol *symbols;
    uint32_t symbol_count;
    struct kernel_symbol *functions;
    uint32_t function_count;
    const struct kernel_symbol **by_name; /* `symbols`, sorted by name, global ones first */
    struct line_table *lines;             /* elf_lines.c */
};

const struct kernel *open_kernel(const char *path);
const struct kernel *read_kernel(const char *name, const uint8_t *bytes, size_t size);

/* All of a file, for other inputs too. */
const uint8_t *read_whole_file(const char *path, size_t *size);

/* NULL if there is none. */
const struct kernel_section *find_section(const struct kernel *kernel, const char *name);
const struct kernel_section *section_at(const struct kernel *kernel, uint64_t address);
const struct kernel_symbol *find_symbol(const struct kernel *kernel, const char *name);
const struct kernel_symbol *function_at(const struct kernel *kernel, uint64_t address);

/* `size` bytes of one loaded section that has bytes in the file; NULL if they aren't all there. */
const uint8_t *bytes_at(const struct kernel *kernel, uint64_t address, uint64_t size);

/* Gives up where there is none, and says what a stripped kernel lacks. */
const struct kernel_symbol *need_symbol(const struct kernel *kernel, const char *name);

static inline bool is_executable(const struct kernel_section *section) {
    return (section->flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR);
}

/* Of the section's RELA table, sorted by address; NULL and 0 if the link kept none. */
const struct kernel_relocation *read_relocations(const struct kernel *kernel, const struct kernel_section *section,
                                                 uint32_t *count);

bool find_line(const struct kernel *kernel, uint64_t address, struct source_line *line);

/* Whether name_address() knows more than the number: a function, or an object with a size, is there. */
bool has_symbol_at(const struct kernel *kernel, uint64_t address);

/* "name+0x12", "name", or the address alone; with describe_address() also " (file.c:34)" where that is known. */
const char *name_address(const struct kernel *kernel, uint64_t address);
const char *describe_address(const struct kernel *kernel, uint64_t address);

#endif
