/* SPDX-License-Identifier: MIT */
/*
 * Refusing bad records before anything relies on them.
 *
 * How it works
 *   Each record is checked alone: version, kind, length, where it lies, what it refers to. Then, in order of
 *   address, pairwise: a site that begins inside another must be wholly inside it, and the outer one an alternative.
 *   Along the way the library's flags in `detail` are set.
 */
#ifndef TP_SITE_VALIDATE_H
#define TP_SITE_VALIDATE_H

#include <textpatch/engine.h>

/* Record by record; the keys are in order. The statuses are those of "the tables" in textpatch/status.h. */
TP_MUST_CHECK enum tp_status tp_validate_sites(struct tp_image *image);

/* Inline forms: among the replacements, whole instructions, at most one operand relative to the instruction pointer. */
TP_MUST_CHECK enum tp_status tp_validate_inlines(const struct tp_image *image);

/* Pairs; the sites are in order. TP_OK, TP_ERR_SITE_OVERLAP, TP_ERR_NESTED_TOO_DEEP. Sets the flags of nesting. */
TP_MUST_CHECK enum tp_status tp_validate_nesting(struct tp_image *image);

#endif
