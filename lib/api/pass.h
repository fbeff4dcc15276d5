/* SPDX-License-Identifier: MIT */
/*
 * A pass: all that one call changes, by the boot writer or by the live one.
 *
 * How it works
 *   A caller enters, which takes the lock if other CPUs run; latches the state that the text is to show; runs the pass;
 *   and leaves. A live pass that a silent CPU has stopped is not left: its caller resumes it.
 */
#ifndef TP_API_PASS_H
#define TP_API_PASS_H

#include "../api/walk.h"

/* ---- Who may change text, lib/api/enter.c ---- */

/*
 * Makes this caller the one that changes state and text. TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_BATCH_OPEN, and while
 * other CPUs run TP_ERR_WRONG_CONTEXT, TP_ERR_PORT_HOOK_MISSING.
 */
TP_MUST_CHECK enum tp_status tp_enter(void);
/* The same for a caller that only looks, which no port has to be able to live patch for. */
TP_MUST_CHECK enum tp_status tp_enter_to_read(void);
void tp_leave(void);
/* Whether any caller has. */
bool tp_has_entered(void);
/* TP_OK if this caller has entered and not left, TP_ERR_NO_BATCH if not. */
TP_MUST_CHECK enum tp_status tp_check_entered(void);
/* TP_OK, TP_ERR_WRONG_CONTEXT: for what goes on with a batch that was begun elsewhere. */
TP_MUST_CHECK enum tp_status tp_check_may_wait(void);
/* With a port that can live patch: TP_OK, TP_ERR_NO_BREAKPOINT if an int3 of this CPU does not reach the library. */
TP_MUST_CHECK enum tp_status tp_check_breakpoints(void);
/* Every other CPU serialises: TP_OK, TP_ERR_CPU_SILENT. Only while others run; TP_OK at once if not. */
TP_MUST_CHECK enum tp_status tp_sync_cpus(void);

/* ---- Passes ---- */

static inline bool tp_takes_part(const struct tp_walk *walk, const struct tp_image *image) {
    return image->applied || !walk->applied_only;
}

bool tp_any_applied(void);
/* Cells of the keys that were noted get the wanted value, or the applied one back. */
void tp_set_cells(void);
void tp_reset_cells(void);
/* The text shows what the walk had it show. */
void tp_note_shown(const struct tp_walk *walk);

/* Boot: check everything, set the cells, write everything; undo what fails. Statuses of tp_apply(). */
TP_MUST_CHECK enum tp_status tp_boot_pass(struct tp_walk *walk);
/* Its parts, for images that are new while others are live. */
TP_MUST_CHECK enum tp_status tp_boot_check(struct tp_walk *walk, const struct tp_image *image);
TP_MUST_CHECK enum tp_status tp_boot_write(struct tp_walk *walk, const struct tp_image *image);
void tp_boot_undo(struct tp_walk *walk, const struct tp_image *image);

/* Live: docs/protocol.md. After TP_ERR_CPU_SILENT and TP_ERR_CPU_BUSY it can be resumed. */
TP_MUST_CHECK enum tp_status tp_live_pass(const struct tp_walk *walk);
TP_MUST_CHECK enum tp_status tp_live_resume(void);
/* Its part that is written while all other CPUs stand still, for stop_cpus. */
void tp_live_write_stopped(void *unused);
/* Whether a pass waits to be resumed. */
bool tp_live_is_stuck(void);

/* Leaves, unless the pass is stuck; hands the status on. */
enum tp_status tp_finish_call(enum tp_status status);
/* Brings the text to what was noted in the keys; with `features` also to the latched ones. */
TP_MUST_CHECK enum tp_status tp_run_noted(bool features);
/* A static key's count, changed: TP_OK, TP_ERR_UNKNOWN_KEY, TP_ERR_BAD_ARGUMENT. */
TP_MUST_CHECK enum tp_status tp_add_to_count(const struct tp_key *key, uint64_t count, int64_t change, uint64_t *sum);

#endif
