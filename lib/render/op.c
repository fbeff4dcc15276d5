/* SPDX-License-Identifier: MIT */
#include "../render/kinds.h"
#include "../site/site.h"

/*
 * pristine           ff 15 xx xx xx xx   call *slot(%rip)
 * NULL               0f 0b cc cc cc cc   ud2
 * inline form        9c 58 0f 1f 40 00   pushf; pop %rax; nopl 0(%rax)
 * else               2e e8 xx xx xx xx   cs call function
 */
void tp_render_op(const struct tp_site *site, const struct tp_key *key, enum tp_view view,
                  struct tp_template *out) {
    unsigned branch = tp_site_branch(site);
    bool pristine = tp_shows_pristine(site, view);
    uintptr_t function = pristine ? 0 : tp_key_value(key, view);
    if (pristine)
        tp_put_indirect(out, branch, tp_site_cell(site));
    else if (function == 0)
        tp_put_trap(out);
    else if (!tp_put_inline(out, branch, function, view))
        tp_put_direct(out, branch, function);
}
