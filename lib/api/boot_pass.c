/* SPDX-License-Identifier: MIT */
/*
 * The pass of one CPU: a checking walk over every image, then a writing one.
 *
 *   1. check     every edit of every image against the text; any error ends here, nothing has been changed
 *   2. set       the cells: from here on pristine forms, which read them, agree with the new text
 *   3. write     image by image, each under a writer
 *   4. note      the latched state is what the text shows
 *   A write that fails is followed by another walk, which puts the old bytes back.
 */
#include "../api/pass.h"

#include "../report.h"

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

enum tp_status tp_boot_check(struct tp_walk *walk, const struct tp_image *image) {
    walk->edit = check_edit;
    walk->run = check_run;
    return tp_walk_image(walk, image);
}

static enum tp_status walk_writing(struct tp_walk *walk, const struct tp_image *image) {
    struct tp_writer writer;
    tp_open_writer(&writer, image);
    walk->argument = &writer;
    enum tp_status status = tp_walk_image(walk, image);
    tp_close_writer(&writer);
    return status;
}

enum tp_status tp_boot_write(struct tp_walk *walk, const struct tp_image *image) {
    walk->edit = write_edit;
    walk->run = write_run;
    return walk_writing(walk, image);
}

/* Whatever undoing reports, the error that led to it is the one that counts. */
void tp_boot_undo(struct tp_walk *walk, const struct tp_image *image) {
    const struct tp_error error = *tp_last_error();
    walk->edit = undo_edit;
    walk->run = undo_run;
    (void)!walk_writing(walk, image);
    tp_keep_error(&error);
}

static enum tp_status check_all(struct tp_walk *walk) {
    enum tp_status status = TP_OK;
    for (const struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next)
        if (tp_takes_part(walk, image))
            status = tp_boot_check(walk, image);
    return status;
}

static enum tp_status write_all(struct tp_walk *walk) {
    enum tp_status status = TP_OK;
    for (const struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next)
        if (tp_takes_part(walk, image))
            status = tp_boot_write(walk, image);
    return status;
}

static void undo_all(struct tp_walk *walk) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next)
        if (tp_takes_part(walk, image))
            tp_boot_undo(walk, image);
}

enum tp_status tp_boot_pass(struct tp_walk *walk) {
    enum tp_status status = tp_can_open_writer();
    if (status == TP_OK)
        status = check_all(walk); /* 1 */
    if (status != TP_OK)
        return status;
    tp_set_cells(); /* 2 */
    status = write_all(walk); /* 3 */
    if (status == TP_OK) {
        tp_note_shown(walk); /* 4 */
        return TP_OK;
    }
    undo_all(walk);
    tp_reset_cells();
    return status;
}
