/* SPDX-License-Identifier: MIT */
/*
 * (site, state) -> bytes. Reads records and state, never text; writes nothing but its result.
 *
 * Calls
 *   tp_render           a whole place: the outermost site with all that lies in it
 *   tp_render_template  one site of a kind that has a key, or a lock prefix; shared by sites of one key and shape
 * One file per kind does the work: op.c, static_call.c, static_key.c, alternative.c.
 */
#ifndef TP_RENDER_RENDER_H
#define TP_RENDER_RENDER_H

#include "../insn/template.h"
#include "../site/registry.h"

/*
 * bytes: room for the site's length. *form: enum tp_form_kind of what was chosen.
 * TP_OK, TP_ERR_OUT_OF_REACH, or TP_ERR_BAD_INSN where an operand can't be moved; reported.
 */
TP_MUST_CHECK enum tp_status tp_render(const struct tp_image *image, uint32_t place, enum tp_view view,
                                       uint8_t *bytes, uint8_t *form);

/* key: the site's, NULL for a lock prefix. Always possible; reach is for tp_template_reaches() to tell. */
void tp_render_template(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                        struct tp_template *out);

/* TP_ERR_OUT_OF_REACH, reported, for a template that does not reach from an address. */
TP_MUST_CHECK enum tp_status tp_check_reach(const struct tp_template *form, const struct tp_site *site,
                                            uintptr_t address);

#endif
