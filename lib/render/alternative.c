/* SPDX-License-Identifier: MIT */
#include "../render/alternative.h"

#include "../insn/decode.h"
#include "../insn/encode.h"
#include "../insn/relocate.h"
#include "../render/kinds.h"
#include "../report.h"
#include "../site/site.h"

bool tp_alternative_is_chosen(const struct tp_site *site, enum tp_view view) {
    if (view == TP_VIEW_PRISTINE)
        return false;
    bool set = tp_state_has(tp_state_of(view), site->detail & TP_DETAIL_FEATURE);
    return set != !!(site->detail & TP_DETAIL_NOT);
}

TP_COLD static enum tp_status refuse_move(const struct tp_site *site, enum tp_status status,
                                          uintptr_t address, const struct tp_relocate_culprit *culprit) {
    return tp_fail(&(struct tp_error){.status = status,
                                      .site = address,
                                      .length = site->length,
                                      .value = address + culprit->offset,
                                      .distance = culprit->distance});
}

/* The pristine form is padded as the assembler did it; all others with the longest NOPs. */
static void pad(uint8_t *bytes, unsigned length, enum tp_view view) {
    if (view != TP_VIEW_PRISTINE) {
        tp_fill_nops(bytes, length, tp_nop_longest(view));
        return;
    }
    for (unsigned i = 0; i < length; i++)
        bytes[i] = 0x90;
}

/*
 * call f in 8 bytes             2e 2e 2e e8 xx xx xx xx   cs call f
 * nop; call f in 8 bytes        66 90 90 e8 xx xx xx xx   xchg %ax,%ax; nop; call f
 * A call returns to the site's end, whatever the site will hold by then, so padding goes in front of it.
 * Returns how many bytes stand there.
 */
static unsigned pad_in_front(const struct tp_site *site, const struct tp_form *form, enum tp_view view,
                             uint8_t *bytes) {
    struct tp_insn last;
    unsigned gap = site->length - (unsigned)form->length;
    if (view == TP_VIEW_PRISTINE || !tp_insn_ends_in_call(form->bytes, form->length, &last))
        return 0;
    bool alone = last.length == form->length;
    tp_fill_nops(bytes, gap, tp_nop_longest(view));
    for (unsigned i = 0; i < gap && alone && tp_insn_may_be_padded(&last, gap); i++)
        bytes[i] = TP_PREFIX_PAD;
    return gap;
}

/*
 * call f at the replacement   e8 (f - here)        the same bytes mean another target where they are to run,
 * call f at the site          e8 (f - there)       so operands that point out of the form are adjusted
 */
enum tp_status tp_render_form(const struct tp_site *site, const struct tp_form *form, bool holds_sites,
                              enum tp_view view, uintptr_t address, uint8_t *bytes) {
    unsigned start = holds_sites ? 0 : pad_in_front(site, form, view, bytes), end = start + form->length;
    for (unsigned i = 0; i < form->length; i++)
        bytes[start + i] = form->bytes[i];
    pad(bytes + end, site->length - end, view);
    if (site->detail & TP_DETAIL_PLAIN)
        return TP_OK;
    struct tp_relocate_culprit culprit = {0, 0};
    enum tp_status status =
        tp_relocate(bytes + start, form->length, (uintptr_t)form->bytes, address + start, &culprit);
    return status == TP_OK ? TP_OK : refuse_move(site, status, address, &culprit);
}
