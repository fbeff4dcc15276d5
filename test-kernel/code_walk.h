/* SPDX-License-Identifier: MIT */
/*
 * Which instructions a piece of code is made of, as it lies in memory now: found by decoding from where it begins, on to
 * the next one and to where it jumps, but not into what it calls.
 *
 *   forget_places();
 *   walk_code((uintptr_t)native_syscall, WALK_ALL, 0);
 *   place = find_place(regs->rip);        // NULL: not one of these
 *
 * A place keeps marks for its user. What is reached from two beginnings belongs to the first.
 */
#ifndef CODE_WALK_H
#define CODE_WALK_H

#include <stdint.h>

struct place {
    uintptr_t address;
    unsigned marks;
};

/* In the order of their addresses. */
extern struct place places[];
extern unsigned place_count;

enum walk {
    WALK_ALL,
    WALK_FIRST_JUMP_TAKEN, /* the first conditional jump is always taken */
};

void forget_places(void);
void walk_code(uintptr_t start, enum walk walk, unsigned marks);
struct place *find_place(uintptr_t address);

#endif
