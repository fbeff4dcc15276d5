/* SPDX-License-Identifier: MIT */
/*
 * `textpatch orc` on a good kernel that is to be broken (broken.h).
 *
 * Calls
 *   orc_complaint_of()   all that it says of the bytes as they are now, "" if it makes a table: the text is in `table`; what
 *                        it warned of is in `warned`
 *   table_is_sound()     whether the library would take that table: the text is read back, and each entry looked at
 *   entry_at()           what the table says of an address
 *   find_description()   a function's part of .eh_frame
 */
#ifndef TEST_TOOL_FRAMES_H
#define TEST_TOOL_FRAMES_H

#include "broken.h"

#include "../../tools/textpatch/orc.h"

static struct orc_options orc_options;
static char warned[SAID_MAX];
static unsigned warnings;
static char *table;
static size_t table_size;

static inline void listen_to_warnings(const char *message) {
    size_t used = strlen(warned);
    snprintf(warned + used, sizeof warned - used, "%s\n", message);
    warnings++;
}

static inline void describe(void *argument) {
    FILE *out = argument;
    const struct orc_text *text = describe_text(read_kernel("kernel", bytes, file_size), &orc_options);
    if (text)
        write_table(text, out);
}

static inline const char *orc_complaint_of(void) {
    said[0] = warned[0] = '\0';
    warnings = 0;
    free(table);
    FILE *out = open_memstream(&table, &table_size);
    assert_non_null(out);
    set_listener(listen);
    set_warning_listener(listen_to_warnings);
    bool fine = run_guarded(describe, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fine, said[0] == '\0');
    return said;
}

/* ---- The table as text ---- */

struct read_table {
    struct tp_unwind_table table; /* as a kernel would have it, at another address */
    uint32_t *ips, *blocks;
    struct tp_orc_entry *entries;
};

/* The numbers behind .long, up to the next line that has none; as many as were wanted, or the text is wrong. */
static inline const char *read_longs(const char *at, uint32_t *out, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        char *end;
        at += strspn(at, i % 8 ? "," : "\n\t.long ");
        out[i] = (uint32_t)strtoul(at, &end, 10);
        if (end == at)
            fail_msg("no number at \"%.40s\"", at);
        at = end;
    }
    return at;
}

static inline const char *skip_to(const char *at, const char *text) {
    const char *found = strstr(at, text);
    if (!found)
        fail_msg("the table has no \"%s\"", text);
    return found + strlen(text);
}

static inline struct read_table read_table(void) {
    struct read_table out = {.table = {.text_start = 0x10000000}};
    unsigned long size, count;
    int sp, bp;
    unsigned registers, type;
    const char *at = skip_to(table, "# text\n");
    if (sscanf(at, "\t.long %lu # bytes\n\t.long %lu # entries", &size, &count) != 2)
        fail_msg("no numbers at \"%.40s\"", at);
    out.table.text_size = (uint32_t)size;
    out.table.count = (uint32_t)count;
    uint32_t blocks = out.table.text_size / TP_ORC_BLOCK + (out.table.text_size % TP_ORC_BLOCK != 0);
    out.table.ips = out.ips = malloc(count * sizeof *out.ips);
    out.table.blocks = out.blocks = malloc(blocks * sizeof *out.blocks);
    out.table.entries = out.entries = malloc(count * sizeof *out.entries);
    at = read_longs(skip_to(at, "# ips\n"), out.ips, out.table.count);
    at = read_longs(skip_to(at, "# blocks\n"), out.blocks, blocks);
    at = skip_to(at, "# entries\n");
    for (uint32_t i = 0; i < count; i++) {
        if (sscanf(at, "\t.short %d,%d; .byte %u,%u", &sp, &bp, &registers, &type) != 4)
            fail_msg("no entry at \"%.40s\"", at);
        assert_true(sp == (int16_t)sp && bp == (int16_t)bp && registers <= 0xff && type <= 0xff);
        out.entries[i] = (struct tp_orc_entry){(int16_t)sp, (int16_t)bp, (uint8_t)registers, (uint8_t)type};
        at = skip_to(at, "\n");
    }
    return out;
}

static inline void free_table(struct read_table *read) {
    free(read->ips);
    free(read->blocks);
    free(read->entries);
}

static inline bool table_is_sound(void) {
    struct read_table read = read_table();
    bool sound = tp_unwind_add(&read.table) == TP_OK;
    if (sound && tp_unwind_remove(&read.table) != TP_OK)
        fail_msg("a table can't be removed");
    free_table(&read);
    return sound;
}

/* The good kernel's address. */
static inline struct tp_orc_entry entry_at(uint64_t address) {
    struct read_table read = read_table();
    uint64_t offset = address - find_section(good, ".text")->address;
    uint32_t i = 0;
    assert_true(offset < read.table.text_size);
    while (i + 1 < read.table.count && read.ips[i + 1] <= offset)
        i++;
    struct tp_orc_entry entry = read.entries[i];
    free_table(&read);
    return entry;
}

/* ---- .eh_frame ---- */

struct description {
    uint8_t *start;   /* its length, among `bytes` */
    uint8_t *program; /* behind a length, a pointer, two addresses of four bytes and no augmentation */
    size_t size;      /* of the program */
};

static inline struct description find_description(const char *function) {
    const struct kernel_section *section = find_section(good, ".eh_frame");
    uint64_t wanted = address_of(function);
    uint32_t length;
    for (uint64_t at = 0; at + 8 <= section->size; at += 4 + length) {
        int32_t pointer, start;
        memcpy(&length, section->bytes + at, 4);
        memcpy(&pointer, section->bytes + at + 4, 4);
        memcpy(&start, section->bytes + at + 8, 4);
        if (length && pointer && section->address + at + 8 + (uint64_t)(int64_t)start == wanted)
            return (struct description){bytes + section->offset + at, bytes + section->offset + at + 17, length - 13};
    }
    fail_msg(".eh_frame says nothing of %s", function);
    return (struct description){NULL, NULL, 0};
}

#endif
