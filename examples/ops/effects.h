/* SPDX-License-Identifier: MIT */
/* What was seen of each op's effect, by other means than the op. */
#ifndef EFFECTS_H
#define EFFECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pv_ops.h"

/* An op's number is its slot's. */
#define OP(slot) ((unsigned)(offsetof(struct tp_ops, slot) / sizeof(uintptr_t)))
enum { OPS = sizeof(struct tp_ops) / sizeof(uintptr_t) };

struct effect {
    unsigned long looked, right;
};
extern struct effect effects[OPS];

void forget_effects(void);
void see(unsigned op, bool right);
void see_many(unsigned op, unsigned long right, unsigned long of);

#endif
