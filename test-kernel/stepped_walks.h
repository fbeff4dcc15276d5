/* SPDX-License-Identifier: MIT */
/*
 * Walks in entry code: at each of the stepper's steps, from the registers and from the handler of #DB, and in the NMIs at
 * these steps. What they find must be what the shadow (shadow.h) has kept; read_shadow_report() has the result.
 */
#ifndef STEPPED_WALKS_H
#define STEPPED_WALKS_H

#include "shadow.h"
#include "stepper.h"

void walk_from_step(const struct tp_regs *regs, const struct step_plan *plan);
void walk_from_nmi(const struct tp_regs *regs);

#endif
