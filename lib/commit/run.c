/* SPDX-License-Identifier: MIT */
/*
 * Runs: the boot pass at the speed of memory. The bytes behind a site are read and written back as they are, which is
 * safe while nobody else runs.
 */
#include "boot.h"

#include "../site/site.h"

struct tp_edit tp_run_edit(const struct tp_run *run, uint32_t at, uint8_t *old_bytes, uint8_t *new_bytes) {
    const struct tp_word_edit *edit = &run->edits[at];
    const struct tp_site *site = &run->image->sites[edit->place];
    *(tp_word *)old_bytes = tp_place_word(&edit->forms->old_form, edit->address);
    *(tp_word *)new_bytes = tp_place_word(&edit->forms->new_form, edit->address);
    const char *key = tp_site_has_key(site) ? tp_key_name(tp_site_key(site)) : NULL;
    return (struct tp_edit){edit->address, old_bytes, new_bytes, edit->forms->length, key};
}

/* The slow way: for telling what was wrong, at the end of a page, and where the port maps each edit by itself. */
static enum tp_status each_edit(const struct tp_writer *writer, const struct tp_run *run, uint32_t at) {
    uint8_t old_bytes[TP_WORD], new_bytes[TP_WORD];
    const struct tp_edit edit = tp_run_edit(run, at, old_bytes, new_bytes);
    return writer ? tp_write_edit(writer, &edit) : tp_check_edit(&edit);
}

enum tp_status tp_check_run(const struct tp_run *run) {
    const struct tp_word_edit *edits = run->edits;
    for (uint32_t i = 0, count = run->count; i < count; i++) {
        if (!tp_leaves_page(&edits[i]) && tp_text_holds(&edits[i], tp_place_word(&edits[i].forms->old_form, edits[i].address)))
            continue;
        enum tp_status status = each_edit(NULL, run, i);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

/* Whether the text took it. */
static inline bool write_word(const struct tp_word_edit *edit, uintptr_t to_alias) {
    tp_word *alias = (tp_word *)(edit->address + to_alias);
    const uint64_t word = tp_place_word(&edit->forms->new_form, edit->address);
    *alias = (*alias & ~edit->forms->own) | word;
    /* The alias and the text are one memory: the load below must come after the store above. */
    __asm__ volatile("" : : : "memory");
    return tp_text_holds(edit, word);
}

enum tp_status tp_write_run(const struct tp_writer *writer, const struct tp_run *run) {
    const struct tp_word_edit *edits = run->edits;
    const uintptr_t to_alias = (uintptr_t)writer->alias - writer->text;
    for (uint32_t i = 0, count = run->count; i < count; i++) {
        if (writer->alias && !tp_leaves_page(&edits[i]) && write_word(&edits[i], to_alias))
            continue;
        enum tp_status status = each_edit(writer, run, i);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}
