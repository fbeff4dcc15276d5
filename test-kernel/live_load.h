/* SPDX-License-Identifier: MIT */
/*
 * All CPUs under load while the library is live, and storms of changes: what the suites live_… are made of.
 *
 *   static void storms(void) {
 *       const struct live_place places[] = {{visit_op_line, {LIVE_ONE, LIVE_TWO}}, …};
 *       run_storm(&(struct live_storm){.places = places, .count = 2, .states = 2, .rounds = 500, .move = move});
 *   }
 *   static void calls(void) { run_live(&(struct live_setup){.entry = tp_breakpoint_entry}, storms); }
 *
 * In a storm every CPU but 0 visits the places over and over, with rsp even and odd to 16, and CPU 0 moves the state, n
 * times. Each move is waited for: the next one comes when every other CPU has visited every place twice since. Each
 * visit must have found the old state or the new one while a move was under way, and the new one alone afterwards; so
 * must those that are made by timer interrupts on all CPUs, by NMIs that are sent at each step of the protocol, and by
 * CPU 0 itself at each step.
 */
#ifndef LIVE_LOAD_H
#define LIVE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "live_port.h"
#include "live_sites.h"

/* ---- The library, live ---- */

struct live_setup {
    const struct tp_port *port; /* NULL: live_port */
    void (*entry)(void);        /* of #BP; NULL: the plain one of this world */
    bool own_stack;             /* IST */
    struct tp_live_options options;
};

/* Options as tp_init() sets them. */
extern const struct tp_live_options live_defaults;

/*
 * Runs `test` with the library live on all CPUs, interrupts on and text protected, and cleans up: text must be what
 * the state says, and the steps must have been in order.
 */
void run_live(const struct live_setup *setup, void (*test)(void));
/* The same with all defaults. */
void run_live_plainly(void (*test)(void));
/* Its two halves. close_live() goes with whatever open_live() has got to. */
bool open_live(const struct live_setup *setup);
void close_live(void);

/* ---- Storms ---- */

enum { LIVE_STATES = 8 };

struct live_place {
    live_visitor *visit;
    uint64_t values[LIVE_STATES]; /* by state */
};

struct live_storm {
    const char *name;
    const struct live_place *places;
    unsigned count;
    /* What NMIs visit; NULL: the first of the places. Not one that goes by rendezvous. */
    const struct live_place *nmi_place;
    unsigned states, rounds;
    enum tp_status (*move)(unsigned state);
    /* How many visits a CPU makes at most before it sleeps until the next interrupt; 0: it never sleeps. */
    unsigned burst;
    bool without_own_visits; /* CPU 0 visits nothing during a move */
    /*
     * No visit is under way while a site is stored. QEMU's TCG reads text byte by byte while it translates, so that one
     * store into an aligned quadword may be seen by halves: eb 90 between eb 0a and 66 90. The CPUs for which the class
     * is meant don't do that (AMD APM vol. 2 section 7.6.1). Calls can do without, only their last four bytes change,
     * which are read at once.
     */
    bool stores_alone;
};

struct live_result {
    unsigned rounds;
    uint64_t visits, nmi_visits, timer_visits, step_visits;
    uint64_t wrong, damaged;
    uint64_t nanoseconds;
};

/*
 * Begins and ends in the state 0; live_counts are the storm's. Ends early, but not before 30 moves, after 1.5 s, or
 * after 0.2 s where all suites run in one boot. Prints a line of the numbers; `wrong` fails nothing here.
 */
struct live_result storm(const struct live_storm *storm);
/* Nothing may be wrong, and every way of visiting must have been taken. */
void run_storm(const struct live_storm *storm);

/* ---- Load without a storm ---- */

/* Moves to the state 0, and has all other CPUs visit the places; move_load() moves them, as in a storm. Counts begin
 * behind the first move. */
void start_load(const struct live_storm *load);
enum tp_status move_load(void);
/* Another CPU has come: it visits the places too. */
void load_cpu(unsigned cpu);
/* Whether every loaded CPU has visited everything twice from now on. */
bool await_visits(void);
struct live_result stop_load(void);

#endif
