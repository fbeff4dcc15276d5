/* SPDX-License-Identifier: MIT */
/*
 * What `textpatch check` proves, a file each. All complain and go on. The records have been taken (image.h).
 */
#ifndef TOOL_CHECK_H
#define TOOL_CHECK_H

#include "image.h"

struct check_options {
    const char *const *hooks; /* the port's, by name, the last one NULL; or NULL */
    const char *const *ports; /* objects that hold hooks, likewise */
    const char *const *ends;  /* functions that never return, likewise */
    uint8_t call_scheme;      /* TP_SCHEME_… of textpatch/live.h */
    bool verbose;
};

/* All of it. */
void prove_kernel(const struct kernel *kernel, const struct check_options *options);

/* Segments and sections: nothing both writable and executable, tables least of all (check_segments.c). */
void check_segments(const struct image *image);
/* All sites are where code can be executed. */
void check_places(const struct image *image);

/*
 * The text (check_text.c): each site begins and ends where an instruction does, as seen from the function's start
 * (check_map.h); holds what its record says; no branch from outside leads into it; a static key's jump stays in its
 * function.
 */
struct text_map;
struct branch;
void check_text(const struct image *image, const struct text_map *map);
void check_branch(const struct image *image, const struct branch *branch);

/* What cells and inline records name is a function's start, and no trampoline (check_cells.c). */
void check_cells(const struct image *image);

/*
 * What sites may hold (check_forms.c): whole instructions, and targets in reach from where the site is; that branches lead
 * to instructions, and into no site (check_targets.c); and that the forms of one site agree on the stack (check_union.c).
 */
void check_forms(const struct image *image, const struct text_map *map, uint8_t call_scheme);
struct site_forms;
void check_targets(const struct text_map *map, const struct site_forms *site);
void check_union(const struct image *image, const struct site_forms *site, uint8_t call_scheme);

/*
 * No site where none may be (check_calls.c): in #BP, and between the first int3 and the last sync. Walks what the library's
 * functions call, and what a port's do.
 */
void check_calls(const struct image *image, const struct text_map *map, const struct check_options *options);

/*
 * The unwind table, where one is linked: it is sound, and the one that `orc` makes of this text, unless what that is made of
 * was stripped (check_unwind.c).
 */
void check_unwind(struct image *image, const struct check_options *options);

/* Two links of one kernel (check_against.c): all functions lie where they lay in the first. */
void check_same_text(const struct kernel *kernel, const struct kernel *first);

/* How sites lie, on stdout (check_segments.c). */
void print_geometry(const struct image *image);

#endif
