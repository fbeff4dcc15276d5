/* SPDX-License-Identifier: MIT */
/*
 * Proof that the text matches the state, and the plan of what would change.
 */
#include <textpatch/engine.h>

#include "../api/pass.h"
#include "../commit/transition.h"
#include "../insn/bytes.h"
#include "../render/render.h"
#include "../report.h"
#include "../site/site.h"

struct audit {
    void (*visit)(const struct tp_difference *, void *);
    void *argument;
    struct tp_error first; /* .status is TP_OK while nothing was found */
};

TP_COLD static void keep_first(struct audit *audit, const struct tp_difference *difference) {
    struct tp_error *error = &audit->first;
    if (error->status != TP_OK)
        return;
    *error = (struct tp_error){.status = TP_ERR_TEXT_DIFFERS,
                               .image = difference->site.image->name,
                               .key = difference->site.key,
                               .site = difference->site.address,
                               .length = difference->site.length};
    tp_show_bytes(error, difference->found, difference->expected);
}

static enum tp_status audit_place(struct audit *audit, const struct tp_image *image, uint32_t place) {
    uint8_t expected[TP_SITE_LENGTH_MAX], form;
    struct tp_difference difference = {.found = (const uint8_t *)tp_site_address(&image->sites[place]),
                                       .expected = expected};
    enum tp_status status = tp_render(image, place, tp_shown_view_of(image), expected, &form);
    if (status != TP_OK || !tp_bytes_differ(difference.found, expected, image->sites[place].length))
        return status;
    tp_fill_info(image, place, &difference.site);
    keep_first(audit, &difference);
    if (audit->visit)
        audit->visit(&difference, audit->argument);
    return TP_OK;
}

static enum tp_status audit_all(struct audit *audit) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        for (uint32_t place = 0; place < image->place_count; place++) {
            if (image->sites[place].detail & TP_DETAIL_NESTED)
                continue;
            enum tp_status status = audit_place(audit, image, place);
            if (status != TP_OK)
                return status;
        }
    }
    return audit->first.status == TP_OK ? TP_OK : tp_fail(&audit->first);
}

enum tp_status tp_audit(void (*visit)(const struct tp_difference *, void *), void *argument) {
    struct audit audit = {.visit = visit, .argument = argument};
    enum tp_status status = tp_enter_to_read();
    return status == TP_OK ? tp_finish_call(audit_all(&audit)) : status;
}

struct plan {
    bool (*visit)(const struct tp_edit_info *, void *);
    void *argument;
    bool ended;
};

static uint8_t class_of(const struct tp_edit *edit, uint8_t kind) {
    const struct tp_transition transition = {edit->old_bytes, edit->new_bytes, edit->length, kind};
    return tp_choose_class(&transition, edit->address);
}

static enum tp_status plan_edit(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                const struct tp_edit *edit, uint8_t new_form) {
    struct plan *plan = walk->argument;
    struct tp_edit_info info = {
        .new_form = new_form, .old_bytes = edit->old_bytes, .new_bytes = edit->new_bytes};
    enum tp_status status = plan->ended ? TP_OK : tp_check_edit(edit);
    if (status != TP_OK || plan->ended)
        return status;
    tp_fill_info(image, place, &info.site);
    info.class_chosen = class_of(edit, info.site.kind);
    info.assurance = (uint8_t)tp_assurance_of(info.class_chosen, info.site.kind);
    plan->ended = !plan->visit(&info, plan->argument);
    return TP_OK;
}

static enum tp_status plan_run(const struct tp_walk *walk, const struct tp_run *run) {
    uint8_t old_bytes[TP_WORD], new_bytes[TP_WORD];
    for (uint32_t i = 0; i < run->count; i++) {
        const struct tp_edit edit = tp_run_edit(run, i, old_bytes, new_bytes);
        enum tp_status status = plan_edit(walk, run->image, run->edits[i].place, &edit, run->edits[i].forms->new_kind);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

static enum tp_status plan_all(struct plan *plan) {
    const struct tp_walk walk = {.to = TP_VIEW_WANTED, .argument = plan, .edit = plan_edit, .run = plan_run};
    if (!tp_registry.images)
        return tp_fail_with(TP_ERR_EMPTY_TABLE);
    tp_latch_state();
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        enum tp_status status = tp_walk_image(&walk, image);
        if (status != TP_OK || plan->ended)
            return status;
    }
    return TP_OK;
}

enum tp_status tp_plan(bool (*visit)(const struct tp_edit_info *, void *), void *argument) {
    struct plan plan = {visit, argument, false};
    enum tp_status status = tp_enter_to_read();
    if (status != TP_OK)
        return status;
    return tp_finish_call(visit ? plan_all(&plan) : tp_fail_with(TP_ERR_BAD_ARGUMENT));
}
