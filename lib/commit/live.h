/* SPDX-License-Identifier: MIT */
/*
 * The live writer: edits -> text, while every CPU executes it. One step of the protocol over any number of edits at a
 * time; the order of the steps is api's (lib/api/live_pass.c), docs/protocol.md has all of them.
 *
 *   check      nothing is written: bytes are compared, classes counted, and the stretch that will be written is noted
 *   int3       the first bytes of sites of the class trap, whose records say so from here on
 *   tail       the bytes behind them
 *   first      their first bytes; and sites of the class store, whole
 *   mark       the records of the sites of the class rendezvous say that they are about to be written
 *   stopped    these sites, whole, while all other CPUs stand still
 *   forget     records say nothing any more
 *   restore    the bytes as they were, as far as they were written
 */
#ifndef TP_COMMIT_LIVE_H
#define TP_COMMIT_LIVE_H

#include "../commit/boot.h"
#include "../commit/transition.h"

enum tp_live_step {
    TP_LIVE_CHECK,
    TP_LIVE_INT3,
    TP_LIVE_TAIL,
    TP_LIVE_FIRST,
    TP_LIVE_MARK,
    TP_LIVE_STOPPED,
    TP_LIVE_FORGET,
    TP_LIVE_RESTORE,
};

struct tp_live {
    enum tp_live_step step;
    uint32_t counts[TP_CLASSES]; /* sites of each class, from the check */
    uintptr_t start, end;        /* of the image under way: what the check found to write */
    bool one_way;                /* a site of the class store can't be stored back */
    struct tp_error error;       /* TP_ERR_READ_BACK of the first site that did not take what was written, or TP_OK */
    uintptr_t to_alias;          /* of the image under way: added to an address of its text */
};

/*
 * TP_OK; from the check TP_ERR_UNEXPECTED_BYTES, TP_ERR_CLASS_IMPOSSIBLE; from `int3` TP_ERR_READ_BACK. Steps behind it
 * go on to their end and leave it in live->error; it is reported later, since nothing is called while CPUs are stopped.
 */
TP_MUST_CHECK enum tp_status tp_live_edit(struct tp_live *live, struct tp_site *site, const struct tp_edit *edit);
TP_MUST_CHECK enum tp_status tp_live_run(struct tp_live *live, const struct tp_run *run);

/* Tells the port's trace hook of a step that is of no site. */
void tp_trace_step(enum tp_step step);

#endif
