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

#endif
