/* SPDX-License-Identifier: MIT */
/*
 * Forms against each other: where two forms of a site have an instruction begin at one byte, the stack must be as deep in
 * both, or no unwind table can be right for both at once. The last byte of a call counts as such a byte: a walk looks it
 * up while the call is under way. Depths count from the site's start, so that this is asked of kernels without any
 * description of their frames too; `orc` asks for all that a table says.
 */
#include "check.h"

#include "../../lib/site/site.h"
#include "disassemble.h"
#include "forms.h"
#include "report.h"

struct depth {
    const struct form *form; /* the first that has the boundary; NULL: none */
    int64_t bytes;
};

static const char *show(const struct image *image, const struct site_forms *site, const struct form *form) {
    return format_text("\"%s\" (%s: %s)", form->name, show_bytes(form->bytes, site->length),
                       disassemble(image->kernel, form->bytes, site->length, site->address));
}

static void note_depth(const struct image *image, const struct site_forms *site, struct depth *depths, unsigned offset,
                       const struct form *form, int64_t bytes) {
    struct depth *known = &depths[offset];
    if (!known->form)
        *known = (struct depth){form, bytes};
    else if (known->bytes != bytes)
        complain("%s at %s: two forms disagree %s: in %s the stack has grown by %ld bytes, in %s by %ld",
                 tp_kind_text(tp_site_kind(site->site)), describe_address(image->kernel, site->address),
                 offset == site->length ? "behind the site" : format_text("at byte %u", offset),
                 show(image, site, known->form), (long)known->bytes, show(image, site, form), (long)bytes);
}

/* Up to where it leaves, or does to the stack what can't be told. */
static void follow_form(const struct image *image, const struct site_forms *site, struct depth *depths,
                        const struct form *form) {
    int64_t bytes = 0;
    struct tp_insn insn;
    for (unsigned at = 0; at < site->length; at += insn.length) {
        note_depth(image, site, depths, at, form, bytes);
        if (tp_insn_decode(form->bytes + at, form->bytes + site->length, &insn) != TP_OK ||
            (insn.flags & TP_INSN_ENDS_FLOW) || insn.kind == TP_INSN_UD)
            return;
        if ((insn.flags & TP_INSN_STACK_CHANGES) && !(insn.flags & TP_INSN_STACK_KNOWN))
            return;
        if (insn.kind == TP_INSN_CALL_RELATIVE || insn.kind == TP_INSN_CALL_INDIRECT)
            note_depth(image, site, depths, at + insn.length - 1, form, bytes);
        bytes -= insn.stack;
    }
    note_depth(image, site, depths, site->length, form, bytes);
}

void check_union(const struct image *image, const struct site_forms *site) {
    struct depth depths[TP_SITE_LENGTH_MAX + 1] = {{NULL, 0}};
    if (tp_site_kind(site->site) == TP_KIND_LOCK_PREFIX)
        return;
    for (uint32_t i = 0; i < site->count; i++)
        follow_form(image, site, depths, &site->forms[i]);
}
