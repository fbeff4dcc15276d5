/* SPDX-License-Identifier: MIT */
/*
 * The kinds' renderers, for render.c, and the pieces that they share.
 */
#ifndef TP_RENDER_KINDS_H
#define TP_RENDER_KINDS_H

#include "../render/render.h"
#include "../site/site.h"

void tp_render_op(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                  struct tp_template *out);
void tp_render_static_call(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                           struct tp_template *out);
void tp_render_trampoline(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                          struct tp_template *out);
void tp_render_static_key(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                          struct tp_template *out);
void tp_render_lock_prefix(enum tp_view view, struct tp_template *out);

/* The value of a key in a view; not for TP_VIEW_PRISTINE. */
static inline uint64_t tp_key_value(const struct tp_key *key, enum tp_view view) {
    return view == TP_VIEW_APPLIED ? key->applied : key->wanted;
}

/* Whether a call is as it was linked, in the view or in all of them. */
static inline bool tp_shows_pristine(const struct tp_site *site, enum tp_view view) {
    return view == TP_VIEW_PRISTINE || (site->detail & TP_DETAIL_STAYS);
}

/* The longest NOP that the CPUs of this machine decode in one go. */
unsigned tp_nop_longest(enum tp_view view);

/* Pieces, lib/render/pieces.c. `branch` is TP_BRANCH_CALL or TP_BRANCH_JMP; out->length is set. */
void tp_put_direct(struct tp_template *out, unsigned branch, uintptr_t target);
void tp_put_indirect(struct tp_template *out, unsigned branch, uintptr_t cell);
void tp_put_nops(struct tp_template *out, enum tp_view view);
void tp_put_return(struct tp_template *out);
void tp_put_trap(struct tp_template *out);
/* The inline form of `function`, if it has one that fits into out->length and suits the branch. */
bool tp_put_inline(struct tp_template *out, unsigned branch, uintptr_t function, enum tp_view view);

#endif
