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
#include "flow_form.h"
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

/* A frame so far up that no form pops as much. */
static const struct orc_state in_front = {.sp_offset = 1 << 16, .registers = TP_ORC_BASE_SP, .type = TP_ORC_CALL};

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
        complain("%s at %s: two %s disagree %s: in %s the stack has grown by %ld bytes, in %s by %ld",
                 tp_kind_text(tp_site_kind(work->site->site)), describe_address(work->image->kernel, work->site->address),
                 known->form == form ? "ways through one form" : "forms", name_place(work, offset),
                 show(work, known->form), (long)known->bytes, show(work, form), (long)bytes);
}

/* Where the form has done to the stack what can't be told, there is nothing to compare. */
static void note_stand(void *argument, const struct form *form, unsigned offset, const struct orc_state *state) {
    if (state->type == in_front.type && (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP)
        note_depth(argument, offset, form, state->sp_offset - in_front.sp_offset);
}

void check_union(const struct image *image, const struct site_forms *site, uint8_t call_scheme) {
    struct site_depths work = {.image = image, .site = site, .call_scheme = call_scheme};
    const struct form_listener listener = {.argument = &work, .stand = note_stand};
    if (tp_site_kind(site->site) == TP_KIND_LOCK_PREFIX)
        return;
    for (uint32_t i = 0; i < site->count; i++) {
        if (is_stepped_into(site, &site->forms[i], call_scheme))
            note_depth(&work, 1, &site->forms[i], 0);
        follow_form(site, &site->forms[i], &in_front, &listener);
    }
}
