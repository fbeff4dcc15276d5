/* SPDX-License-Identifier: MIT */
/*
 * Opcodes by what they are and by which registers they write.
 *
 * What for
 *   classify.c is the only reader.
 *
 * How it works
 *   A row is a range of opcodes of one map; in a group, `extensions` narrows it to values of ModRM.reg. The
 *   value is a kind in the first table and a set of operands in the second. An opcode that no row names is
 *   TP_INSN_OTHER, and writes no general register by an operand.
 *
 * Example
 *   {TP_INSN_MAP_ONE_BYTE, 0xff, 0xff, GROUP(2), TP_INSN_CALL_INDIRECT}      // ff /2
 *
 * Edge cases
 *   Where prefixes or a whole ModRM byte decide, classify.c corrects what it found here. The arithmetic of
 *   00-3F has no rows, as its operands follow from the opcode's bits.
 */
#ifndef TP_INSN_CLASSIFY_TABLES_H
#define TP_INSN_CLASSIFY_TABLES_H

#include "../insn/decode.h"

struct tp_opcode_range {
    uint8_t map; /* + TP_RANGE_VEX */
    uint8_t first, last;
    uint8_t extensions; /* a bit for each value of ModRM.reg */
    uint8_t value;
};

enum { TP_RANGE_VEX = 0x10 };

enum tp_written_operand {
    TP_WRITES_REG = 1 << 0,    /* ModRM.reg */
    TP_WRITES_RM = 1 << 1,     /* ModRM.rm, if it is a register */
    TP_WRITES_OPCODE = 1 << 2, /* the register in the opcode's low three bits */
    TP_WRITES_SECOND = 1 << 3, /* VEX.vvvv */
    TP_WRITES_BYTE = 1 << 4,   /* a byte register */
    TP_WRITES_SIZED = 1 << 5,  /* a byte register if the opcode is even */
};

#define ALL 0xff
#define GROUP(extension) (1 << (extension))
#define ONE TP_INSN_MAP_ONE_BYTE
#define TWO TP_INSN_MAP_0F
#define VEX(map) (TP_RANGE_VEX | (map))

static const struct tp_opcode_range tp_kind_ranges[] = {
    {ONE, 0x50, 0x57, ALL, TP_INSN_PUSH},
    {ONE, 0x58, 0x5f, ALL, TP_INSN_POP},
    {ONE, 0x68, 0x68, ALL, TP_INSN_PUSH},
    {ONE, 0x6a, 0x6a, ALL, TP_INSN_PUSH},
    {ONE, 0x70, 0x7f, ALL, TP_INSN_JCC_RELATIVE},
    {ONE, 0x8f, 0x8f, GROUP(0), TP_INSN_POP},
    {ONE, 0x90, 0x90, ALL, TP_INSN_NOP},
    {ONE, 0x9c, 0x9c, ALL, TP_INSN_PUSHF},
    {ONE, 0x9d, 0x9d, ALL, TP_INSN_POPF},
    {ONE, 0xc2, 0xc3, ALL, TP_INSN_RET},
    {ONE, 0xc7, 0xc7, GROUP(7), TP_INSN_XBEGIN},
    {ONE, 0xc8, 0xc8, ALL, TP_INSN_ENTER},
    {ONE, 0xc9, 0xc9, ALL, TP_INSN_LEAVE},
    {ONE, 0xca, 0xcb, ALL, TP_INSN_RET_FAR},
    {ONE, 0xcc, 0xcc, ALL, TP_INSN_INT3},
    {ONE, 0xcd, 0xcd, ALL, TP_INSN_INT},
    {ONE, 0xcf, 0xcf, ALL, TP_INSN_IRET},
    {ONE, 0xe0, 0xe3, ALL, TP_INSN_LOOP},
    {ONE, 0xe8, 0xe8, ALL, TP_INSN_CALL_RELATIVE},
    {ONE, 0xe9, 0xe9, ALL, TP_INSN_JMP_RELATIVE},
    {ONE, 0xeb, 0xeb, ALL, TP_INSN_JMP_RELATIVE},
    {ONE, 0xf1, 0xf1, ALL, TP_INSN_INT},
    {ONE, 0xf4, 0xf4, ALL, TP_INSN_HLT},
    {ONE, 0xff, 0xff, GROUP(2), TP_INSN_CALL_INDIRECT},
    {ONE, 0xff, 0xff, GROUP(3), TP_INSN_CALL_FAR},
    {ONE, 0xff, 0xff, GROUP(4), TP_INSN_JMP_INDIRECT},
    {ONE, 0xff, 0xff, GROUP(5), TP_INSN_JMP_FAR},
    {ONE, 0xff, 0xff, GROUP(6), TP_INSN_PUSH},
    {TWO, 0x01, 0x01, GROUP(1) | GROUP(5), TP_INSN_IRET},
    {TWO, 0x05, 0x05, ALL, TP_INSN_SYSCALL},
    {TWO, 0x07, 0x07, ALL, TP_INSN_SYSRET},
    {TWO, 0x0b, 0x0b, ALL, TP_INSN_UD},
    {TWO, 0x1f, 0x1f, GROUP(0), TP_INSN_NOP},
    {TWO, 0x34, 0x34, ALL, TP_INSN_SYSCALL},
    {TWO, 0x35, 0x35, ALL, TP_INSN_SYSRET},
    {TWO, 0x80, 0x8f, ALL, TP_INSN_JCC_RELATIVE},
    {TWO, 0xa0, 0xa0, ALL, TP_INSN_PUSH},
    {TWO, 0xa1, 0xa1, ALL, TP_INSN_POP},
    {TWO, 0xa8, 0xa8, ALL, TP_INSN_PUSH},
    {TWO, 0xa9, 0xa9, ALL, TP_INSN_POP},
    {TWO, 0xb9, 0xb9, ALL, TP_INSN_UD},
    {TWO, 0xff, 0xff, ALL, TP_INSN_UD},
};

/* As the instructions' own pages say (SDM vol. 2 chapters 3 to 5, APM vol. 3 chapters 3 and 4). */
static const struct tp_opcode_range tp_write_ranges[] = {
    {ONE, 0x63, 0x63, ALL, TP_WRITES_REG},
    {ONE, 0x69, 0x69, ALL, TP_WRITES_REG},
    {ONE, 0x6b, 0x6b, ALL, TP_WRITES_REG},
    {ONE, 0x80, 0x83, ALL - GROUP(7), TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0x86, 0x87, ALL, TP_WRITES_REG | TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0x88, 0x89, ALL, TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0x8a, 0x8b, ALL, TP_WRITES_REG | TP_WRITES_SIZED},
    {ONE, 0x8c, 0x8c, ALL, TP_WRITES_RM},
    {ONE, 0x8d, 0x8d, ALL, TP_WRITES_REG},
    {ONE, 0x91, 0x97, ALL, TP_WRITES_OPCODE},
    {ONE, 0xb0, 0xb7, ALL, TP_WRITES_OPCODE | TP_WRITES_BYTE},
    {ONE, 0xb8, 0xbf, ALL, TP_WRITES_OPCODE},
    {ONE, 0xc0, 0xc1, ALL, TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0xc6, 0xc7, GROUP(0), TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0xd0, 0xd3, ALL, TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0xf6, 0xf7, GROUP(2) | GROUP(3), TP_WRITES_RM | TP_WRITES_SIZED},
    {ONE, 0xfe, 0xff, GROUP(0) | GROUP(1), TP_WRITES_RM | TP_WRITES_SIZED},
    {TWO, 0x00, 0x00, GROUP(0) | GROUP(1), TP_WRITES_RM},
    {TWO, 0x01, 0x01, GROUP(4), TP_WRITES_RM},
    {TWO, 0x02, 0x03, ALL, TP_WRITES_REG},
    {TWO, 0x1e, 0x1e, GROUP(1), TP_WRITES_RM},
    {TWO, 0x20, 0x21, ALL, TP_WRITES_RM},
    {TWO, 0x2c, 0x2d, ALL, TP_WRITES_REG},
    {TWO, 0x40, 0x50, ALL, TP_WRITES_REG},
    {TWO, 0x78, 0x78, ALL, TP_WRITES_RM},
    {TWO, 0x7e, 0x7e, ALL, TP_WRITES_RM},
    {TWO, 0x90, 0x9f, ALL, TP_WRITES_RM | TP_WRITES_BYTE},
    {TWO, 0xa4, 0xa5, ALL, TP_WRITES_RM},
    {TWO, 0xab, 0xad, ALL, TP_WRITES_RM},
    {TWO, 0xae, 0xae, GROUP(0) | GROUP(1), TP_WRITES_RM},
    {TWO, 0xaf, 0xaf, ALL, TP_WRITES_REG},
    {TWO, 0xb0, 0xb1, ALL, TP_WRITES_RM | TP_WRITES_SIZED},
    {TWO, 0xb2, 0xb2, ALL, TP_WRITES_REG},
    {TWO, 0xb3, 0xb3, ALL, TP_WRITES_RM},
    {TWO, 0xb4, 0xb8, ALL, TP_WRITES_REG},
    {TWO, 0xba, 0xba, GROUP(5) | GROUP(6) | GROUP(7), TP_WRITES_RM},
    {TWO, 0xbb, 0xbb, ALL, TP_WRITES_RM},
    {TWO, 0xbc, 0xbf, ALL, TP_WRITES_REG},
    {TWO, 0xc0, 0xc1, ALL, TP_WRITES_REG | TP_WRITES_RM | TP_WRITES_SIZED},
    {TWO, 0xc5, 0xc5, ALL, TP_WRITES_REG},
    {TWO, 0xc7, 0xc7, GROUP(6) | GROUP(7), TP_WRITES_RM},
    {TWO, 0xc8, 0xcf, ALL, TP_WRITES_OPCODE},
    {TWO, 0xd7, 0xd7, ALL, TP_WRITES_REG},
    {TP_INSN_MAP_0F38, 0x8a, 0x8b, ALL, TP_WRITES_REG},
    {TP_INSN_MAP_0F38, 0xf0, 0xf6, ALL, TP_WRITES_REG},
    {TP_INSN_MAP_0F38, 0xf8, 0xfb, ALL, TP_WRITES_REG | TP_WRITES_RM},
    {TP_INSN_MAP_0F3A, 0x14, 0x17, ALL, TP_WRITES_RM},
    {VEX(1), 0x2c, 0x2d, ALL, TP_WRITES_REG},
    {VEX(1), 0x50, 0x50, ALL, TP_WRITES_REG},
    {VEX(1), 0x78, 0x79, ALL, TP_WRITES_REG},
    {VEX(1), 0x7e, 0x7e, ALL, TP_WRITES_RM},
    {VEX(1), 0x93, 0x93, ALL, TP_WRITES_REG},
    {VEX(1), 0xc5, 0xc5, ALL, TP_WRITES_REG},
    {VEX(1), 0xd7, 0xd7, ALL, TP_WRITES_REG},
    {VEX(2), 0xe0, 0xef, ALL, TP_WRITES_REG | TP_WRITES_SECOND},
    {VEX(2), 0xf2, 0xf7, ALL, TP_WRITES_REG | TP_WRITES_SECOND},
    {VEX(3), 0x14, 0x17, ALL, TP_WRITES_RM},
    {VEX(3), 0xf0, 0xf0, ALL, TP_WRITES_REG},
    {VEX(5), 0x2c, 0x2d, ALL, TP_WRITES_REG},
    {VEX(5), 0x78, 0x7e, ALL, TP_WRITES_REG | TP_WRITES_RM},
    {VEX(9), 0x01, 0x02, ALL, TP_WRITES_SECOND},
    {VEX(9), 0x12, 0x12, ALL, TP_WRITES_RM},
    {VEX(10), 0x10, 0x12, ALL, TP_WRITES_REG | TP_WRITES_SECOND},
};

#undef ALL
#undef GROUP
#undef ONE
#undef TWO
#undef VEX

#endif
