/* SPDX-License-Identifier: MIT */
/*
 * Instructions as text, AT&T syntax, by Zydis: a second opinion beside the library's decoder.
 */
#ifndef TOOL_DISASSEMBLE_H
#define TOOL_DISASSEMBLE_H

#include "elf.h"

/* Bytes of the instruction at `bytes`, 0 if there is none within `size`. */
unsigned measure_instruction(const uint8_t *bytes, uint64_t size);

enum flow_kind {
    FLOW_NONE,
    FLOW_CALL,
    FLOW_JUMP,
    FLOW_CONDITIONAL,
};

/* What leaves the line of an instruction that is at `address`. */
struct flow {
    enum flow_kind kind;
    bool direct;     /* to `target` */
    bool ends;       /* the next instruction isn't reached by falling through */
    uint64_t target;
};

struct flow follow_instruction(const uint8_t *bytes, unsigned length, uint64_t address);

/* Instructions with their symbols, one after another with "; " between; bytes that are none as "(bad)". */
const char *disassemble(const struct kernel *kernel, const uint8_t *bytes, unsigned length, uint64_t address);
/* One of them; *used says how many bytes it has. */
const char *disassemble_one(const struct kernel *kernel, const uint8_t *bytes, unsigned length, uint64_t address,
                            unsigned *used);

/* "9c 58 0f 1f 40 00" */
const char *show_bytes(const uint8_t *bytes, unsigned length);

#endif
