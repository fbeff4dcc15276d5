/* SPDX-License-Identifier: MIT */
/*
 * Batches: what is noted in the keys between begin and commit becomes text in one pass.
 */
#include <textpatch/live.h>

#include "../api/pass.h"
#include "../report.h"
#include "../site/site.h"

/* The open batch's; there is one at most. */
static bool takes_features;

enum tp_status tp_batch_begin(void) {
    enum tp_status status = tp_enter();
    if (status != TP_OK)
        return status;
    tp_latch_applied();
    takes_features = false;
    return TP_OK;
}

static enum tp_status check_open(void) {
    enum tp_status status = tp_check_entered();
    if (status == TP_OK && tp_live_is_stuck())
        return tp_fail_with(TP_ERR_BATCH_STUCK);
    return status;
}

static enum tp_status find_key(void *cell, struct tp_key **key) {
    enum tp_status status = check_open();
    if (status != TP_OK)
        return status;
    *key = tp_find_key((uintptr_t)cell);
    return *key ? TP_OK : tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_KEY, .value = (uintptr_t)cell});
}

enum tp_status tp_batch_set(void *cell, uint64_t value) {
    struct tp_key *key;
    enum tp_status status = find_key(cell, &key);
    if (status == TP_OK)
        tp_note_value(key, value);
    return status;
}

enum tp_status tp_batch_add(void *cell, int64_t change) {
    struct tp_key *key;
    uint64_t count;
    enum tp_status status = find_key(cell, &key);
    if (status == TP_OK)
        status = tp_add_to_count(key, key->noted ? key->wanted : tp_key_read(key), change, &count);
    if (status == TP_OK)
        tp_note_value(key, count);
    return status;
}

enum tp_status tp_batch_take_features(void) {
    enum tp_status status = check_open();
    if (status != TP_OK)
        return status;
    tp_registry.latched = tp_registry.wanted;
    takes_features = true;
    return TP_OK;
}

enum tp_status tp_batch_commit(void) {
    enum tp_status status = check_open();
    if (status == TP_OK)
        status = tp_check_may_wait();
    return status == TP_OK ? tp_finish_call(tp_run_noted(takes_features)) : status;
}

enum tp_status tp_batch_cancel(void) {
    enum tp_status status = check_open();
    return status == TP_OK ? tp_finish_call(TP_OK) : status;
}

enum tp_status tp_batch_resume(void) {
    enum tp_status status = tp_check_entered();
    if (status == TP_OK)
        status = tp_check_may_wait();
    if (status != TP_OK)
        return status;
    return tp_live_is_stuck() ? tp_finish_call(tp_live_resume()) : tp_fail_with(TP_ERR_NO_BATCH);
}
