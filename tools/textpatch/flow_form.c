/* SPDX-License-Identifier: MIT */
#include "flow_form.h"

#include <string.h>

struct form_flow {
    const struct site_forms *site;
    const struct form *form;
    const struct form_listener *listener;
    bool reached[TP_SITE_LENGTH_MAX];
    struct orc_state states[TP_SITE_LENGTH_MAX]; /* where reached */
    unsigned work[TP_SITE_LENGTH_MAX], count;    /* each offset is in there once */
};

static void tell(const struct form_flow *flow, unsigned offset, const struct orc_state *state) {
    flow->listener->stand(flow->listener->argument, flow->form, offset, state);
}

static void reach(struct form_flow *flow, unsigned offset, const struct orc_state *state) {
    tell(flow, offset, state);
    if (offset == flow->site->length || flow->reached[offset])
        return;
    flow->reached[offset] = true;
    flow->states[offset] = *state;
    flow->work[flow->count++] = offset;
}

static void branch(struct form_flow *flow, uint64_t target, const struct orc_state *state) {
    const struct site_forms *site = flow->site;
    if (target - site->address <= site->length)
        reach(flow, (unsigned)(target - site->address), state);
    else if (flow->listener->leave)
        flow->listener->leave(flow->listener->argument, flow->form, target, state);
}

static void follow_one(struct form_flow *flow, unsigned offset) {
    const uint8_t *bytes = flow->form->bytes + offset;
    struct orc_state state = flow->states[offset];
    struct tp_insn insn;
    if (!decode_at(bytes, flow->site->length - offset, &insn))
        return;
    if (is_branch(&insn))
        branch(flow, tp_insn_target(&insn, bytes, flow->site->address + offset), &state);
    if (is_call(&insn))
        tell(flow, offset + insn.length - 1, &state);
    step_state(&state, &insn, bytes);
    if (!(insn.flags & TP_INSN_ENDS_FLOW) && insn.kind != TP_INSN_UD)
        reach(flow, offset + insn.length, &state);
}

void follow_form(const struct site_forms *site, const struct form *form, const struct orc_state *state,
                 const struct form_listener *listener) {
    struct form_flow flow;
    flow.site = site;
    flow.form = form;
    flow.listener = listener;
    flow.count = 0;
    memset(flow.reached, 0, site->length * sizeof flow.reached[0]);
    reach(&flow, 0, state);
    while (flow.count)
        follow_one(&flow, flow.work[--flow.count]);
}
