/* SPDX-License-Identifier: MIT */
/*
 * Putting an image's tables in order.
 *
 * How it works
 *   Sites fall into three classes: those in the text ("places"), those inside replacements ("templates"), and those
 *   inside the copies of originals, which are dropped. The table is sorted by class, then by address; of sites that
 *   start together the longer comes first, and of equal ones the one that wins: alternatives before others, and of
 *   alternatives the one whose replacement was emitted last. So a site precedes all that lie in it.
 *   The index then lists alternatives and lock prefixes by address, and after them the sites of each key.
 */
#ifndef TP_SITE_ORDER_H
#define TP_SITE_ORDER_H

#include <textpatch/engine.h>

/*
 * Sorts keys and inline forms. TP_OK; TP_ERR_UNKNOWN_KIND for a key of no known kind, TP_ERR_BAD_ARGUMENT for a cell
 * that is not aligned, TP_ERR_DUPLICATE_KEY; TP_ERR_BAD_INLINE.
 */
TP_MUST_CHECK enum tp_status tp_order_keys(struct tp_image *image);
TP_MUST_CHECK enum tp_status tp_order_inlines(struct tp_image *image);

/* Sorts the sites and counts the classes; every site lies in one of the image's ranges. */
void tp_order_sites(struct tp_image *image);

/* Fills the index; the sites are sorted and validated. */
void tp_order_index(struct tp_image *image);

#endif
