/* SPDX-License-Identifier: MIT */
/* What is shown of each op: how often it was called, and what one of its sites holds. */
#ifndef TABLE_H
#define TABLE_H

/* What the text holds. */
enum form {
    AS_LINKED, /* calls through the table */
    DIRECT,    /* calls of the functions that count */
    PATCHED,   /* what this world's table makes of it */
    FORMS,
};

/* Finds a site of each op. The library has the image, and nothing is applied. */
void choose_sites(void);
/* Keeps what these sites hold now. */
void keep_bytes(enum form form);
/* Keeps how often the table's functions have been called, and what was seen. Calls of the ops that sleep are
 * counted later: with a timer that ticks, other ops are called as often as it does. */
void keep_calls(enum form form);
void keep_calls_of_sleepers(enum form form);
/* Requires what it prints to be right. */
void print_table(void);

#endif
