/* SPDX-License-Identifier: MIT */
/*
 * Going over everything that a change of state touches: the one walk behind apply, revert, update and plan.
 *
 * How it works
 *   It goes through the records in order of address, so that memory is read in one direction, which CPUs foresee. What
 *   fits into a word is given in runs: sites of one key and shape share two templates, plain alternatives are no more
 *   than their bytes. All other places are rendered twice, as they are and as they shall be, and given as edits one by
 *   one. What would not change is left out. Sites that lie in an alternative come with it.
 */
#ifndef TP_API_WALK_H
#define TP_API_WALK_H

#include "../api/describe.h"
#include "../commit/boot.h"

/* What a walk does with what it finds. A status other than TP_OK ends it. */
struct tp_walk {
    enum tp_view to;
    bool reverting;    /* every image goes to its pristine form */
    bool applied_only; /* leaves images out that have not been applied */
    bool keyed;        /* just the sites of keys whose wanted value is not the applied one */
    void *argument;
    enum tp_status (*edit)(const struct tp_walk *, const struct tp_image *, uint32_t place, const struct tp_edit *,
                           uint8_t new_form);
    enum tp_status (*run)(const struct tp_walk *, const struct tp_run *);
};

TP_MUST_CHECK enum tp_status tp_walk_image(const struct tp_walk *walk, const struct tp_image *image);

#endif
