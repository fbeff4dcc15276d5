/* SPDX-License-Identifier: MIT */
/*
 * Runs: the boot pass at the speed of memory. A site of up to 8 bytes is one word, of which its own bytes count; the
 * bytes behind it are read and written back as they are, which is safe while nobody else runs.
 *
 *   text    2e ff 15 10 20 00 00|c3     loaded whole
 *   own     ff ff ff ff ff ff ff 00
 *   old     2e ff 15 10 20 00 00 00
 *   new     9c 58 0f 1f 44 00 00 00
 */
#include "boot.h"

#include "../site/site.h"

enum { PAGE = 4096 };

/* A word that goes on into the page behind the site's last one, which may be nobody's: that is done byte by byte. */
static inline bool leaves_page(const struct tp_word_edit *edit) {
    return ((edit->address + TP_WORD - 1) ^ (edit->address + edit->forms->length - 1)) >= PAGE;
}

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

static inline bool holds(const struct tp_word_edit *edit, uint64_t word) {
    return !((*(const tp_word *)edit->address ^ word) & edit->forms->own);
}

enum tp_status tp_check_run(const struct tp_run *run) {
    const struct tp_word_edit *edits = run->edits;
    for (uint32_t i = 0, count = run->count; i < count; i++) {
        if (!leaves_page(&edits[i]) && holds(&edits[i], tp_place_word(&edits[i].forms->old_form, edits[i].address)))
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
    return holds(edit, word);
}

enum tp_status tp_write_run(const struct tp_writer *writer, const struct tp_run *run) {
    const struct tp_word_edit *edits = run->edits;
    const uintptr_t to_alias = (uintptr_t)writer->alias - writer->text;
    for (uint32_t i = 0, count = run->count; i < count; i++) {
        if (writer->alias && !leaves_page(&edits[i]) && write_word(&edits[i], to_alias))
            continue;
        enum tp_status status = each_edit(writer, run, i);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}
