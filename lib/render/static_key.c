/* SPDX-License-Identifier: MIT */
#include "../insn/encode.h"
#include "../render/kinds.h"
#include "../site/site.h"

static bool jumps(const struct tp_site *site, const struct tp_key *key, enum tp_view view) {
    if (view == TP_VIEW_PRISTINE)
        return site->detail & TP_KEY_STARTS_AS_JUMP;
    bool enabled = (int64_t)tp_key_value(key, view) > 0;
    return enabled == !!(site->detail & TP_KEY_JUMPS_IF_ENABLED);
}

static void put_short_jump(struct tp_template *out, const struct tp_site *site) {
    out->bytes[0] = 0xeb;
    out->field = 1;
    out->bias = tp_relative(&site->form) - TP_JMP8_LENGTH;
    out->relative = out->is_short = true;
}

/*
 * as a NOP    0f 1f 44 00 00   nopl 0(%rax,%rax)      66 90   xchg %ax,%ax
 * as a jump   e9 xx xx xx xx   jmp target             eb xx   jmp target
 */
void tp_render_static_key(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                          struct tp_template *out) {
    if (!jumps(site, key, view)) {
        tp_put_nops(out, view);
    } else {
        if (site->length == TP_JMP8_LENGTH)
            put_short_jump(out, site);
        else
            tp_put_direct(out, TP_BRANCH_JMP, tp_relative(&site->form));
        out->form = TP_FORM_JUMP;
    }
}

/*
 * pristine, several CPUs   f0   lock
 * one CPU                  3e   ds
 */
void tp_render_lock_prefix(enum tp_view view, struct tp_template *out) {
    bool alone = view != TP_VIEW_PRISTINE && tp_state_has(tp_state_of(view), TP_FEATURE_ONE_CPU);
    out->bytes[0] = alone ? 0x3e : 0xf0;
    out->form = alone ? TP_FORM_PREFIX : TP_FORM_ORIGINAL;
}
