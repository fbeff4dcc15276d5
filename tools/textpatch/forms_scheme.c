/* SPDX-License-Identifier: MIT */
/*
 * TP_SCHEME_PREFIX: where a CPU stands in a form at a byte at which none of its instructions begins.
 */
#include <string.h>

#include "../../lib/commit/transition.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "forms.h"

int read_scheme(const char *word) {
    static const char *const words[] = {
        [TP_SCHEME_EMULATE] = "emulate", [TP_SCHEME_PREFIX] = "prefix", [TP_SCHEME_STORE] = "store"};
    for (int scheme = 0; scheme < (int)(sizeof words / sizeof *words); scheme++)
        if (strcmp(word, words[scheme]) == 0)
            return scheme;
    return -1;
}

bool is_stepped_into(const struct site_forms *site, const struct form *form, uint8_t call_scheme) {
    const uint8_t kind = (uint8_t)tp_site_kind(site->site);
    const struct tp_transition other_target = {form->bytes, form->bytes, (uint8_t)site->length, kind};
    const struct tp_live_options before = tp_registry.options;
    if (call_scheme != TP_SCHEME_PREFIX || !tp_kind_calls(kind))
        return false;
    tp_registry.options = (struct tp_live_options){
        .least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_PRACTICE, .call_scheme = call_scheme};
    bool traps = tp_choose_class(&other_target, site->address) == TP_CLASS_TRAP;
    tp_registry.options = before;
    return traps;
}
