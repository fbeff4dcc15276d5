/* SPDX-License-Identifier: MIT */
/*
 * The boot writer: edits -> text, on one CPU.
 *
 * How it works
 *   An edit is an address, the bytes that stand there and those that shall. A run is many edits of up to 8 bytes, as
 *   words. Each is first checked, against the text; when a whole pass has been checked it is written, through a
 *   writable alias of the text, and read back where it will be executed.
 *
 *   1. check     compare the text with the old bytes; the first difference ends the pass, nothing has been written
 *   2. open      CR0.WP off, or the port's alias of the image's text
 *   3. write     store the new bytes by way of the alias
 *   4. read back by the address that executes
 *   5. close     CR0.WP back, alias gone
 *   6. serialise this CPU, before it executes what it wrote
 *
 *   A write that fails ends the pass; what was written before is then undone.
 *
 * Edge cases
 *   One CPU runs, with interrupts off: a site of more than 8 bytes takes several stores.
 */
#ifndef TP_COMMIT_BOOT_H
#define TP_COMMIT_BOOT_H

#include "../commit/run.h"

struct tp_writer {
    uintptr_t text;   /* what is mapped, if the alias spans all of it */
    size_t length;
    uint8_t *alias;   /* of `text`; NULL: each edit asks the port for one */
    uint64_t cr0;     /* to be put back; 0 if it was not touched */
};

/* Step 1 needs no writer. */
TP_MUST_CHECK enum tp_status tp_check_edit(const struct tp_edit *edit);
TP_MUST_CHECK enum tp_status tp_check_run(const struct tp_run *run);

/* Whether the text can be written at all: TP_OK, TP_ERR_PORT_HOOK_MISSING. */
TP_MUST_CHECK enum tp_status tp_can_open_writer(void);

/* After tp_can_open_writer(). */
void tp_open_writer(struct tp_writer *writer, const struct tp_image *image);
void tp_close_writer(struct tp_writer *writer);

/* Steps 3 and 4. TP_OK, TP_ERR_MAP_FAILED, TP_ERR_READ_BACK. */
TP_MUST_CHECK enum tp_status tp_write_edit(const struct tp_writer *writer, const struct tp_edit *edit);
/* Puts the old bytes back if the new ones have been written, as far as the port lets it. */
void tp_undo_edit(const struct tp_writer *writer, const struct tp_edit *edit);
TP_MUST_CHECK enum tp_status tp_write_run(const struct tp_writer *writer, const struct tp_run *run);

#endif
