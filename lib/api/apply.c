/* SPDX-License-Identifier: MIT */
/*
 * Make the text match the state: a checking walk over every image, then a writing one.
 *
 *   1. latch     the state is read once; both walks see the same
 *   2. check     every edit of every image against the text; any error ends here, nothing has been changed
 *   3. set       the cell, for an update: from here on pristine forms, which read it, agree with the new text
 *   4. write     image by image, each under a writer
 *   5. commit    the latched state is what the text shows
 *   A write that fails is followed by another walk, which puts the old bytes back.
 */
#include <textpatch/engine.h>

#include "../api/walk.h"
#include "../report.h"
#include "../site/site.h"

static enum tp_status check_edit(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                 const struct tp_edit *edit, uint8_t new_form) {
    (void)walk, (void)image, (void)place, (void)new_form;
    return tp_check_edit(edit);
}

static enum tp_status check_run(const struct tp_walk *walk, const struct tp_run *run) {
    (void)walk;
    return tp_check_run(run);
}

static enum tp_status write_edit(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                 const struct tp_edit *edit, uint8_t new_form) {
    (void)image, (void)place, (void)new_form;
    return tp_write_edit(walk->argument, edit);
}

static enum tp_status write_run(const struct tp_walk *walk, const struct tp_run *run) {
    return tp_write_run(walk->argument, run);
}

static enum tp_status undo_edit(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                const struct tp_edit *edit, uint8_t new_form) {
    (void)image, (void)place, (void)new_form;
    tp_undo_edit(walk->argument, edit);
    return TP_OK;
}

static enum tp_status undo_run(const struct tp_walk *walk, const struct tp_run *run) {
    uint8_t old_bytes[TP_WORD], new_bytes[TP_WORD];
    for (uint32_t i = 0; i < run->count; i++) {
        const struct tp_edit edit = tp_run_edit(run, i, old_bytes, new_bytes);
        tp_undo_edit(walk->argument, &edit);
    }
    return TP_OK;
}

/* An image that was never applied has nothing to revert, and nothing that follows a key. */
static bool takes_part(const struct tp_walk *walk, const struct tp_image *image) {
    return image->applied || !(walk->reverting || walk->only);
}

static enum tp_status check_all(struct tp_walk *walk) {
    walk->edit = check_edit;
    walk->run = check_run;
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        enum tp_status status = takes_part(walk, image) ? tp_walk_image(walk, image) : TP_OK;
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

static enum tp_status write_image(struct tp_walk *walk, const struct tp_image *image) {
    struct tp_writer writer;
    tp_open_writer(&writer, image);
    walk->argument = &writer;
    enum tp_status status = tp_walk_image(walk, image);
    tp_close_writer(&writer);
    return status;
}

static enum tp_status write_images(struct tp_walk *walk) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next) {
        enum tp_status status = takes_part(walk, image) ? write_image(walk, image) : TP_OK;
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}

/* Whatever undoing reports, the error that led to it is the one that counts. */
static enum tp_status undo_all(struct tp_walk *walk, enum tp_status status) {
    const struct tp_error error = *tp_last_error();
    walk->edit = undo_edit;
    walk->run = undo_run;
    (void)!write_images(walk);
    tp_keep_error(&error);
    return status;
}

static enum tp_status write_all(struct tp_walk *walk) {
    walk->edit = write_edit;
    walk->run = write_run;
    enum tp_status status = write_images(walk);
    if (status != TP_OK)
        return undo_all(walk, status);
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        image->applied = walk->reverting ? false : image->applied || !walk->only;
    return TP_OK;
}

static enum tp_status may_write(void) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (tp_registry.others_run)
        return tp_fail_with(TP_ERR_LIVE_WRITER_NEEDED);
    return tp_can_open_writer();
}

static bool any_applied(void) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next)
        if (image->applied)
            return true;
    return false;
}

enum tp_status tp_apply(void) {
    enum tp_status status = may_write();
    if (status != TP_OK)
        return status;
    if (!tp_registry.images)
        return tp_fail_with(TP_ERR_EMPTY_TABLE);
    struct tp_walk walk = {.to = TP_VIEW_WANTED};
    tp_latch_state(); /* 1 */
    status = check_all(&walk); /* 2 */
    if (status == TP_OK)
        status = write_all(&walk); /* 4 */
    if (status == TP_OK)
        tp_commit_state(); /* 5 */
    return status;
}

enum tp_status tp_revert(void) {
    enum tp_status status = may_write();
    if (status != TP_OK)
        return status;
    if (!any_applied())
        return tp_fail_with(TP_ERR_NOT_APPLIED);
    struct tp_walk walk = {.to = TP_VIEW_PRISTINE, .reverting = true};
    status = check_all(&walk); /* 2 */
    return status == TP_OK ? write_all(&walk) : status; /* 4 */
}

static void set_cell(const struct tp_key *key, uint64_t value) {
    *(volatile tp_cell *)tp_key_cell(key) = value;
}

/* Only this key moves: all other state stays as the text shows it, whatever is wanted meanwhile. */
static void latch_key(struct tp_key *key, uint64_t value) {
    tp_registry.latched = tp_registry.applied;
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        for (uint32_t i = 0; i < image->key_count; i++)
            image->keys[i].wanted = image->keys[i].applied;
    key->wanted = value;
}

static enum tp_status update_text(struct tp_key *key, uint64_t value) {
    struct tp_walk walk = {.to = TP_VIEW_WANTED, .only = key};
    enum tp_status status = may_write();
    if (status != TP_OK)
        return status;
    latch_key(key, value); /* 1 */
    status = check_all(&walk); /* 2 */
    if (status != TP_OK)
        return status;
    uint64_t before = tp_key_read(key);
    set_cell(key, value); /* 3 */
    status = write_all(&walk); /* 4 */
    if (status == TP_OK)
        key->applied = value; /* 5 */
    else
        set_cell(key, before);
    return status;
}

enum tp_status tp_key_update(void *cell, uint64_t value) {
    struct tp_key *key = tp_find_key((uintptr_t)cell);
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (!key)
        return tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_KEY, .value = (uintptr_t)cell});
    if (any_applied())
        return update_text(key, value);
    set_cell(key, value);
    return TP_OK;
}

enum tp_status tp_key_add(void *cell, int64_t change) {
    const struct tp_key *key = tp_find_key((uintptr_t)cell);
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (!key || key->kind != TP_KEY_KIND_STATIC_KEY)
        return tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_KEY, .value = (uintptr_t)cell});
    int64_t count;
    if (__builtin_add_overflow((int64_t)tp_key_read(key), change, &count) || count < 0)
        return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_ARGUMENT, .key = tp_key_name(key)});
    return tp_key_update(cell, (uint64_t)count);
}
