/* SPDX-License-Identifier: MIT */
/*
 * Whether .eh_frame speaks of the compiled code, or of some object files only. A kernel may be assembler for the better part:
 * so assembler is not what is counted.
 *
 * How it works
 *   The symbols of an object file's own functions follow one of the type STT_FILE, by which compilers name the source.
 *   Functions that other files call stand elsewhere in the table, without a file: they are only counted where no file has
 *   a name (ld --discard-all).
 */
#include <string.h>

#include "orc.h"

static bool ends_in(const char *name, const char *suffix) {
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

/* With -flto there is no source any more: GCC's names, then LLVM's. */
static bool is_compiled(const char *file) {
    static const char *const suffixes[] = {".c", ".cc", ".cpp", ".cxx", ".rs", ".ltrans.o", "<artificial>", "ld-temp.o"};
    for (unsigned i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_in(file, suffixes[i]))
            return true;
    return false;
}

static const struct kernel_section *find_symbols(const struct kernel *kernel) {
    for (uint32_t i = 1; i < kernel->section_count; i++)
        if (kernel->sections[i].type == SHT_SYMTAB && kernel->sections[i].bytes)
            return &kernel->sections[i];
    return NULL;
}

/* "" where it has none: a hostile file is complained of where its symbols are read. */
static const char *name_of(const struct kernel *kernel, const struct kernel_section *table, uint32_t offset) {
    const struct kernel_section *names = table->link < kernel->section_count ? &kernel->sections[table->link] : NULL;
    if (!names || !names->bytes || offset >= names->size || !memchr(names->bytes + offset, 0, names->size - offset))
        return "";
    return (const char *)names->bytes + offset;
}

struct cover {
    uint64_t with, without; /* bytes of functions */
};

static void count(const struct orc_text *text, const Elf64_Sym *symbol, struct cover *cover) {
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || !lies_in_text(text, symbol->st_value))
        return;
    if (has_mark(text, symbol->st_value, MARK_FRAME))
        cover->with += symbol->st_size;
    else
        cover->without += symbol->st_size;
}

bool lacks_frames(const struct orc_text *text) {
    const struct kernel_section *table = find_symbols(text->kernel);
    struct cover all = {0, 0}, compiled = {0, 0};
    bool has_files = false, is_in_compiled = false;
    for (uint64_t at = 0; table && at + sizeof(Elf64_Sym) <= table->size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, table->bytes + at, sizeof symbol);
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FILE) {
            const char *name = name_of(text->kernel, table, symbol.st_name);
            is_in_compiled = is_compiled(name);
            has_files = has_files || name[0];
        }
        count(text, &symbol, &all);
        if (is_in_compiled && ELF64_ST_BIND(symbol.st_info) == STB_LOCAL)
            count(text, &symbol, &compiled);
    }
    return has_files ? compiled.without > compiled.with : all.without > all.with;
}
