/* SPDX-License-Identifier: MIT */
/*
 * textpatch/hidden.h: for kernels that are compiled with -fPIE.
 *
 * What it is for
 *   With -fPIE, a compiler reaches symbols of other files through the GOT unless they are hidden, and then an asm
 *   operand can't name them. Give every file of the kernel `-include textpatch/hidden.h`. Kernels compiled with
 *   -mcmodel=kernel don't need it.
 */
#ifndef TEXTPATCH_HIDDEN_H
#define TEXTPATCH_HIDDEN_H
#ifndef __ASSEMBLER__
#pragma GCC visibility push(hidden)
#endif
#endif
