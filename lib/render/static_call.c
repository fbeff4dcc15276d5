/* SPDX-License-Identifier: MIT */
#include <textpatch/inline.h>

#include "../render/kinds.h"
#include "../site/site.h"

static bool is_none(uint64_t target) {
    return target == 0 || target == (uintptr_t)tp_nop_function;
}

/*
 * pristine           ff 25 xx xx xx xx   jmp *cell(%rip)
 * no target          c3 cc cc cc cc cc   ret
 * else               2e e9 xx xx xx xx   cs jmp target
 */
void tp_render_trampoline(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                          struct tp_template *out) {
    uint64_t target = view == TP_VIEW_PRISTINE ? 0 : tp_key_value(key, view);
    if (view == TP_VIEW_PRISTINE)
        tp_put_indirect(out, TP_BRANCH_JMP, tp_site_cell(site));
    else if (is_none(target))
        tp_put_return(out);
    else
        tp_put_direct(out, TP_BRANCH_JMP, target);
}

/* jcc target   0f 8x xx xx xx xx: never padded, as 2e hints at a direction there */
static void put_jcc(struct tp_template *out, unsigned condition, uintptr_t target) {
    tp_put_direct(out, TP_BRANCH_JMP, target);
    out->bytes[0] = 0x0f;
    out->bytes[1] = (uint8_t)(0x80 | condition);
}

/*
 * A call site         call                 jmp (a tail call)    jcc
 * pristine            e8 trampoline        e9 trampoline        0f 8x trampoline
 * no target           0f 1f 44 00 00 nop   c3 cc cc cc cc ret   0f 8x tp_nop_function
 * inline form         its instructions     -                    -
 * else                e8 target            e9 target            0f 8x target
 */
void tp_render_static_call(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                           struct tp_template *out) {
    unsigned branch = tp_site_branch(site);
    bool pristine = tp_shows_pristine(site, view);
    uint64_t target = pristine ? tp_relative(&site->form) : tp_key_value(key, view);
    bool none = !pristine && is_none(target);
    if (branch >= TP_BRANCH_JCC)
        put_jcc(out, branch & 0xf, none ? (uintptr_t)tp_nop_function : target);
    else if (none && branch == TP_BRANCH_CALL)
        tp_put_nops(out, view);
    else if (none)
        tp_put_return(out);
    else if (pristine || !tp_put_inline(out, branch, target, view))
        tp_put_direct(out, branch, target);
    if (pristine)
        out->form = TP_FORM_ORIGINAL;
}
