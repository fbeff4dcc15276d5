/* SPDX-License-Identifier: MIT */
/*
 * A form that can be put into many sites: bytes, of which four at most depend on the address.
 *
 * How it works
 *   A field that is relative to the instruction pointer and refers to one fixed address holds, at each site, a
 *   constant less the site's address. That constant is the template's bias:
 *
 *   cs call target in 6 bytes at A:   2e e8 (target - (A + 6))        bias = target - 6, field at 2
 *
 *   So a run of sites with one key costs one rendering, and each site an addition.
 */
#ifndef TP_INSN_TEMPLATE_H
#define TP_INSN_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

enum { TP_TEMPLATE_MAX = 16 };

struct tp_template {
    uint8_t bytes[TP_TEMPLATE_MAX]; /* the field's are 0 */
    uintptr_t bias;
    uint8_t length; /* 1 to 15 */
    uint8_t field;  /* offset of the bytes that depend on the address */
    bool relative;  /* whether there are such: 4, or 1 in a short jump */
    bool is_short;
    uint8_t form;   /* enum tp_form_kind */
};

/* Whether the field can hold what it must at a site. */
static inline bool tp_template_reaches(const struct tp_template *form, uintptr_t address) {
    int64_t distance = (int64_t)(form->bias - address);
    return !form->relative || distance == (form->is_short ? (int8_t)distance : (int32_t)distance);
}

/* The template's bytes at an address; `out` has room for template->length bytes. */
static inline void tp_place_template(const struct tp_template *form, uintptr_t address, uint8_t *out) {
    for (unsigned i = 0; i < form->length; i++)
        out[i] = form->bytes[i];
    if (!form->relative)
        return;
    uint32_t value = (uint32_t)(form->bias - address);
    for (unsigned i = 0; i < (form->is_short ? 1u : 4u); i++)
        out[form->field + i] = (uint8_t)(value >> 8 * i);
}

/* Most sites fit into one word, whose first byte is the lowest. */
enum { TP_WORD = 8 };
typedef uint64_t tp_word __attribute__((aligned(1), may_alias));

/* The bytes of a word that a site or a form of `length` owns. */
static inline uint64_t tp_own_bytes(unsigned length) {
    return length >= TP_WORD ? UINT64_MAX : (UINT64_C(1) << 8 * length) - 1;
}

/* `length` bytes as a word; one load if a whole word lies before `end`, and nothing behind `end` is touched. */
static inline uint64_t tp_load_word(const uint8_t *bytes, unsigned length, const uint8_t *end) {
    if (end - bytes >= TP_WORD)
        return *(const tp_word *)bytes & tp_own_bytes(length);
    uint64_t word = 0;
    for (unsigned i = 0; i < length && i < TP_WORD; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

/* A template of up to 8 bytes, for many sites: placing it takes no branch. */
struct tp_word_template {
    uint64_t bytes;
    uint64_t bias;
    uint64_t field; /* all ones in its width if there is a field, else 0 */
    unsigned shift; /* of the field */
};

static inline struct tp_word_template tp_to_word(const struct tp_template *form) {
    struct tp_word_template word = {.bytes = tp_load_word(form->bytes, form->length, form->bytes + TP_TEMPLATE_MAX),
                                    .bias = form->bias};
    if (form->relative) {
        word.field = form->is_short ? UINT8_MAX : UINT32_MAX;
        word.shift = 8u * form->field;
    }
    return word;
}

static inline uint64_t tp_place_word(const struct tp_word_template *form, uintptr_t address) {
    return form->bytes | ((form->bias - address) & form->field) << form->shift;
}

#endif
