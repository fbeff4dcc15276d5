/* SPDX-License-Identifier: MIT */
/* The ops that a kernel calls in its own name: interrupts, sleep, locks. */
#ifndef KERNEL_OPS_H
#define KERNEL_OPS_H

/* Interrupts are masked before and after. */
void run_kernel_ops(void);
/* Those that sleep until the timer's tick. How many interrupts come meanwhile is the timer's to say. */
void run_sleeping_ops(void);

#endif
