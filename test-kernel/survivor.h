/* SPDX-License-Identifier: MIT */
/*
 * Programs in ring 3 that notice what happens to their registers, on several CPUs, under timers and NMIs.
 *
 *   open_survivors(survivor_everything);
 *   run_survivors(5000, false);                          // rounds of each program
 *   struct survivor_sum sum = close_survivors();
 *   print_survivors("unpatched", &sum);                  // sum.wrong should be 0
 *
 * In each round a program (suites/survivor.asm) fills all registers, the flags and 128 bytes above and below rsp with
 * random values, enters the kernel by one of the ways below, and compares each value with what the ABI and the call
 * say. The kernel looks too: whenever it is entered with these values in place, each slot of the frame must show them.
 */
#ifndef SURVIVOR_H
#define SURVIVOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user.h"

/* The numbers in suites/survivor.asm. */
enum survivor_way {
    WAY_LAZY,     /* syscall, of a number < FIRST_COMPLETE_SYSCALL */
    WAY_COMPLETE, /* syscall, of one that isn't */
    WAY_GATE,     /* int 0x80 */
    WAY_INT3,
    WAY_INVALID, /* ud2 */
    WAY_FAULT,   /* page fault */
    WAY_DIVIDE,
    WAY_SPIN,    /* none, but time for interrupts */
    WAY_REPLACE, /* syscall: all registers, flags, rsp and rip from memory */
    WAY_FORK,    /* syscall: one more program goes on from here, for this round */
    SURVIVOR_WAYS,
    WAYS_DRAWN = 16,
};

/* Its values: registers in the order of struct tp_regs, and others. */
enum survivor_value {
    VALUE_RBX = 5,
    VALUE_R11 = 6,
    VALUE_RCX = 13,
    VALUE_RAX = 14,
    VALUE_REGISTERS = 15,
    VALUE_FLAGS = 15,
    VALUE_RSP,
    VALUE_GS, /* what lies at gs:0; in a replacement rip */
    VALUES_COMPARED,
    VALUE_STACK = VALUES_COMPARED,
};

/* At USER_DATA. Told by the kernel: random, limit, stop, ways, the wanted VALUE_GS. */
struct survivor_data {
    uint64_t random; /* not 0 */
    uint64_t limit;  /* of rounds */
    uint64_t stop;
    uint64_t rounds, wrong; /* wrong: rounds */
    uint64_t way;
    uint64_t place, behind;  /* what enters the kernel, and where it goes on */
    uint64_t ask, ask_value; /* which register an exception's handler is to change, if it is one */
    uint64_t unused[6];
    uint64_t wanted[VALUES_COMPARED], expected[VALUES_COMPARED], found[VALUES_COMPARED];
    uint64_t replacement[VALUES_COMPARED];
    uint64_t done[WAYS_DRAWN], wrong_of[WAYS_DRAWN];
    uint8_t ways[WAYS_DRAWN];
    uint64_t first_way, first_value, first_expected, first_found, first_round; /* of what was wrong */
    uint64_t canary, zero;
};

#define SURVIVOR_ASSERT(member, offset)                                                                      \
    _Static_assert(offsetof(struct survivor_data, member) == (offset), "suites/survivor.asm")
SURVIVOR_ASSERT(behind, 56);
SURVIVOR_ASSERT(wanted, 0x80);
SURVIVOR_ASSERT(replacement, 0x230);
SURVIVOR_ASSERT(done, 0x2c0);
SURVIVOR_ASSERT(ways, 0x3c0);
SURVIVOR_ASSERT(first_way, 0x3d0);
SURVIVOR_ASSERT(zero, 0x400);
#undef SURVIVOR_ASSERT

/* What programs draw their ways from: all but WAY_FORK, calls above all. */
extern const uint8_t survivor_everything[WAYS_DRAWN];

struct survivor_sum {
    uint64_t rounds, wrong;
    uint64_t done[SURVIVOR_WAYS], wrong_of[SURVIVOR_WAYS];
    uint64_t frames, wrong_frames; /* that the kernel has looked at */
    uint64_t interrupted;          /* by ticks and NMIs, in user mode */
    uint64_t ticks, nmis;
    uint64_t children;
    uint64_t lost; /* programs that were killed */
};

/* System calls by `syscall`. */
uint64_t count_calls(const struct survivor_sum *sum);

/* Takes the system calls, the exceptions, and the hooks of timers and NMIs. */
void open_survivors(const uint8_t *ways);
/* One program, here, with a timer; returns when it has done its rounds. */
void run_survivor(uint64_t rounds);
/* One on each other CPU, with timers, until stop_survivors() or their rounds are done. If flooded, the last CPU sends
 * NMIs to all others instead, without a break. */
void start_survivors(uint64_t rounds, bool flooded);
/* Also waits for them. */
void stop_survivors(void);
/* The same everywhere: here and on all others. */
void run_survivors(uint64_t rounds, bool flooded);
/* So far. */
struct survivor_sum add_up_survivors(void);
/* Whether each other CPU's program has done that many more rounds before time is up. */
bool await_survivors(uint64_t rounds);
struct survivor_sum close_survivors(void);

/* The numbers in a line, and what was wrong first in another. */
void print_survivors(const char *name, const struct survivor_sum *sum);

/* An int3 of a program, for those who have #BP themselves; panics if it isn't one. */
void mend_survivor(struct tp_regs *regs);

/* A fault of the kernel's that is put in: page faults change r9. */
extern volatile bool survivors_lose_r9;

#endif
