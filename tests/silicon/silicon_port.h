/* SPDX-License-Identifier: MIT */
/*
 * The library in a Linux process, on the machine's own CPUs: only a port.
 *
 * How it works
 *   text         a memfd that is mapped twice: readable and executable where the program runs, writable elsewhere. The
 *                program's own text is copied into one by silicon_start(), which then maps it over the original.
 *   #BP          SIGTRAP; the signal's frame lies 128 bytes below the stack pointer, so that a call can be emulated
 *   sync_cpus    membarrier(PRIVATE_EXPEDITED_SYNC_CORE)
 *   stop_cpus    a signal to each thread that has entered; it waits in the handler
 *   lock, caller a mutex, the thread's number
 *
 * Calls
 *   silicon_start()                the second mapping, the handlers; once
 *   silicon_enter(), _leave()      the calling thread takes part in stop_cpus
 *   silicon_map_text()             more text, at an address of one's choice
 *   silicon_control, silicon_seen  what tests turn, and what they read
 *
 * Edge cases
 *   A kernel without that membarrier, or a machine that gives us one CPU only, is no place for these tests:
 *   silicon_start() says so, and the program passes with "skipped" (status 77).
 */
#ifndef SILICON_PORT_H
#define SILICON_PORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/live.h>
#include <textpatch/textpatch.h>

enum { SILICON_SKIPPED = 77, SILICON_THREADS = 8 };

/* What tests turn. Set while no batch is under way; silicon_reset() gives the defaults. */
struct silicon_control {
    void (*synced)(void);                             /* each sync that was really made */
    bool (*foreign)(struct tp_regs *regs);            /* an int3 that isn't the library's: false is fatal, as always */
    unsigned skip_sync;                               /* this sync, counted from 1, is claimed but not made */
    unsigned silent_sync;                             /* this one finds CPU `silent_cpu` silent */
    unsigned silent_cpu;
    unsigned stop_patience;                           /* ms that a thread has to stop in */
};
extern struct silicon_control silicon_control;

/* What happened since silicon_reset(). */
struct silicon_seen {
    atomic_ulong syncs, stops, busy, traps, foreign;
};
extern struct silicon_seen silicon_seen;
void silicon_reset(void);

/* Of the calling thread. */
extern __thread bool silicon_may_wait;

/* Tests put a `trace` hook into it, which makes the library write site by site, and take it out again. */
extern struct tp_port silicon_port;

/* NULL, or why this can't be done here. */
const char *silicon_start(void);

/* Zeroed text for machine code that is made up: `size` bytes, at a page. Fatal if there is no memory. */
void *silicon_map_text(uintptr_t address, size_t size);
/* Where text can be written; NULL if it isn't ours. */
uint8_t *silicon_alias(uintptr_t address, size_t length);

/* The image of this program's own sites. */
void silicon_program_image(struct tp_image *image);

/* The calling thread is CPU `number` of those that stop_cpus stops: 0 to SILICON_THREADS - 1. */
void silicon_enter(unsigned number);
void silicon_leave(void);

/* The thread to the n-th CPU that we may use. */
void silicon_pin(unsigned n);

/* Text on standard error, then exit(1). */
void silicon_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
