/* SPDX-License-Identifier: MIT */
/*
 * All ways through one form of a site: its own jumps are followed, whichever of its instructions they lead to.
 *
 * Edge cases
 *   - A place that two ways lead to with two states is told twice, and followed on with the first of them.
 *   - A call's last byte is told too: a walk looks it up while the call is under way.
 */
#ifndef TOOL_FLOW_FORM_H
#define TOOL_FLOW_FORM_H

#include "flow_state.h"

struct form_listener {
    void *argument;
    /* A CPU may stand at this byte with this state; offset == the site's length: behind it. */
    void (*stand)(void *argument, const struct form *form, unsigned offset, const struct orc_state *state);
    /* A branch out of the site; NULL: nobody wants to know. */
    void (*leave)(void *argument, const struct form *form, uint64_t target, const struct orc_state *state);
};

/* `state`: in front of the site */
void follow_form(const struct site_forms *site, const struct form *form, const struct orc_state *state,
                 const struct form_listener *listener);

#endif
