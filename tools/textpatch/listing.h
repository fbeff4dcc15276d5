/* SPDX-License-Identifier: MIT */
/*
 * The list of sites, and the three ways to write it; for list.c.
 */
#ifndef TOOL_LISTING_H
#define TOOL_LISTING_H

#include <stdio.h>

#include "forms.h"

struct listed_site {
    struct site_forms forms;
    const char *kind;
    const char *symbol; /* name+0x12 */
    const char *file;   /* NULL if it isn't known */
    unsigned line;
    const char *key;     /* NULL if it has none */
    const char *feature; /* of an alternative's record, else NULL */
    const char *inside;  /* what it lies in: "alternative at name+0x12" or "replacement", else NULL */
    unsigned depth;      /* sites that it lies in */
};

struct listing_writer {
    void (*begin)(FILE *out, const struct image *image);
    void (*site)(FILE *out, const struct image *image, const struct listed_site *site, bool first);
    void (*end)(FILE *out, const struct image *image);
};

extern const struct listing_writer text_writer, json_writer, html_writer;

#endif
