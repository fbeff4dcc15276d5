/* SPDX-License-Identifier: MIT */
/*
 * Forms against each other: where two forms of a site have an instruction begin at one byte, the stack must be as deep in
 * both, or no unwind table can be right for both at once. The last byte of a call counts as such a byte: a walk looks it
 * up while the call is under way; so does byte 1 of a form with a prefix, where the kernel's scheme for live calls is to step
 * over an int3 in the prefix's place. Depths count from the site's start, so that this is asked of kernels without any
 * description of their frames too; `orc` asks for all that a table says.
 */
#include "check.h"

#include <textpatch/live.h>

#include "../../lib/site/site.h"
#include "forms.h"
#include "report.h"

struct depth {
    const struct form *form; /* the first that has the boundary; NULL: none */
    int64_t bytes;
};

struct site_depths {
    const struct image *image;
    const struct site_forms *site;
    uint8_t call_scheme;
    struct depth depths[TP_SITE_LENGTH_MAX + 1];
};

static const char *show(const struct site_depths *work, const struct form *form) {
    return format_text("\"%s\" (%s: %s)", form->name, form_bytes(work->site, form),
                       form_instructions(work->image->kernel, work->site, form));
}

static const char *name_place(const struct site_depths *work, unsigned offset) {
    if (offset == work->site->length)
        return "behind the site";
    bool by_scheme = offset == 1 && work->call_scheme == TP_SCHEME_PREFIX;
    return format_text("at byte %u%s", offset,
                       by_scheme ? ", where TP_SCHEME_PREFIX goes on behind the first prefix of a call" : "");
}

static void note_depth(struct site_depths *work, unsigned offset, const struct form *form, int64_t bytes) {
    struct depth *known = &work->depths[offset];
    if (!known->form)
        *known = (struct depth){form, bytes};
    else if (known->bytes != bytes)
        complain("%s at %s: two forms disagree %s: in %s the stack has grown by %ld bytes, in %s by %ld",
                 tp_kind_text(tp_site_kind(work->site->site)), describe_address(work->image->kernel, work->site->address),
                 name_place(work, offset), show(work, known->form), (long)known->bytes, show(work, form), (long)bytes);
}

/* Up to where it leaves, or does to the stack what can't be told. */
static void follow_form(struct site_depths *work, const struct form *form) {
    const unsigned length = work->site->length;
    int64_t bytes = 0;
    struct tp_insn insn;
    if (is_stepped_into(work->site, form, work->call_scheme))
        note_depth(work, 1, form, bytes);
    for (unsigned at = 0; at < length; at += insn.length) {
        note_depth(work, at, form, bytes);
        if (tp_insn_decode(form->bytes + at, form->bytes + length, &insn) != TP_OK ||
            (insn.flags & TP_INSN_ENDS_FLOW) || insn.kind == TP_INSN_UD)
            return;
        if ((insn.flags & TP_INSN_STACK_CHANGES) && !(insn.flags & TP_INSN_STACK_KNOWN))
            return;
        if (insn.kind == TP_INSN_CALL_RELATIVE || insn.kind == TP_INSN_CALL_INDIRECT)
            note_depth(work, at + insn.length - 1, form, bytes);
        bytes -= insn.stack;
    }
    note_depth(work, length, form, bytes);
}

void check_union(const struct image *image, const struct site_forms *site, uint8_t call_scheme) {
    struct site_depths work = {.image = image, .site = site, .call_scheme = call_scheme};
    if (tp_site_kind(site->site) == TP_KIND_LOCK_PREFIX)
        return;
    for (uint32_t i = 0; i < site->count; i++)
        follow_form(&work, &site->forms[i]);
}
