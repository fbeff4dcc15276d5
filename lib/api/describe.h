/* SPDX-License-Identifier: MIT */
#ifndef TP_API_DESCRIBE_H
#define TP_API_DESCRIBE_H

#include "../site/registry.h"

static inline enum tp_view tp_shown_view_of(const struct tp_image *image) {
    return image->applied ? TP_VIEW_APPLIED : TP_VIEW_PRISTINE;
}

/* Describes the site of a record. */
void tp_fill_info(const struct tp_image *image, uint32_t at, struct tp_site_info *info);

#endif
