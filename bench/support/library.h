/* SPDX-License-Identifier: MIT */
/* The library in a program that measures it: what ends the program, and a port whose text is its own alias while a pass runs. */
#ifndef BENCH_LIBRARY_H
#define BENCH_LIBRARY_H

#include <textpatch/textpatch.h>

/* Ends the program with the library's message unless the status is TP_OK. */
void bench_must(enum tp_status status);

extern const struct tp_port bench_text_port;

#endif
