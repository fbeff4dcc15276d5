/* SPDX-License-Identifier: MIT */
#include "effects.h"

struct effect effects[OPS];

void forget_effects(void) {
    for (unsigned op = 0; op < OPS; op++)
        effects[op] = (struct effect){0};
}

void see_many(unsigned op, unsigned long right, unsigned long of) {
    effects[op].right += right;
    effects[op].looked += of;
}

void see(unsigned op, bool right) { see_many(op, right, 1); }
