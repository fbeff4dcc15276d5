/* SPDX-License-Identifier: MIT */
/*
 * Every form that a site may ever hold, as bytes and instruction boundaries.
 *
 * What for
 *   `list` shows them, `check` proves each, `orc` makes one unwind table for all of them at once, `diff` tells which of
 *   them a dump holds.
 *
 * Calls
 *   collect_forms()   all forms of a place: a site in the text that lies in no other, with all that lies in it
 *   match_form()      which of them some bytes are
 *   form_bytes(), form_instructions()   a form as text
 *   is_stepped_into()                   whether there is more to it than its instructions' boundaries
 *   is_outermost()    whether a site is such a place; the others come with the one they lie in
 *
 * Example
 *   for (uint32_t at = 0; at < image->tables.place_count; at++) {
 *       if (!is_outermost(image, at))
 *           continue;
 *       struct site_forms forms = collect_forms(image, at);
 *       for (uint32_t i = 0; i < forms.count; i++)
 *           … forms.forms[i].bytes, .boundaries …
 *   }
 *
 * How it works
 *   The library renders them, with state of our choice. For a place that depends on features, every combination of them;
 *   for each key in it, every value that makes a difference: no function, a function without an inline form, each function
 *   that has one, and for static keys enabled and not. Keys are varied one at a time: nested sites of different keys don't
 *   touch each other's bytes. What is rendered twice is listed once. A form that can't be (a target out of reach) is
 *   complained of.
 *
 * Edge cases
 *   - A direct call or jump is listed once, to the function that the cell holds in the file. Where that would never be
 *     called so (NULL, or one with an inline form), the text's start stands in for all others, and has_stand_in says it.
 *   - A lock prefix is one byte of an instruction that goes on behind the site: the form has one boundary and `whole` is
 *     false.
 *   - Long NOPs differ between CPU vendors: both forms are listed.
 *   - Offsets of `boundaries` are the site's. A form's padding behind a return, a jump or a trap is int3.
 */
#ifndef TOOL_FORMS_H
#define TOOL_FORMS_H

#include "image.h"

#include "../../lib/insn/decode.h"

struct form {
    const char *name; /* "original", "inline native_save_fl", "replacement, if RDTSCP" */
    uint8_t kind;     /* enum tp_form_kind */
    bool whole;       /* whole instructions, the last of which ends with the site */
    bool has_stand_in; /* a call or a jump in it leads to `target` in the place of functions that nobody knows yet */
    uint64_t target;   /* of a direct call or jump, or the stand-in; else 0 */
    unsigned instruction_count;
    const uint8_t *bytes; /* site_forms.length of them, as they run at the site's address */
    uint8_t boundaries[TP_INSN_WALK_MAX / 8]; /* bit n % 8 of byte n / 8: an instruction begins at bytes[n] */
};

struct site_forms {
    const struct tp_site *site; /* the outermost record */
    uint64_t address;           /* the kernel's */
    unsigned length;
    struct form *forms; /* the first is what the linker left */
    uint32_t count;
};

/* After take_records(). `at` is an index into image->tables.sites, below place_count. */
bool is_outermost(const struct image *image, uint32_t at);
struct site_forms collect_forms(const struct image *image, uint32_t at);

/* Of one site by itself, though it lie in another: for lists. */
struct site_forms collect_own_forms(const struct image *image, uint32_t at);

/*
 * Which form of a place some bytes of its length are, as they stand in a running kernel: a direct call may be one of any
 * function. NULL if they are none. In match.c.
 */
const char *match_form(const struct image *image, uint32_t at, const uint8_t *found);

/* As text, in forms_text.c: a stand-in's distance is "?? ?? ?? ??", its name "(target not known)". */
const char *form_bytes(const struct site_forms *site, const struct form *form);
const char *form_instruction(const struct kernel *kernel, const struct site_forms *site, const struct form *form,
                             unsigned at, unsigned *used);
const char *form_instructions(const struct kernel *kernel, const struct site_forms *site, const struct form *form);

/* TP_SCHEME_… of textpatch/live.h by an option's word, -1 if it is none; in forms_scheme.c. */
int read_scheme(const char *word);

/*
 * Whether a CPU may stand at byte 1 of a form where no instruction of it begins: behind an int3 in place of a prefix,
 * which TP_SCHEME_PREFIX steps over. The stack is then as it is in front of the site. The library is asked.
 */
bool is_stepped_into(const struct site_forms *site, const struct form *form, uint8_t call_scheme);

static inline bool is_boundary(const struct form *form, unsigned offset) {
    return form->boundaries[offset / 8] >> offset % 8 & 1;
}

/* A feature by its name in textpatch/feature.h, TP_NOT() as "not ". */
const char *name_feature(unsigned feature);

#endif
