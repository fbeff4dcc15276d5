/* SPDX-License-Identifier: MIT */
/*
 * Edits, and runs of them: many edits of up to 8 bytes, as words that share forms. A site is one word, of which its own
 * bytes count.
 *
 *   text    2e ff 15 10 20 00 00|c3     loaded whole
 *   own     ff ff ff ff ff ff ff 00
 *   old     2e ff 15 10 20 00 00 00
 *   new     9c 58 0f 1f 44 00 00 00
 */
#ifndef TP_COMMIT_RUN_H
#define TP_COMMIT_RUN_H

#include "../insn/template.h"
#include "../site/registry.h"

struct tp_edit {
    uintptr_t address;
    const uint8_t *old_bytes, *new_bytes;
    uint8_t length;
    const char *key; /* for messages; NULL if the site has none */
};

/* What sites of up to 8 bytes hold and shall hold. */
struct tp_word_forms {
    struct tp_word_template old_form, new_form;
    uint64_t own; /* all ones in the site's bytes */
    uint8_t length;
    uint8_t new_kind; /* enum tp_form_kind */
    /* The live writer's, once it has looked. Small: the boot pass goes over many of these. */
    bool classified : 1;
    bool one_way : 1;  /* a store could not be followed by another one back */
    uint16_t classes;  /* enum tp_class, two bits each, by address % 8 */
};

/* One of them; a whole word at its address lies in the text. */
struct tp_word_edit {
    uintptr_t address;
    struct tp_word_forms *forms;
    uint32_t place;
};

struct tp_run {
    const struct tp_image *image;
    const struct tp_word_edit *edits;
    uint32_t count;
};

/* A word that goes on into the page behind the site's last one, which may be nobody's: that is done byte by byte. */
static inline bool tp_leaves_page(const struct tp_word_edit *edit) {
    enum { PAGE = 4096 };
    return ((edit->address + TP_WORD - 1) ^ (edit->address + edit->forms->length - 1)) >= PAGE;
}

/* Whether the site's own bytes are those of `word`. */
static inline bool tp_text_holds(const struct tp_word_edit *edit, uint64_t word) {
    return !((*(const tp_word *)edit->address ^ word) & edit->forms->own);
}

/* The run's edit `at`, in bytes; both buffers have room for TP_WORD of them. */
struct tp_edit tp_run_edit(const struct tp_run *run, uint32_t at, uint8_t *old_bytes, uint8_t *new_bytes);

#endif
