/* SPDX-License-Identifier: MIT */
/* ELF files of the type REL, for x86-64: System V ABI, "Object Files", and its AMD64 supplement, table 4.10. */
#ifndef ELF_RELOCATABLE_H
#define ELF_RELOCATABLE_H

#include <stdint.h>

struct elf_header {
    uint8_t magic[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, segments, sections;
    uint32_t flags;
    uint16_t size, segment_size, segment_count, section_size, section_count, names;
};

struct elf_section {
    uint32_t name, type;
    uint64_t flags, address, offset, size;
    uint32_t link, info;
    uint64_t alignment, entry_size;
};

struct elf_symbol {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, size;
};

struct elf_relocation {
    uint64_t offset;
    uint32_t type, symbol;
    int64_t addend;
};

enum { TYPE_RELOCATABLE = 1, MACHINE_X86_64 = 62, SYMBOL_UNDEFINED = 0, SYMBOL_ABSOLUTE = 0xfff1 };
enum { SECTION_SYMBOLS = 2, SECTION_RELA = 4, SECTION_NOBITS = 8, FLAG_ALLOC = 2, FLAG_EXECUTABLE = 4 };
enum { R_64 = 1, R_PC32 = 2, R_PLT32 = 4, R_32 = 10, R_32S = 11, R_PC64 = 24 };

#endif
