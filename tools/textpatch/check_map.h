/* SPDX-License-Identifier: MIT */
/*
 * Where the text's instructions begin, as code leads there: so that a site, or a branch's target, is not its own witness.
 *
 * Calls
 *   map_text()              of an image whose records have been taken
 *   begins_instruction()    whether one begins at an address;  ends_instruction()  whether one ends in front of it
 *   is_code()               whether a byte is part of one
 *   find_instruction()      where the one begins that a byte is part of
 *
 * How it works
 *   Zydis decodes from each function's start up to where code ends, then from each target of a branch: data that is
 *   jumped over is not taken for code. What nothing leads to by then (cases of a switch) is code if it can be read as
 *   such up to its end, or up to what is code already. Last come the targets of static keys that are still in the dark.
 *
 * Edge cases
 *   - Code that no function symbol covers is not followed.
 *   - Behind a data byte that nothing leads to, the next label is where code is tried again.
 */
#ifndef TOOL_CHECK_MAP_H
#define TOOL_CHECK_MAP_H

#include "image.h"

struct branch {
    uint64_t from, to;
};

struct text_map {
    const struct image *image;
    uint8_t *marks;           /* of text_start … text_end, inclusive */
    struct branch *branches;  /* all that say where they lead, calls too */
    size_t branch_count, branch_room;
    uint64_t *waiting; /* starts that have not been followed, from `next` on */
    size_t next, waiting_count, waiting_room;
};

const struct text_map *map_text(const struct image *image);

/* False outside the text. */
bool begins_instruction(const struct text_map *map, uint64_t address);
bool ends_instruction(const struct text_map *map, uint64_t address);
bool is_code(const struct text_map *map, uint64_t address);

/* After is_code(). */
uint64_t find_instruction(const struct text_map *map, uint64_t address);

#endif
