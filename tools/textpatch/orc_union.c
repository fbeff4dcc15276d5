/* SPDX-License-Identifier: MIT */
/*
 * Every form that a site may hold, at once.
 *
 * How it works
 *   The state in front of the site is known; each form is followed from there. A byte at which an instruction of any form
 *   begins gets the state in front of that instruction, whatever the site holds as linked; so does the last byte of a
 *   call, which is what a walk looks up while the call is under way. So the table is right for all forms, and is never
 *   changed. So does byte 1 of a form with a prefix, where the kernel's scheme is to step over an int3 in the prefix's
 *   place: a CPU may stand there, and be interrupted for long. It is possible where all that have something to say of one byte agree there: else two forms are told, and
 *   the build ends. Moving a boundary mends that: a prefix in front of a one-byte instruction.
 *   All ways through a form are followed, by its own jumps too; one that leaves the site must have the stack that the code
 *   there has.
 *   Behind the last form's end all forms have the stack as it was.
 */
#include <textpatch/live.h>

#include "flow_form.h"
#include "report.h"

struct boundary {
    const struct form *form; /* the first one that has it; NULL: none */
    struct orc_state state;
};

struct site_union {
    struct orc_text *text;
    uint8_t call_scheme;
    const struct site_forms *site;
    struct boundary boundaries[TP_SITE_LENGTH_MAX + 1];
};

static const char *show_form(const struct site_union *work, const struct form *form) {
    return format_text("%s: %s (%s)", form->name, form_instructions(work->text->kernel, work->site, form),
                       form_bytes(work->site, form));
}

static void complain_of(const struct site_union *work, unsigned offset, const struct form *form,
                        const struct orc_state *state) {
    const struct boundary *known = &work->boundaries[offset];
    complain("%s: two %s of this site disagree at byte %u, where the caller must be found in both:\n"
             "  %s\n    there: %s\n  %s\n    there: %s\n"
             "  %sA prefix in front of an instruction before that byte would part them.",
             describe_address(work->text->kernel, work->site->address), known->form == form ? "ways through a form" : "forms",
             offset, show_form(work, known->form),
             describe_state(&known->state), show_form(work, form), describe_state(state),
             work->call_scheme == TP_SCHEME_PREFIX && offset == 1 ? "TP_SCHEME_PREFIX goes on behind the first prefix of a call. "
                                                                  : "");
}

static void note_boundary(struct site_union *work, unsigned offset, const struct form *form,
                          const struct orc_state *state) {
    struct boundary *known = &work->boundaries[offset];
    struct orc_state plain = plain_state(state);
    if (!known->form)
        *known = (struct boundary){form, plain};
    else if (!same_state(&known->state, &plain))
        complain_of(work, offset, form, &plain);
}

static void complain_of_end(const struct site_union *work, const struct form *form, const struct orc_state *state) {
    complain("%s: this form leaves another stack than it found:\n  %s\n    behind it: %s\n    in front: %s",
             describe_address(work->text->kernel, work->site->address), show_form(work, form), describe_state(state),
             describe_state(&work->boundaries[0].state));
}

/* The original may change the stack (an alternative around a push): then all forms have to. */
static void note_stand(void *argument, const struct form *form, unsigned offset, const struct orc_state *state) {
    struct site_union *work = argument;
    struct boundary *end = &work->boundaries[work->site->length];
    struct orc_state plain = plain_state(state);
    if (offset < work->site->length)
        note_boundary(work, offset, form, state);
    else if (!end->form)
        *end = (struct boundary){form, plain};
    else if (!same_state(&end->state, &plain))
        complain_of_end(work, form, &plain);
}

static bool is_at_rsp(const struct orc_state *state) {
    return (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP && (state->type & TP_ORC_TYPE) >= TP_ORC_CALL;
}

/* Code that .eh_frame speaks of isn't followed (flow.c does that with assembler): so it is asked whether it agrees. */
static void note_leave(void *argument, const struct form *form, uint64_t target, const struct orc_state *state) {
    const struct site_union *work = argument;
    const struct orc_text *text = work->text;
    /* A direct jump of an op or a static call goes to any function. */
    if (form->kind == TP_FORM_DIRECT || !lies_in_text(text, target) || !has_mark(text, target, MARK_FRAME))
        return;
    struct orc_state there = state_at(text, target);
    if (is_at_rsp(state) && is_at_rsp(&there) && (state->type != there.type || state->sp_offset != there.sp_offset))
        complain("%s: this form leaves for %s with another stack than that has:\n  %s\n    here: %s\n    there: %s",
                 describe_address(text->kernel, work->site->address), describe_address(text->kernel, target),
                 show_form(work, form), describe_state(state), describe_state(&there));
}

static void unite_form(struct site_union *work, const struct form *form, const struct orc_state *state) {
    const struct form_listener listener = {.argument = work, .stand = note_stand, .leave = note_leave};
    if (is_stepped_into(work->site, form, work->call_scheme))
        note_boundary(work, 1, form, state);
    follow_form(work->site, form, state, &listener);
}

static void set_boundaries(struct site_union *work) {
    struct orc_state state = work->boundaries[0].state;
    for (unsigned offset = 0; offset < work->site->length; offset++) {
        if (work->boundaries[offset].form)
            state = work->boundaries[offset].state;
        set_states(work->text, work->site->address + offset, 1, &state);
    }
}

static void unite_site(struct orc_text *text, const struct site_forms *site, uint8_t call_scheme) {
    struct site_union work = {.text = text, .call_scheme = call_scheme, .site = site};
    struct orc_state state = state_at(text, site->address);
    if (state.type == TP_ORC_UNDEFINED)
        return; /* nothing is known of the code, and nothing is to be united */
    for (uint32_t i = 0; i < site->count; i++)
        unite_form(&work, &site->forms[i], &state);
    set_boundaries(&work);
}

void unite_forms(struct orc_text *text, uint8_t call_scheme) {
    for (uint32_t i = 0; i < text->site_count; i++)
        unite_site(text, &text->sites[i], call_scheme);
}
