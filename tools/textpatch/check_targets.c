/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../lib/site/site.h"
#include "check_map.h"
#include "forms.h"
#include "report.h"

static bool is_branch(const struct tp_insn *insn) {
    switch (insn->kind) {
    case TP_INSN_CALL_RELATIVE:
    case TP_INSN_JMP_RELATIVE:
    case TP_INSN_JCC_RELATIVE:
    case TP_INSN_LOOP:
    case TP_INSN_XBEGIN:
        return true;
    default:
        return false;
    }
}

static bool is_text(const struct image *image, uint64_t address) {
    const struct kernel_section *section = section_at(image->kernel, address);
    return section && is_executable(section);
}

/* What is wrong with it; NULL if nothing is. */
static const char *find_fault(const struct text_map *map, const struct site_forms *site, const struct form *form,
                              uint64_t target) {
    const struct image *image = map->image;
    if (target - site->address < site->length)
        return is_boundary(form, (unsigned)(target - site->address)) ? NULL : "inside an instruction of its own";
    if (!is_text(image, target))
        return "where no text is";
    if (is_code(map, target) && !begins_instruction(map, target))
        return "inside an instruction";
    if (lies_in_image_text(image, target, 1) && function_at(image->kernel, target) && !is_code(map, target))
        return "where no code is";
    return NULL;
}

static void check_target(const struct text_map *map, const struct site_forms *site, const struct form *form,
                         unsigned offset, uint64_t target) {
    const struct kernel *kernel = map->image->kernel;
    const char *fault = find_fault(map, site, form, target);
    if (fault)
        complain("%s at %s: the form \"%s\" leads to %s, %s", tp_kind_text(tp_site_kind(site->site)),
                 describe_address(kernel, site->address), form->name, describe_address(kernel, target), fault);
    else
        check_branch(map->image, &(struct branch){site->address + offset, target});
}

static void check_form(const struct text_map *map, const struct site_forms *site, const struct form *form) {
    struct tp_insn insn;
    for (unsigned at = 0; at < site->length; at += insn.length) {
        const uint8_t *bytes = form->bytes + at;
        if (tp_insn_decode(bytes, form->bytes + site->length, &insn) != TP_OK)
            return; /* check_forms.c has said so */
        uint64_t target = tp_insn_target(&insn, bytes, site->address + at);
        if (is_branch(&insn) && !(form->has_stand_in && target == form->target))
            check_target(map, site, form, at, target);
    }
}

/* A lock prefix has no form of its own to lead anywhere. */
void check_targets(const struct text_map *map, const struct site_forms *site) {
    for (uint32_t i = 0; i < site->count; i++)
        if (site->forms[i].whole)
            check_form(map, site, &site->forms[i]);
}
