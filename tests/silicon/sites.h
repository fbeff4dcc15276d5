/* SPDX-License-Identifier: MIT */
/*
 * What sites.asm defines.
 */
#ifndef SILICON_SITES_H
#define SILICON_SITES_H

#include <stdint.h>

/*
 * Return N; 1, 2 and 9 have no inline form, 3 and 4 (in each of four bytes) one of one instruction, 5 to 7 one of
 * several.
 */
unsigned value_1(void), value_2(void), value_9(void), value_3(void), value_4(void);
unsigned value_5(void), value_6(void), value_7(void);
/* Has an inline form whose operand, taken for a call's displacement, leads to torn_pad, which returns 60. */
unsigned value_torn(void);

/* A function with one site: `name_site` to `name_end`. */
#define SILICON_SITE(name)                                                                                     \
    unsigned name(void);                                                                                       \
    extern uint8_t name##_site[], name##_end[]
/* Its cell, where that isn't a static call's. */
#define SILICON_CELL(name)                                                                                     \
    SILICON_SITE(name);                                                                                        \
    extern uint64_t name##_cell

/* _whole: in one aligned quadword; _across: across a line; _prefix: behind its CS prefix in one quadword */
SILICON_CELL(op_whole);
SILICON_CELL(op_across);
SILICON_CELL(op_prefix);
SILICON_CELL(op_many);
SILICON_CELL(op_jump_whole);
SILICON_CELL(op_jump_across);
/* 1 while off, 2 while on */
SILICON_CELL(key_long);
SILICON_CELL(key_long_across);
SILICON_CELL(key_short);
SILICON_CELL(key_short_across);
SILICON_SITE(call_whole);
SILICON_SITE(call_across);
SILICON_SITE(call_prefix);
SILICON_SITE(call_jump);
SILICON_SITE(torn);
/* Static calls: tp_static_call_NAME is the cell. */
unsigned tp_static_call_trampoline_call_jump(void);
extern uint64_t tp_static_call_call_whole, tp_static_call_call_across, tp_static_call_call_prefix,
    tp_static_call_call_jump, tp_static_call_jumps, tp_static_call_torn;
/* 1, or 2 with the feature TP_FEATURE_KERNEL(20), TP_FEATURE_KERNEL(21) */
SILICON_SITE(alternative_whole);
SILICON_SITE(alternative_across);
/* Returns 7, by way of an int3 that isn't the library's. */
SILICON_SITE(foreign);

#endif
