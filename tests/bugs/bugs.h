/* SPDX-License-Identifier: MIT */
/*
 * Cases that show the bugs of docs/bugs.md, one for each number, in a process with tests/silicon's port. None of them
 * races: the thread that patches executes the site itself, from the port's hooks, or is its own #BP handler, held up by
 * a page that can't be read.
 *
 *   bugs_program NUMBER…    these cases; none: all. The first thing that is wrong ends the program with 1.
 */
#ifndef TP_BUGS_H
#define TP_BUGS_H

#include <stdio.h>
#include <string.h>

#include "silicon_port.h"
#include "sites.h"

/* Also right in hooks and in signal handlers, which is why nothing is left by longjmp. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define require(condition, ...)                                                                                \
    do                                                                                                         \
        if (!(condition))                                                                                      \
            die(__VA_ARGS__);                                                                                  \
    while (0)
void must_be(enum tp_status wanted, enum tp_status status, const char *call);
#define must(call) must_be(TP_OK, call, #call)
#define must_answer(wanted, call) must_be(wanted, call, #call)

/* ---- The library ---- */

extern const struct tp_live_options by_trap, by_any;

/* silicon_port for each case, which may change hooks of it at any time. */
extern struct tp_port bug_port;

/* All of this program's sites applied, other CPUs said to run. */
void begin(const struct tp_live_options *options);
/* The same without the last step. */
void begin_alone(const struct tp_live_options *options);
/* Text must be what the state says. */
void end(void);

/* Changes a cell; the batch stops at its first sync, int3 bytes in the text. */
void get_stuck(void *cell, uintptr_t value);
void go_on(void);

/* ---- Images made by hand ---- */

struct made {
    struct tp_image image;
    uintptr_t text;        /* two pages */
    struct tables *tables; /* pages of their own */
};
enum { MADE_PAGE = 4096 };

/* n: 0 or 1, which place in memory; what was there is forgotten. */
void make_image(struct made *made, unsigned n);
/* A function at `offset` that calls an op; returns its code. The site lies 4 bytes behind. */
typedef unsigned code(void);
code *make_op(struct made *made, unsigned offset);
/* An alternative of one NOP, padded by an assembler with more; a feature that is clear would replace it. */
void make_nops(struct made *made, unsigned offset, unsigned length);
uint64_t *made_cell(const struct made *made);
void protect_tables(const struct made *made, bool readable);
void protect_text(const struct made *made, bool readable);

/* ---- Faults ---- */

/* Called at the next access that isn't allowed, which is then made again; NULL: it ends the program. */
extern void (*on_fault)(void);

/* ---- #BP, without a CPU ---- */

/* As a CPU that has executed the int3 at `address`. */
struct tp_regs trap_at(uintptr_t address);

/* ---- The cases ---- */

#define EACH_BUG(X)                                                                                            \
    X(1) X(2) X(3) X(4) X(5) X(6) X(8) X(9) X(10) X(16) X(20) X(21) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(33)
#define DECLARE_BUG(n) void bug_##n(void);
EACH_BUG(DECLARE_BUG)

#endif
