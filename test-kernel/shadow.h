/* SPDX-License-Identifier: MIT */
/*
 * What has been called and what has been interrupted, kept by looking at instructions alone, and walks (textpatch/unwind.h)
 * held against it.
 *
 *   begin_shadow(regs->rip, regs->rsp, regs->rbp);
 *   for each instruction, before it is executed:
 *       shadow_step(regs), or shadow_entry(regs, offset) where an entry begins
 *       compare_walk(regs), compare_walk_from_here(regs)
 *       foresee(regs)
 *
 * How it works
 *   A record is a call (its return address and where that lies), something interrupted (its rip and rsp), or user mode. An
 *   instruction that called has pushed an address, which is kept. What lies below rsp has been returned from, down to
 *   the last record that is no call: what is below that is on another stack, or interrupted. An entry adds a record by the
 *   words that the CPU has pushed, and iret takes it away.
 *
 *   What is interrupted may be changed while its handler runs: #BP's makes it go on elsewhere, as if a call or a return had
 *   been executed. The shadow doesn't know when. So a walk may find something else there once, no more than a word of
 *   the stack away; from then on each walk must find that, and so must iret.
 *
 *   Two handlers take over from what they interrupted. An iret to user mode that fails is made user mode's own fault, and
 *   an NMI that comes while the one before leaves goes on in its place. From then on walks pass over that record.
 *
 *   What was called before the shadow began is taken from a walk, which must end where the kernel was entered.
 */
#ifndef SHADOW_H
#define SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/unwind.h>

#include "../lib/insn/decode.h"

struct shadow_report {
    uint64_t walks;
    uint64_t frames;         /* of all walks */
    uint64_t wrong;          /* walks */
    uint64_t wrong_in_sites; /* of these: behind a site's first byte, and before its end */
    uint64_t in_handlers;    /* walks through something interrupted, */
    uint64_t from_user;      /* and those that end in user mode */
    uint64_t moves;          /* of what was interrupted: to elsewhere, a call, a return */
    uint64_t left_out;       /* records that a handler has taken over from */
    uint64_t for_iret;       /* walks by way of words that an iret will take, and that no entry has left */
    unsigned deepest;
    const char *first_fault;
    uintptr_t at;            /* the ip of the first wrong walk, */
    uintptr_t found, expected; /* and what it found at which depth */
    unsigned depth;
};

/* Adds the second to the first. */
void add_shadow_report(struct shadow_report *sum, const struct shadow_report *report);
void print_shadow_fault(const struct shadow_report *report);

/* Nothing is known, and nothing was found. */
void reset_shadow(void);
struct shadow_report read_shadow_report(void);

void begin_shadow(uintptr_t ip, uintptr_t sp, uintptr_t bp);
/* An instruction has been executed, and another one is next. */
void shadow_step(const struct tp_regs *regs);
/* An entry's first instruction is next: the CPU's words are `offset` bytes above rsp. By an int3: rip is behind that. */
void shadow_entry(const struct tp_regs *regs, unsigned offset, bool by_int3);
/* The same of `syscall`, which pushes nothing. */
void shadow_syscall(void);
unsigned shadow_records(void);
/* False: the innermost record is no call, or was there when the shadow began. */
bool innermost_call(uintptr_t *ip, uintptr_t *sp);

/* What the next instruction is: seen before it is executed. Nothing: many will be. */
void foresee(const struct tp_regs *regs);
void foresee_nothing(void);
enum tp_insn_kind foreseen_kind(void);

/* A walk from the registers; and one from the caller's own frame, which must come by these registers. */
void compare_walk(const struct tp_regs *regs);
void compare_walk_from_here(const struct tp_regs *regs);

#endif
