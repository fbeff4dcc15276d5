/* SPDX-License-Identifier: MIT */
/*
 * Every path into the kernel and out again in the native world, by the library's entries of #BP too, and what must be so
 * on each: the frame that the handler sees is what was interrupted, and all registers come back, but for what the handler
 * changed.
 */
#ifndef STEPPED_PATHS_H
#define STEPPED_PATHS_H

#include <textpatch/engine.h>

#include "shadow.h"
#include "stepper.h"

enum path_flag {
    PATH_FROM_USER = 1,
    PATH_TRAP = 2,             /* the frame says where it goes on, not what entered */
    PATH_LAZY = 4,             /* the frame's rbx … r15 are not filled */
    PATH_INTERRUPT = 8,        /* sent beforehand */
    PATH_USER_GS = 16,         /* the kernel is interrupted with user mode's GS */
    PATH_OWN_STACK = 32,       /* #BP has a stack of its own */
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
    const uint8_t *breakpoint; /* the entry of #BP, unless NULL */
    void (*answer)(struct tp_regs *regs);
};

/* Where the CPU goes by the platform's IDT. */
#define STUB(vector) (native_stubs + (vector) * NATIVE_STUB_SIZE)
#define USER_DATA_SELECTOR 0x23

extern const struct path paths[];
extern const unsigned path_count;
/* By its name; panics if there is none. */
const struct path *find_path(const char *name);

/* The instructions of all paths, which differ between the library's forms: forgets all marks. */
void collect_places(bool applied);

/* ---- Runs (stepped_run.c) ---- */

/* For the library, whose entries of #BP are paths, too: foreign int3s go to these paths' handlers. */
extern const struct tp_port path_port;

void open_paths(void);
void close_paths(void);

struct path_result {
    struct step_report steps;
    struct shadow_report walks; /* with STEP_WALKS */
    unsigned visits;        /* of handlers */
    unsigned wrong_visits;  /* more or fewer than there should be */
    unsigned wrong_slots;   /* registers that came back otherwise */
};

/* `nmi_entry` is as in struct step_plan. */
struct path_result run_path(const struct path *path, unsigned options, const void *nmi_entry);
bool is_right(const struct path_result *result);

/* What handlers do: a result; the same so that sysret can't be the way back; a frame that IRET refuses, twice; an NMI right
 * where it goes on. */
void answer_plainly(struct tp_regs *regs);
void answer_by_iret(struct tp_regs *regs);
void answer_by_bad_stack(struct tp_regs *regs);
void answer_by_bad_address(struct tp_regs *regs);
void answer_by_nmi(struct tp_regs *regs);

/* Handlers change a register, for the control of these checks. */
extern bool careless;

#endif
