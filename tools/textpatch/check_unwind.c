/* SPDX-License-Identifier: MIT */
/*
 * The unwind table of a kernel, held against one that is made anew of the same text.
 *
 * Edge cases
 *   - What it was made of may be stripped when it has served: then it is what the library takes, and speaks of this text.
 */
#include "check.h"

#include <stdio.h>

#include "orc.h"
#include "report.h"

struct comparison {
    const struct orc_text *text;
    const struct tp_unwind_table *found;
    struct orc_entries wanted;
};

static struct orc_state found_state(const struct comparison *work, uint32_t i) {
    const struct tp_orc_entry *entry = &work->found->entries[i];
    return (struct orc_state){.sp_offset = entry->sp_offset, .bp_offset = entry->bp_offset,
                              .registers = entry->registers, .type = entry->type};
}

static bool same_entry(const struct comparison *work, uint32_t i) {
    struct orc_state found = found_state(work, i);
    return work->found->ips[i] == work->wanted.ips[i] && same_state(&found, &work->wanted.states[i]);
}

static void complain_of(const struct comparison *work, uint32_t i) {
    const uint32_t end = (uint32_t)(work->text->end - work->text->start);
    const uint32_t found_ip = i < work->found->count ? work->found->ips[i] : end;
    const uint32_t wanted_ip = i < work->wanted.count ? work->wanted.ips[i] : end;
    const uint32_t offset = found_ip < wanted_ip ? found_ip : wanted_ip;
    struct orc_state found = found_state(work, found_ip == offset ? i : i - 1);
    const struct orc_state *wanted = &work->wanted.states[wanted_ip == offset ? i : i - 1];
    complain("unwind table: at %s, 0x%lx bytes into the text, it says: %s; `textpatch orc' says of this text: %s. Is it "
             "another link's?",
             describe_address(work->text->kernel, work->text->start + offset), (unsigned long)offset,
             describe_state(&found), describe_state(wanted));
}

/* Both begin at offset 0: found by the library's own checks, wanted by collect_entries(). */
static void compare(const struct orc_text *text, const struct tp_unwind_table *found) {
    struct comparison work = {.text = text, .found = found, .wanted = collect_entries(text)};
    uint32_t i = 0;
    while (i < found->count && i < work.wanted.count && same_entry(&work, i))
        i++;
    if (i < found->count || i < work.wanted.count)
        complain_of(&work, i);
}

/* What the kernel's own calls will say of it. */
static bool take_table(const struct image *image, uint64_t start, uint64_t size, struct tp_unwind_table *table) {
    const uint8_t *bytes = memory_at(image, start, size);
    if (!bytes || start % 4) {
        complain("unwind table: 0x%lx bytes at 0x%lx are no table", (unsigned long)size, (unsigned long)start);
        return false;
    }
    enum tp_status status = tp_read_unwind_table(table, bytes, size);
    if (status == TP_OK)
        status = tp_unwind_add(table);
    if (status != TP_OK)
        complain("unwind table at 0x%lx: the library refuses it: %s (value 0x%lx)", (unsigned long)start,
                 tp_status_text(status), (unsigned long)tp_last_error()->value);
    return status == TP_OK && tp_unwind_remove(table) == TP_OK;
}

/* Where `orc' finds fault, it has said so. */
static void compare_anew(struct image *image, const struct orc_options *options, const struct tp_unwind_table *table) {
    unsigned before = count_complaints();
    const struct orc_text *text = describe_image(image, options);
    if (count_complaints() == before)
        compare(text, table);
}

static uint64_t measure(const struct tp_unwind_table *table) {
    const uint8_t *end = (const uint8_t *)(table->entries + table->count);
    return (uint64_t)(end - (const uint8_t *)table->ips) + sizeof(struct tp_orc_head);
}

void check_unwind(struct image *image, const struct check_options *options) {
    const struct orc_options anew = {.call_scheme = options->call_scheme, .quiet = true};
    const char *stripped = find_stripped(image->own, image->text_start, image->text_end);
    uint64_t start = need_symbol(image->own, "__tp_orc")->address, end = need_symbol(image->own, "__tp_orc_end")->address;
    struct tp_unwind_table table;
    if (start == end || !take_table(image, start, end - start, &table))
        return;
    uint64_t text_start = table.text_start - image->shift;
    if (text_start != image->text_start || table.text_size != image->text_end - image->text_start)
        complain("unwind table: it speaks of 0x%lx bytes of text at 0x%lx, and there are 0x%lx at 0x%lx",
                 (unsigned long)table.text_size, (unsigned long)text_start,
                 (unsigned long)(image->text_end - image->text_start), (unsigned long)image->text_start);
    else if (measure(&table) != end - start)
        complain("unwind table: it has 0x%lx bytes, and 0x%lx lie between __tp_orc (0x%lx) and __tp_orc_end: are there two?",
                 (unsigned long)measure(&table), (unsigned long)(end - start), (unsigned long)start);
    else if (!stripped)
        compare_anew(image, &anew, &table);
    else if (options->verbose)
        printf("unwind table: not made anew, and so not compared: there is no %s any more\n", stripped);
}
