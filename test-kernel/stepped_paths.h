/* SPDX-License-Identifier: MIT */
/*
 * Every path into the kernel and out again in the native world, and what must be so on each: the frame that the handler
 * sees is what was interrupted, and all registers come back, but for what the handler changed.
 */
#ifndef STEPPED_PATHS_H
#define STEPPED_PATHS_H

#include "stepper.h"

enum path_flag {
    PATH_FROM_USER = 1,
    PATH_TRAP = 2,             /* the frame says where it goes on, not what entered */
    PATH_LAZY = 4,             /* the frame's rbx … r15 are not filled */
    PATH_INTERRUPT = 8,        /* sent beforehand */
    PATH_USER_GS = 16,         /* the kernel is interrupted with user mode's GS */
    PATH_OWN_BREAKPOINT = 32,  /* #BP by the paranoid entry, on a stack of its own */
    PATH_NMI = 64,
    PATH_LOADS_GS = 128,
};

struct path {
    const char *name;
    const uint8_t *program;    /* in user mode, */
    void (*function)(void);    /* or in the kernel */
    const uint8_t *at, *end;
    unsigned flags;            /* enum path_flag */
    unsigned vector;           /* that comes first */
    unsigned visits;           /* of handlers, unless NMIs nest */
    uint64_t error_code;
    const uint8_t *starts[2];  /* where stepping starts, and starts again; none: at the vector's stub */
    uint64_t rax, rdi;         /* unless 0 */
    void (*answer)(struct tp_regs *regs);
};

extern const struct path paths[];
extern const unsigned path_count;
/* By its name; panics if there is none. */
const struct path *find_path(const char *name);

void open_paths(void);
void close_paths(void);

/* The instructions of all paths, which differ between the library's forms: forgets all marks. */
void collect_places(bool applied);

struct path_result {
    struct step_report steps;
    unsigned visits;        /* of handlers */
    unsigned wrong_visits;  /* more or fewer than there should be */
    unsigned wrong_slots;   /* registers that came back otherwise */
};

/* `nmi_entry` is as in struct step_plan. */
struct path_result run_path(const struct path *path, unsigned options, const void *nmi_entry);
bool is_right(const struct path_result *result);

/* Handlers change a register, for the control of these checks. */
extern bool careless;

#endif
