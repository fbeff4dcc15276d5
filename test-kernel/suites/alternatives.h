/* SPDX-License-Identifier: MIT */
/*
 * The suite's own features, and the same places in three languages (alternatives.c, .S, .asm).
 */
#ifndef ALTERNATIVES_H
#define ALTERNATIVES_H

#define CHOICE_A (13 * 32 + 8)
#define CHOICE_B (13 * 32 + 9)
#define CHOICE_C (13 * 32 + 10)

#ifndef __ASSEMBLER__

#include <stdint.h>

/* Each returns what its place holds. */
struct places {
    int (*two)(void);       /* 1; A: 2; B: 3 */
    int (*three)(void);     /* 1; A: 2; B: 3; C: 4; all of different length */
    int (*unless)(void);    /* 1; not A: 2 */
    int (*outer)(void);     /* (1; A: 2); B: 3 */
    int (*inner)(void);     /* 1; B: (2; A: 3) */
    int (*load)(void);      /* 1; A: alternative_variable */
    int (*call)(void);      /* alternative_one(); A: alternative_two() */
    int (*jump)(int value); /* 1; A: 2 if value is 0 */
};

int gas_two(void), gas_three(void), gas_unless(void), gas_outer(void), gas_inner(void), gas_load(void);
int gas_call(void), gas_jump(int value);
int nasm_two(void), nasm_three(void), nasm_unless(void), nasm_outer(void), nasm_inner(void), nasm_load(void);
int nasm_call(void), nasm_jump(int value);

/* 1 and 2; no register but eax is changed. */
int alternative_one(void), alternative_two(void);
extern int alternative_variable;

#endif
#endif
