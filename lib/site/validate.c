/* SPDX-License-Identifier: MIT */
#include "../site/validate.h"

#include "../insn/decode.h"
#include "../insn/relocate.h"
#include "../report.h"
#include "../site/registry.h"
#include "../site/search.h"
#include "../site/site.h"

TP_COLD static enum tp_status refuse(const struct tp_image *image, const struct tp_site *site, enum tp_status status,
                             uint64_t value) {
    return tp_fail(&(struct tp_error){.status = status,
                                      .image = image->name,
                                      .site = tp_site_address(site),
                                      .length = site->length,
                                      .value = value});
}

TP_COLD static bool lies_in(const void *first, unsigned length, const uint8_t *start, const uint8_t *end) {
    uintptr_t address = (uintptr_t)first;
    return address >= (uintptr_t)start && address < (uintptr_t)end && length <= (uintptr_t)end - address;
}

/* Room for the form's length byte and for as many bytes as it says. */
TP_COLD static bool form_lies_in(const struct tp_form *form, const uint8_t *start, const uint8_t *end) {
    return lies_in(form, 1, start, end) && lies_in(form, 1u + form->length, start, end);
}

TP_COLD static bool place_is_known(const struct tp_image *image, const struct tp_site *site) {
    const void *first = (const void *)tp_site_address(site);
    return lies_in(first, site->length, (const uint8_t *)image->text_start, (const uint8_t *)image->text_end) ||
           lies_in(first, site->length, image->originals, image->originals_end) ||
           lies_in(first, site->length, image->replacements, image->replacements_end);
}

TP_COLD static enum tp_status validate_alternative(const struct tp_image *image, struct tp_site *site) {
    const struct tp_form *original = tp_site_original(site), *replacement = tp_site_replacement(site);
    unsigned feature = site->detail & ~(unsigned)TP_DETAIL_NOT;
    if (!tp_feature_exists(feature))
        return refuse(image, site, TP_ERR_UNKNOWN_FEATURE, feature);
    if (!form_lies_in(original, image->originals, image->originals_end))
        return refuse(image, site, TP_ERR_FORM_OUTSIDE_IMAGE, (uintptr_t)original);
    if (!form_lies_in(replacement, image->replacements, image->replacements_end))
        return refuse(image, site, TP_ERR_FORM_OUTSIDE_IMAGE, (uintptr_t)replacement);
    if (original->length > site->length)
        return refuse(image, site, TP_ERR_SITE_LENGTH, original->length);
    if (replacement->length > site->length)
        return refuse(image, site, TP_ERR_REPLACEMENT_TOO_LONG, replacement->length);
    bool moves_original, moves_replacement;
    enum tp_status status = tp_needs_relocation(original->bytes, original->length, &moves_original);
    if (status != TP_OK)
        return refuse(image, site, status, (uintptr_t)original);
    status = tp_needs_relocation(replacement->bytes, replacement->length, &moves_replacement);
    if (status != TP_OK)
        return refuse(image, site, status, (uintptr_t)replacement);
    struct tp_insn last;
    bool calls = tp_insn_ends_in_call(original->bytes, original->length, &last) ||
                 tp_insn_ends_in_call(replacement->bytes, replacement->length, &last);
    if (!moves_original && !moves_replacement && !calls)
        site->detail |= TP_DETAIL_PLAIN;
    return TP_OK;
}

/* Keys of the image that is being added count as well as those of the images in use. */
TP_COLD static enum tp_status validate_key(const struct tp_image *image, const struct tp_site *site, unsigned kind) {
    const struct tp_key *key = tp_search_keys(image, tp_site_cell(site));
    if (!key)
        key = tp_site_key(site);
    if (!key || key->kind != kind)
        return refuse(image, site, TP_ERR_UNKNOWN_KEY, tp_site_cell(site));
    return TP_OK;
}

/* What `detail` may say, by kind; an alternative's is a feature. */
TP_COLD static bool detail_is_known(const struct tp_site *site) {
    unsigned detail = site->detail;
    switch (tp_site_kind(site)) {
    case TP_KIND_OP:
        return detail == TP_BRANCH_CALL || detail == TP_BRANCH_JMP;
    case TP_KIND_STATIC_CALL:
        return detail <= TP_BRANCH_JMP || (detail & ~15u) == TP_BRANCH_JCC;
    case TP_KIND_TRAMPOLINE:
        return detail == TP_BRANCH_JMP;
    case TP_KIND_STATIC_KEY:
        return detail <= (TP_KEY_STARTS_AS_JUMP | TP_KEY_JUMPS_IF_ENABLED);
    case TP_KIND_LOCK_PREFIX:
        return detail == 0;
    default:
        return true;
    }
}

TP_COLD static bool branch_fits(const struct tp_site *site, unsigned least_length) {
    return site->length >= least_length && site->length <= TP_OP_LENGTH_MAX;
}

TP_COLD static bool static_call_fits(const struct tp_site *site) {
    return site->detail >= TP_BRANCH_JCC ? site->length == 6 : branch_fits(site, 5);
}

TP_COLD static enum tp_status validate_branch_key(const struct tp_image *image, const struct tp_site *site) {
    const void *target = (const void *)tp_relative(&site->form);
    if (site->length != 2 && site->length != 5)
        return refuse(image, site, TP_ERR_SITE_LENGTH, 0);
    if (!lies_in(target, 1, (const uint8_t *)image->text_start, (const uint8_t *)image->text_end))
        return refuse(image, site, TP_ERR_FORM_OUTSIDE_IMAGE, (uintptr_t)target);
    return validate_key(image, site, TP_KEY_KIND_STATIC_KEY);
}

TP_COLD static enum tp_status validate_site(const struct tp_image *image, struct tp_site *site) {
    if (tp_site_version(site) != TP_RECORD_VERSION)
        return refuse(image, site, TP_ERR_RECORD_VERSION, tp_site_version(site));
    if (!(site->kind & TP_KIND_TAKEN) && (site->detail & TP_DETAIL_LIBRARY))
        return refuse(image, site, TP_ERR_UNKNOWN_FEATURE, site->detail);
    site->kind |= TP_KIND_TAKEN;
    site->detail &= (uint16_t)~TP_DETAIL_LIBRARY;
    if (site->length == 0)
        return refuse(image, site, TP_ERR_SITE_LENGTH, 0);
    if (!place_is_known(image, site))
        return refuse(image, site, TP_ERR_SITE_OUTSIDE_IMAGE, 0);
    if (!detail_is_known(site))
        return refuse(image, site, TP_ERR_UNKNOWN_KIND, site->detail);
    switch (tp_site_kind(site)) {
    case TP_KIND_ALTERNATIVE:
        return validate_alternative(image, site);
    case TP_KIND_OP:
        if (!branch_fits(site, 6))
            return refuse(image, site, TP_ERR_SITE_LENGTH, site->detail);
        return validate_key(image, site, TP_KEY_KIND_OP);
    case TP_KIND_STATIC_CALL:
        if (site->form == 0)
            return refuse(image, site, TP_ERR_FORM_OUTSIDE_IMAGE, 0);
        if (!static_call_fits(site))
            return refuse(image, site, TP_ERR_SITE_LENGTH, site->detail);
        return validate_key(image, site, TP_KEY_KIND_STATIC_CALL);
    case TP_KIND_TRAMPOLINE:
        if (!branch_fits(site, 6))
            return refuse(image, site, TP_ERR_SITE_LENGTH, site->detail);
        return validate_key(image, site, TP_KEY_KIND_STATIC_CALL);
    case TP_KIND_STATIC_KEY:
        return validate_branch_key(image, site);
    case TP_KIND_LOCK_PREFIX:
        return site->length == 1 ? TP_OK : refuse(image, site, TP_ERR_SITE_LENGTH, 0);
    }
    return refuse(image, site, TP_ERR_UNKNOWN_KIND, tp_site_kind(site));
}

/* By TP_SCHEME_STORE a call is changed by one store or never: what crosses an aligned quadword can't be. */
TP_COLD static bool stays_as_linked(const struct tp_site *site) {
    unsigned kind = tp_site_kind(site);
    return tp_registry.options.call_scheme == TP_SCHEME_STORE && (kind == TP_KIND_OP || kind == TP_KIND_STATIC_CALL) &&
           tp_site_address(site) % sizeof(tp_cell) + site->length > sizeof(tp_cell);
}

TP_COLD enum tp_status tp_validate_sites(struct tp_image *image) {
    for (uint32_t i = 0; i < image->site_count; i++) {
        enum tp_status status = validate_site(image, &image->sites[i]);
        if (status != TP_OK)
            return status;
        if (stays_as_linked(&image->sites[i]))
            image->sites[i].detail |= TP_DETAIL_STAYS;
    }
    return TP_OK;
}

TP_COLD static bool patchlet_lies_in(const struct tp_image *image, uintptr_t start, uintptr_t end) {
    return start >= (uintptr_t)image->replacements && end <= (uintptr_t)image->replacements_end;
}

/* Among the replacements of this image or of one in use, whose patchlets may serve a function of this one. */
TP_COLD static bool patchlet_is_known(const struct tp_image *image, uintptr_t start, uintptr_t end) {
    for (const struct tp_image *other = tp_registry.images; other; other = other->next)
        if (patchlet_lies_in(other, start, end))
            return true;
    return patchlet_lies_in(image, start, end);
}

TP_COLD static bool inline_is_sound(const struct tp_image *image, const struct tp_inline *form) {
    uintptr_t start = tp_relative(&form->start), end = tp_relative(&form->end);
    if (end < start || end - start > TP_OP_LENGTH_MAX || !patchlet_is_known(image, start, end))
        return false;
    unsigned relative_operands = 0;
    for (const uint8_t *at = (const uint8_t *)start; at < (const uint8_t *)end;) {
        struct tp_insn insn;
        if (tp_insn_decode(at, (const uint8_t *)end, &insn) != TP_OK)
            return false;
        if (insn.operand_size && (insn.operand_size != 4 || ++relative_operands > 1))
            return false;
        if (insn.flags & TP_INSN_VENDOR_DEPENDENT)
            return false;
        /* A branch within the patchlet would lead from the site to the patchlet. */
        uintptr_t target = tp_insn_target(&insn, at, (uintptr_t)at);
        if (insn.operand_size && !(insn.flags & TP_INSN_RIP_RELATIVE) && target >= start && target <= end)
            return false;
        at += insn.length;
    }
    return true;
}

TP_COLD enum tp_status tp_validate_inlines(const struct tp_image *image) {
    for (uint32_t i = 0; i < image->inline_count; i++)
        if (!inline_is_sound(image, &image->inlines[i]))
            return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_INLINE,
                                              .image = image->name,
                                              .value = tp_relative(&image->inlines[i].function)});
    return TP_OK;
}
