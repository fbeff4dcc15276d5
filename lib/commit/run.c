/* SPDX-License-Identifier: MIT */
/*
 * Runs: the boot pass at the speed of memory. A site of up to 8 bytes is one word, of which its own bytes count; the
 * bytes behind it are read and written back as they are, which is safe while nobody else runs.
 *
 *   text    2e ff 15 10 20 00 00|c3     loaded whole
 *   own     ff ff ff ff ff ff ff 00     from the length
 *   old     2e ff 15 00 00 00 00 00  + field (bias - address) << 24
 *   new     9c 58 0f 1f 44 00 00 00
 */
#include "../commit/boot.h"

#include "../port.h"
#include "../site/site.h"

enum { WORD = 8, AHEAD = 12, PAGE = 4096 };

struct word_form {
    uint64_t bytes;
    uint64_t bias;
    uint64_t field; /* all ones in its width if there is a field, else 0 */
    unsigned shift; /* of the field */
};

typedef uint64_t unaligned_word __attribute__((aligned(1), may_alias));

static struct word_form to_word(const struct tp_template *form) {
    struct word_form word = {.bias = form->bias};
    for (unsigned i = 0; i < WORD && i < form->length; i++)
        word.bytes |= (uint64_t)form->bytes[i] << 8 * i;
    if (form->relative && form->length <= WORD) {
        word.field = form->is_short ? UINT8_MAX : UINT32_MAX;
        word.shift = 8u * form->field;
    }
    return word;
}

static inline uint64_t place_word(const struct word_form *form, uintptr_t address) {
    return form->bytes | ((form->bias - address) & form->field) << form->shift;
}

static inline uint64_t own_bytes(unsigned length) {
    return length >= WORD ? UINT64_MAX : (UINT64_C(1) << 8 * length) - 1;
}

static inline const struct tp_site *site_of(const struct tp_run *run, uint32_t entry) {
    return &run->image->sites[entry];
}

/* The bytes behind a site at the end of a page may be nobody's: then it is done byte by byte. */
static inline bool fills_page(uintptr_t address) {
    return address % PAGE > PAGE - WORD;
}

/* A site at the very end of the text has no whole word to load; entries are in order of address. */
static uint32_t count_words(const struct tp_run *run, const uint32_t *entries, uint32_t count) {
    if (run->old_form.length > WORD)
        return 0;
    while (count > 0 && tp_site_address(site_of(run, entries[count - 1])) + WORD > run->image->text_end)
        count--;
    return count;
}

struct tp_edit tp_run_edit(const struct tp_run *run, uint32_t entry, uint8_t *old_bytes, uint8_t *new_bytes) {
    uintptr_t address = tp_site_address(site_of(run, entry));
    tp_place_template(&run->old_form, address, old_bytes);
    tp_place_template(&run->new_form, address, new_bytes);
    return (struct tp_edit){address, old_bytes, new_bytes, run->old_form.length, run->key};
}

/* The slow way, for single sites and for telling what was wrong. */
static enum tp_status each_site(const struct tp_writer *writer, const struct tp_run *run, uint32_t entry) {
    uint8_t old_bytes[TP_TEMPLATE_MAX], new_bytes[TP_TEMPLATE_MAX];
    const struct tp_edit edit = tp_run_edit(run, entry, old_bytes, new_bytes);
    return writer ? tp_write_edit(writer, &edit) : tp_check_edit(&edit);
}

static enum tp_status each_site_from(const struct tp_writer *writer, const struct tp_run *run,
                                     const uint32_t *entries, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < count; i++) {
        enum tp_status status = each_site(writer, run, entries[i]);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

/* Cold text comes from memory while earlier sites are compared. */
static inline void fetch_ahead(const struct tp_run *run, const uint32_t *entries, uint32_t i, uint32_t count) {
    if (i + AHEAD < count)
        __builtin_prefetch((const void *)tp_site_address(site_of(run, entries[i + AHEAD])));
}

enum tp_status tp_check_run(const struct tp_run *run, const uint32_t *entries, uint32_t count) {
    const struct word_form old_form = to_word(&run->old_form);
    const uint64_t own = own_bytes(run->old_form.length & 15u);
    uint32_t words = count_words(run, entries, count);
    for (uint32_t i = 0; i < words; i++) {
        fetch_ahead(run, entries, i, words);
        uintptr_t address = tp_site_address(site_of(run, entries[i]));
        if (!fills_page(address) &&
            !((*(const unaligned_word *)address ^ place_word(&old_form, address)) & own))
            continue;
        enum tp_status status = each_site(NULL, run, entries[i]);
        if (status != TP_OK)
            return status;
    }
    return each_site_from(NULL, run, entries, words, count);
}

enum tp_status tp_write_run(const struct tp_writer *writer, const struct tp_run *run, const uint32_t *entries,
                            uint32_t count) {
    const struct word_form new_form = to_word(&run->new_form);
    const uint64_t own = own_bytes(run->new_form.length & 15u);
    uint32_t words = writer->alias ? count_words(run, entries, count) : 0;
    const uintptr_t to_alias = (uintptr_t)writer->alias - writer->text;
    for (uint32_t i = 0; i < words; i++) {
        uintptr_t address = tp_site_address(site_of(run, entries[i]));
        uint64_t wanted = place_word(&new_form, address);
        unaligned_word *alias = (unaligned_word *)(address + to_alias);
        if (!fills_page(address)) {
            *alias = (*alias & ~own) | wanted;
            /* The alias and the text are one memory: the load below must come after the store above. */
            __asm__ volatile("" : : : "memory");
            if (!((*(const unaligned_word *)address ^ wanted) & own))
                continue;
        }
        enum tp_status status = each_site(writer, run, entries[i]);
        if (status != TP_OK)
            return status;
    }
    return each_site_from(writer, run, entries, words, count);
}
