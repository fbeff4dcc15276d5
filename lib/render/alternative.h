/* SPDX-License-Identifier: MIT */
/*
 * Alternatives: which form, and its bytes. render.c adds the sites that lie in it.
 */
#ifndef TP_RENDER_ALTERNATIVE_H
#define TP_RENDER_ALTERNATIVE_H

#include "../render/render.h"

/* Whether this record's replacement is eligible; never in TP_VIEW_PRISTINE. */
bool tp_alternative_is_chosen(const struct tp_site *site, enum tp_view view);

/*
 * A form of the site at `address`: copied, moved, padded to the site's length. As tp_render().
 *   holds_sites: other sites lie in the form, which must then stand at the site's start.
 */
TP_MUST_CHECK enum tp_status tp_render_form(const struct tp_site *site, const struct tp_form *form,
                                            bool holds_sites, enum tp_view view, uintptr_t address,
                                            uint8_t *bytes);

#endif
