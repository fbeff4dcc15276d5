/* SPDX-License-Identifier: MIT */
/*
 * What follows an opcode, for the two maps where opcodes differ in that.
 *
 * What for
 *   The length decoder (decode.c) is its only reader.
 *
 * How it works
 *   A row is 16 opcodes, a hex digit each, leftmost opcode x0: the rows stand as in the manuals' opcode maps,
 *   so that they can be compared by eye. The digit is an enum tp_shape.
 *
 * Example
 *   tp_shape(tp_shapes_one_byte, 0x69) == TP_SHAPE_MODRM_IMM_Z       // imul reg, r/m, imm
 *
 * Edge cases
 *   Prefixes, escapes and the first bytes of VEX, EVEX and XOP never get here; they stand as F. 8F does get
 *   here when it is pop. VEX and EVEX map 1 share the row table of 0F: decode.c says how.
 */
#ifndef TP_INSN_DECODE_TABLES_H
#define TP_INSN_DECODE_TABLES_H

#include <stdint.h>

enum tp_shape {
    TP_SHAPE_BARE = 0x0,
    TP_SHAPE_IMM_8 = 0x1,
    TP_SHAPE_IMM_16 = 0x2,
    TP_SHAPE_ENTER = 0x3,       /* 16 bits, then 8 */
    TP_SHAPE_IMM_Z = 0x4,       /* 32 bits, or 16 by a 66 prefix */
    TP_SHAPE_IMM_V = 0x5,       /* as Z, but 64 bits by REX.W */
    TP_SHAPE_ADDRESS = 0x6,     /* 64 bits, or 32 by a 67 prefix */
    TP_SHAPE_RELATIVE_8 = 0x7,  /* PC-relative */
    TP_SHAPE_RELATIVE_32 = 0x8, /* PC-relative, whatever the prefixes (decode.h tells about 66) */
    TP_SHAPE_MODRM = 0x9,
    TP_SHAPE_MODRM_IMM_8 = 0xa,
    TP_SHAPE_MODRM_IMM_Z = 0xb,
    TP_SHAPE_GROUP_3 = 0xc,         /* F6, F7: only their test has an immediate */
    TP_SHAPE_MODRM_REGISTERS = 0xd, /* mov to and from CR and DR: ModRM.mod counts as 3 (SDM vol. 2 "MOV") */
    TP_SHAPE_EXTRACT = 0xe,         /* 0F 78: vmread, or SSE4A extrq and insertq, which have two immediates */
    TP_SHAPE_NONE = 0xf,            /* no such instruction in 64-bit mode */
};

/* Intel SDM vol. 2 table A-2; AMD APM vol. 3 tables. */
static const uint64_t tp_shapes_one_byte[16] = {
    0x999914FF999914FF, /* 00 */
    0x999914FF999914FF, /* 10 */
    0x999914FF999914FF, /* 20 */
    0x999914FF999914FF, /* 30 */
    0xFFFFFFFFFFFFFFFF, /* 40 */
    0x0000000000000000, /* 50 */
    0xFFF9FFFF4B1A0000, /* 60 */
    0x7777777777777777, /* 70 */
    0xABFA999999999999, /* 80 */
    0x0000000000F00000, /* 90 */
    0x6666000014000000, /* A0 */
    0x1111111155555555, /* B0 */
    0xAA20FFAB302001F0, /* C0 */
    0x9999FFF099999999, /* D0 */
    0x7777111188F70000, /* E0 */
    0xF0FF00CC00000099, /* F0 */
};

/* Intel SDM vol. 2 table A-3; AMD APM vol. 3 tables. */
static const uint64_t tp_shapes_0f[16] = {
    0x9999F00000F0F90A, /* 00 */
    0x9999999999999999, /* 10 */
    0xDDDDFFFF99999999, /* 20 */
    0x000000F0FFFFFFFF, /* 30 */
    0x9999999999999999, /* 40 */
    0x9999999999999999, /* 50 */
    0x9999999999999999, /* 60 */
    0xAAAA9990E9999999, /* 70 */
    0x8888888888888888, /* 80 */
    0x9999999999999999, /* 90 */
    0x0009A9990009A999, /* A0 */
    0x9999999999A99999, /* B0 */
    0x99A9AAA900000000, /* C0 */
    0x9999999999999999, /* D0 */
    0x9999999999999999, /* E0 */
    0x9999999999999999, /* F0 */
};

/* The maps with a single shape: a digit each, from map 0 at the right. */
static const uint64_t tp_shapes_of_maps = 0xFFFFFB9AF99FA9FF;

/* Bytes of the immediate, a digit for each shape, from shape 0 at the right: as such, with 66, with REX.W. */
static const uint64_t tp_immediate_sizes = 0x0000410418443210;
static const uint64_t tp_immediate_sizes_16_bit = 0x0000210418223210;
static const uint64_t tp_immediate_sizes_wide = 0x0000410418843210;

static inline unsigned tp_shape(const uint64_t rows[16], uint8_t opcode) {
    return (unsigned)(rows[opcode >> 4] >> (60 - 4 * (opcode & 15))) & 15;
}

#endif
