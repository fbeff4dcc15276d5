/* SPDX-License-Identifier: MIT */
/*
 * File and line of an address, by libdw.
 *
 * How it works
 *   The line tables of all units, read once when first asked for, sorted by address. Not by .debug_aranges, which clang
 *   doesn't write.
 */
#include "elf.h"

#include <stdlib.h>

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "report.h"

struct row {
    uint64_t address;
    const char *file;
    unsigned line; /* 0: the sequence ends here */
    unsigned order;
};

struct line_table {
    struct row *rows;
    size_t count, room;
    const char *last_name, *kept_name;
};

/* libdw's names live as long as its handle; neighbours mostly share one. */
static const char *keep_name(struct line_table *table, const char *file) {
    if (!file)
        return "?";
    if (file != table->last_name)
        table->kept_name = format_text("%s", file);
    table->last_name = file;
    return table->kept_name;
}

static void add_row(struct line_table *table, Dwarf_Line *line) {
    Dwarf_Addr address;
    int number = 0;
    bool ends = false;
    if (dwarf_lineaddr(line, &address) != 0 || dwarf_lineno(line, &number) != 0 || dwarf_lineendsequence(line, &ends) != 0)
        return;
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 4096;
        table->rows = grow(table->rows, table->count, table->room, sizeof *table->rows);
    }
    table->rows[table->count] = (struct row){.address = address,
                                             .file = keep_name(table, dwarf_linesrc(line, NULL, NULL)),
                                             .line = ends || number < 0 ? 0 : (unsigned)number,
                                             .order = (unsigned)table->count};
    table->count++;
}

/* Linkers leave the lines of functions that they dropped at address 0. */
static void add_sequences(struct line_table *table, Dwarf_Lines *lines, size_t count) {
    bool begins = true, dropped = false, ends;
    for (size_t i = 0; i < count; i++) {
        Dwarf_Line *line = dwarf_onesrcline(lines, i);
        Dwarf_Addr address;
        if (begins)
            dropped = dwarf_lineaddr(line, &address) != 0 || address == 0;
        if (!dropped)
            add_row(table, line);
        begins = dwarf_lineendsequence(line, &ends) == 0 && ends;
    }
}

static void read_units(struct line_table *table, Dwarf *dwarf) {
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    while (dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        Dwarf_Lines *lines;
        size_t count;
        if (dwarf_getsrclines(&die, &lines, &count) == 0)
            add_sequences(table, lines, count);
    }
}

/* What ends a sequence comes before what begins there. */
static int compare_rows(const void *left, const void *right) {
    const struct row *a = left, *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if ((a->line == 0) != (b->line == 0))
        return a->line == 0 ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static struct line_table *read_lines(const struct kernel *kernel) {
    struct line_table *table = allocate(1, sizeof *table);
    Elf *elf = elf_memory(grow(kernel->bytes, kernel->size, kernel->size, 1), kernel->size);
    Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
    if (dwarf) {
        read_units(table, dwarf);
        dwarf_end(dwarf);
    }
    if (elf)
        elf_end(elf);
    if (table->count)
        qsort(table->rows, table->count, sizeof *table->rows, compare_rows);
    return table;
}

bool find_line(const struct kernel *kernel, uint64_t address, struct source_line *line) {
    struct kernel *owner = (struct kernel *)(uintptr_t)kernel; /* the table is a cache */
    if (!owner->lines)
        owner->lines = read_lines(kernel);
    const struct line_table *table = owner->lines;
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->rows[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || table->rows[low - 1].line == 0)
        return false;
    *line = (struct source_line){.file = table->rows[low - 1].file, .line = table->rows[low - 1].line};
    return true;
}
