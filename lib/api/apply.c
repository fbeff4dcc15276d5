/* SPDX-License-Identifier: MIT */
/*
 * Make the text match the state: by the boot writer while one CPU runs, by the live one from then on.
 *
 *   1. enter     no other caller changes state or text until this one leaves
 *   2. latch     the state is read once; all walks see the same
 *   3. pass      boot_pass.c or live_pass.c: check, set cells, write
 *   4. leave     unless a CPU did not answer: then the pass waits for tp_batch_resume()
 */
#include <textpatch/live.h>

#include "../api/pass.h"
#include "../report.h"
#include "../site/site.h"

bool tp_any_applied(void) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next)
        if (image->applied)
            return true;
    return false;
}

static void write_cells(bool back) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        for (uint32_t i = 0; i < image->key_count; i++) {
            const struct tp_key *key = &image->keys[i];
            if (key->noted)
                tp_key_write(key, back ? key->applied : key->wanted);
        }
}

void tp_set_cells(void) {
    write_cells(false);
}

void tp_reset_cells(void) {
    write_cells(true);
}

void tp_note_shown(const struct tp_walk *walk) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next) {
        if (!tp_takes_part(walk, image))
            continue;
        image->applied = !walk->reverting;
        image->fresh = false;
    }
    if (!walk->reverting)
        tp_commit_state();
}

static enum tp_status run_pass(struct tp_walk *walk) {
    return tp_registry.others_run ? tp_live_pass(walk) : tp_boot_pass(walk);
}

enum tp_status tp_finish_call(enum tp_status status) {
    if (!tp_live_is_stuck())
        tp_leave();
    return status;
}

enum tp_status tp_apply(void) {
    struct tp_walk walk = {.to = TP_VIEW_WANTED};
    enum tp_status status = tp_enter(); /* 1 */
    if (status != TP_OK)
        return status;
    if (!tp_registry.images)
        return tp_finish_call(tp_fail_with(TP_ERR_EMPTY_TABLE));
    tp_latch_state(); /* 2 */
    return tp_finish_call(run_pass(&walk)); /* 3, 4 */
}

enum tp_status tp_revert(void) {
    struct tp_walk walk = {.to = TP_VIEW_PRISTINE, .reverting = true, .applied_only = true};
    enum tp_status status = tp_enter(); /* 1 */
    if (status != TP_OK)
        return status;
    if (!tp_any_applied())
        return tp_finish_call(tp_fail_with(TP_ERR_NOT_APPLIED));
    tp_latch_applied(); /* 2 */
    return tp_finish_call(run_pass(&walk)); /* 3, 4 */
}

enum tp_status tp_run_noted(bool features) {
    struct tp_walk walk = {.to = TP_VIEW_WANTED, .applied_only = true, .keyed = !features};
    if (tp_any_applied())
        return run_pass(&walk);
    tp_set_cells();
    return TP_OK;
}

/* Enters and finds the key; TP_OK: the caller must finish. */
static enum tp_status enter_for(void *cell, struct tp_key **key) {
    enum tp_status status = tp_enter();
    if (status != TP_OK)
        return status;
    *key = tp_find_key((uintptr_t)cell);
    if (!*key)
        return tp_finish_call(tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_KEY, .value = (uintptr_t)cell}));
    tp_latch_applied();
    return TP_OK;
}

enum tp_status tp_key_update(void *cell, uint64_t value) {
    struct tp_key *key;
    enum tp_status status = enter_for(cell, &key);
    if (status != TP_OK)
        return status;
    tp_note_value(key, value);
    return tp_finish_call(tp_run_noted(false));
}

enum tp_status tp_add_to_count(const struct tp_key *key, uint64_t count, int64_t change, uint64_t *sum) {
    int64_t result;
    if (key->kind != TP_KEY_KIND_STATIC_KEY)
        return tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_KEY, .value = tp_key_cell(key)});
    if (__builtin_add_overflow((int64_t)count, change, &result) || result < 0)
        return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_ARGUMENT, .key = tp_key_name(key)});
    *sum = (uint64_t)result;
    return TP_OK;
}

/* Counted under the lock, so that the second enabler finds the count of the first, and the branches live. */
enum tp_status tp_key_add(void *cell, int64_t change) {
    struct tp_key *key;
    uint64_t count = 0;
    enum tp_status status = enter_for(cell, &key);
    if (status != TP_OK)
        return status;
    status = tp_add_to_count(key, tp_key_read(key), change, &count);
    if (status != TP_OK)
        return tp_finish_call(status);
    tp_note_value(key, count);
    return tp_finish_call(tp_run_noted(false));
}
