/* SPDX-License-Identifier: MIT */
/*
 * Telling the #BP handler that int3 bytes in the text may be the library's.
 */
#ifndef TP_COMMIT_BREAKPOINT_H
#define TP_COMMIT_BREAKPOINT_H

#include <stdbool.h>

#include <textpatch/live.h>

/* Around everything that may stand in the text between the first int3 and the last sync. */
void tp_expect_breakpoints(void);
void tp_expect_no_breakpoints(void);

/* Whether nobody who stands at `ip` is inside a site that is about to be written by rendezvous. Context: any. */
bool tp_outside_changing(uintptr_t ip);

/* For asm/breakpoint.asm. The second returns the frame to resume: `copy` where a call was emulated. */
void tp_breakpoint_dispatch(struct tp_regs *regs);
struct tp_regs *tp_breakpoint_dispatch_copied(struct tp_regs *regs, struct tp_regs *copy);

#endif
