/* SPDX-License-Identifier: MIT */
/*
 * Single steps through entry code, with an NMI or with faults at each instruction. Native world, CPU 0, interrupts masked.
 *
 *   install_stepper();
 *   begin_stepping(&(struct step_plan){.starts = {(uintptr_t)native_syscall}, .end = …, .ends_in_user = true});
 *   … what makes the CPU go there …
 *   report = end_stepping();
 *
 * How it works
 *   A breakpoint register stops the CPU at the start; the handler of #DB sets TF in the frame, and so it goes on until the
 *   end, which has a breakpoint too: sysret sets the program's flags, without TF. A place (code_walk.h) is an instruction
 *   of the path; what isn't one is C code, which runs up to a breakpoint at the return address unless STEP_INTO_C.
 *
 *   Breakpoints and RF: Intel SDM vol. 3 section 17.3.1.1. While the handler runs, no breakpoint is set: #DB has one stack.
 *
 * An NMI right at an instruction
 *   An NMI that is sent in the handler of #DB comes there. So the first one is a carrier, on a stack of its own: it sends
 *   a second one, which waits since NMIs are blocked until IRET, and takes the whole frame of #DB for its own. Its IRET
 *   goes where that of #DB would have gone, and there the second NMI comes before another instruction is executed.
 *   The frame's upper half of ss says which GS that was. The handler of #DB is never returned to.
 */
#ifndef STEPPER_H
#define STEPPER_H

#include <stdbool.h>
#include <stdint.h>

#include "platform.h"

enum step_option {
    STEP_INTO_C = 1,
    STEP_NMIS = 2,   /* one at each instruction */
    STEP_FAULTS = 4, /* #PF, #UD and #BP in the handler of #DB, at each instruction, and in that of those NMIs */
    STEP_WALKS = 8,  /* from each instruction, and from the handlers that it is interrupted by (stepped_walks.h) */
};

/* What is at a start: a function, `syscall`, or an entry, #BP's or another, whose words lie at rsp, or behind an error code. */
enum start_kind { START_FUNCTION, START_SYSCALL, START_ENTRY, START_BREAKPOINT, START_ENTRY_WITH_CODE };

struct step_plan {
    uintptr_t starts[2]; /* where stepping starts, and starts again after it was lost by a fault; 0: none */
    enum start_kind kinds[2];
    uintptr_t end;
    bool ends_in_user;
    unsigned options;        /* enum step_option */
    bool nmi_from_user;      /* what is stepped is the NMI's entry from user mode, */
    bool nmi_from_kernel;    /* or from the kernel: NMIs nest, and are counted there */
    bool keeps_breakpoint;   /* faults without #BP: its stack is in use */
    const void *nmi_entry;   /* for the NMIs at each instruction, unless NULL */
    uint64_t user_gs;        /* user mode's GS base, unless that changes: 0 */
};

struct step_report {
    bool ended;
    unsigned steps;          /* instructions that are places */
    unsigned steps_in_c;
    unsigned with_user_gs;   /* steps, and the end, that #DB found with user mode's GS */
    bool ends_with_user_gs;
    unsigned wrong_gs;       /* handlers that had user mode's GS */
    unsigned nmis, nmis_came;
    unsigned nmi_runs;       /* handlers of NMIs but for those at each instruction */
    bool nmi_is_owed;        /* one came, and no handler began after that */
    unsigned faults, stray_flags;
    unsigned failures;
    const char *first_failure;
    uintptr_t failed_at;
};

/* Marks of places. */
enum {
    PLACE_STEPPED = 1,
    PLACE_HAD_NMI = 2,
    PLACE_HAD_FAULTS = 4,
    PLACE_NO_NMI = 8,        /* stepped where an NMI would be the stack's end */
    PLACE_OF_NMI = 16,       /* given by the user: the NMI's entry, up to where it joins others */
    PLACE_NMI_THIS_TIME = 32,
    PLACE_LAST_NMI_THIS_TIME = 64,
};

/* Handlers of NMIs that are not sent by the stepper. NULL: none. */
extern void (*path_nmi_handler)(struct tp_regs *regs);

void install_stepper(void);
void remove_stepper(void);
void begin_stepping(const struct step_plan *plan);
struct step_report end_stepping(void);

/* Goes on with a frame, which becomes garbage, and has an NMI come there: the carrier alone. A frame from an ordinary
 * entry says nothing of GS. Doesn't return. */
_Noreturn void resume_with_nmi(struct tp_regs *frame, bool with_user_gs);

/* For handlers: reports a failure unless GS is the kernel's, the direction flag clear and interrupts masked. */
bool check_context(uintptr_t at);
void report_failure(const char *what, uintptr_t at);

#endif
