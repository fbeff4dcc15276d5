/* SPDX-License-Identifier: MIT */
/*
 * Forms as text. Where a call or jump of any function is shown with a stand-in, neither that nor its distance is printed.
 */
#include <string.h>

#include "disassemble.h"
#include "forms.h"
#include "report.h"

/* Where the distance is in an instruction that leads to the stand-in; false: it doesn't. */
static bool find_unknown(const struct site_forms *site, const struct form *form, unsigned at, struct tp_insn *insn) {
    const uint8_t *bytes = form->bytes + at;
    if (!form->has_stand_in || tp_insn_decode(bytes, form->bytes + site->length, insn) != TP_OK)
        return false;
    bool branches = insn->kind == TP_INSN_CALL_RELATIVE || insn->kind == TP_INSN_JMP_RELATIVE ||
                    insn->kind == TP_INSN_JCC_RELATIVE;
    return branches && tp_insn_target(insn, bytes, site->address + at) == form->target;
}

const char *form_instruction(const struct kernel *kernel, const struct site_forms *site, const struct form *form,
                             unsigned at, unsigned *used) {
    const char *text = disassemble_one(kernel, form->bytes + at, site->length - at, site->address + at, used);
    struct tp_insn insn;
    if (!find_unknown(site, form, at, &insn))
        return text;
    return format_text("%.*s (target not known)", (int)strcspn(text, " "), text);
}

const char *form_instructions(const struct kernel *kernel, const struct site_forms *site, const struct form *form) {
    const char *text = "";
    unsigned used, traps = 0;
    for (unsigned at = 0; at < site->length; at += used) {
        const char *insn = form_instruction(kernel, site, form, at, &used);
        traps = form->bytes[at] == 0xcc ? traps + 1 : 0;
        if (traps < 2) /* a run of int3 is one */
            text = format_text("%s%s%s", text, at ? "; " : "", insn);
    }
    return text;
}

const char *form_bytes(const struct site_forms *site, const struct form *form) {
    char *text = grow(show_bytes(form->bytes, site->length), 3 * site->length, 3 * site->length, 1);
    struct tp_insn insn;
    unsigned used;
    for (unsigned at = 0; at < site->length; at += used) {
        used = measure_instruction(form->bytes + at, site->length - at);
        used = used ? used : 1;
        for (unsigned i = 0; find_unknown(site, form, at, &insn) && i < insn.operand_size; i++)
            memset(text + 3 * (at + insn.operand_offset + i), '?', 2);
    }
    return text;
}
