/* SPDX-License-Identifier: MIT */
/* The parts of bench/unwind.c. Each prints its rows. */
#ifndef BENCH_UNWIND_H
#define BENCH_UNWIND_H

/* Nanoseconds of a tick. */
double bench_nanoseconds(void);

void bench_frames(void);
void bench_static_calls(void);
void bench_tool(void);

#endif
