/* SPDX-License-Identifier: MIT */
/*
 * Instruction lengths and operands, for 64-bit mode.
 *
 * What for
 *   Everything above this floor treats text as instructions: where they begin, how long they are, which bytes
 *   depend on the address they run at, and what they do to the stack pointer. This file answers those
 *   questions and no others: it is not a disassembler and doesn't know what most instructions compute.
 *
 * Calls
 *   tp_insn_decode()         one instruction
 *   tp_insn_walk()           all instructions of a sequence, as a bitmap of their first bytes
 *   tp_insn_displacement()   value of the PC-relative field
 *   tp_insn_target()         where that field points
 *   tp_insn_may_be_padded()  whether 2e prefixes may be put in front
 *
 * Example
 *   struct tp_insn insn;
 *   if (tp_insn_decode(text, text + size, &insn) == TP_OK && insn.kind == TP_INSN_CALL_RELATIVE)
 *       callee = tp_insn_target(&insn, text, (uintptr_t)text);
 *
 * How it works
 *   Length is a matter of layout, not of meaning: prefixes, an escape that selects an opcode map, an opcode,
 *   and from the map and the opcode a "shape", which says whether ModRM follows and how long the immediate
 *   is. The shapes are one hex digit an opcode (decode_tables.h), in the order of the manuals' opcode maps
 *   (Intel SDM vol. 2 appendix A, AMD APM vol. 3 appendix A). Maps 0F38 and 0F3A and all VEX, EVEX and XOP
 *   maps beyond the first have a single shape each. When the length is sure, classify.c adds kind, flags and
 *   stack change.
 *
 * Edge cases
 *   - No byte at or past `end` is read, and never more than 15. `end` must not be below `bytes`.
 *   - An opcode that no manual defines in map 0F38, 0F3A or in a VEX, EVEX or XOP map still has a length,
 *     since the map alone decides it; so text from newer CPUs can be walked. Nor is a LOCK prefix where it
 *     isn't allowed, or an undefined member of a group, an error here. Undefined opcodes of the first two
 *     maps are TP_ERR_BAD_INSN, and so are the encodings of APX (REX2, EVEX map 4) and of the first Xeon Phi
 *     (MVEX, jkzd).
 *   - lea, add and sub count as TP_INSN_LEA_RSP and so on only with the plain REX.W that assemblers emit, and
 *     lea only with a displacement; other ways to write the same have TP_INSN_STACK_CHANGES alone.
 *   - 66 before a near branch: Intel ignores it, AMD truncates the offset to 16 bits, so that even the length
 *     is another (SDM vol. 2, "CALL"; APM vol. 3 section 1.2.2). We give Intel's length and set
 *     TP_INSN_VENDOR_DEPENDENT; so too for UD0 (0F FF), which has ModRM on Intel only.
 *   - A call's stack change is 0: what the caller sees once the callee has returned. `call next; pop` isn't
 *     seen through.
 */
#ifndef TP_INSN_DECODE_H
#define TP_INSN_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/status.h>

enum {
    TP_INSN_LONGEST = 15,   /* Intel SDM vol. 2 section 2.3.11: anything longer is #GP */
    TP_INSN_WALK_MAX = 256, /* bytes that one boundary bitmap can describe */
};

/* Opcode maps, numbered as in VEX.mmmmm, EVEX.mmm and XOP.map_select. */
enum tp_insn_map {
    TP_INSN_MAP_ONE_BYTE = 0,
    TP_INSN_MAP_0F = 1, /* 3DNow! is opcode 0F of this map */
    TP_INSN_MAP_0F38 = 2,
    TP_INSN_MAP_0F3A = 3,
    TP_INSN_MAP_EVEX5 = 5,
    TP_INSN_MAP_EVEX6 = 6,
    TP_INSN_MAP_XOP8 = 8,
    TP_INSN_MAP_XOP9 = 9,
    TP_INSN_MAP_XOPA = 10,
};

enum tp_insn_kind {
    TP_INSN_OTHER,
    TP_INSN_CALL_RELATIVE, /* e8 */
    TP_INSN_JMP_RELATIVE,  /* eb, e9 */
    TP_INSN_JCC_RELATIVE,  /* 7x, 0f 8x */
    TP_INSN_LOOP,          /* loopne, loope, loop, jrcxz: e0-e3 */
    TP_INSN_XBEGIN,        /* c7 f8: its operand is the address of the abort handler */
    TP_INSN_CALL_INDIRECT, /* ff /2 */
    TP_INSN_JMP_INDIRECT,  /* ff /4 */
    TP_INSN_CALL_FAR,      /* ff /3 */
    TP_INSN_JMP_FAR,       /* ff /5 */
    TP_INSN_RET,           /* c3, c2 iw */
    TP_INSN_RET_FAR,       /* cb, ca iw */
    TP_INSN_IRET,          /* iret, eretu, erets, uiret */
    TP_INSN_SYSCALL,       /* syscall, sysenter */
    TP_INSN_SYSRET,        /* sysret, sysexit */
    TP_INSN_PUSH,
    TP_INSN_POP,
    TP_INSN_PUSHF,
    TP_INSN_POPF,
    TP_INSN_ADD_RSP, /* add rsp, immediate */
    TP_INSN_SUB_RSP, /* sub rsp, immediate */
    TP_INSN_LEA_RSP, /* lea rsp, [rsp + displacement] */
    TP_INSN_ENTER,
    TP_INSN_LEAVE,
    TP_INSN_INT3, /* cc */
    TP_INSN_INT,  /* cd ib, f1 */
    TP_INSN_NOP,  /* 90, 66 90, 0f 1f /0, but neither pause nor xchg r8, rax */
    TP_INSN_UD,   /* ud2, ud1, ud0 */
    TP_INSN_HLT,
};

enum tp_insn_flag {
    TP_INSN_HAS_MODRM = 1 << 0,
    TP_INSN_HAS_LEGACY_PREFIX = 1 << 1,       /* any prefix but REX */
    TP_INSN_HAS_SEGMENT_PREFIX = 1 << 2,      /* 26 2e 36 3e 64 65 */
    TP_INSN_HAS_OPERAND_SIZE_PREFIX = 1 << 3, /* 66 */
    TP_INSN_HAS_ADDRESS_SIZE_PREFIX = 1 << 4, /* 67 */
    TP_INSN_HAS_LOCK_PREFIX = 1 << 5,         /* f0 */
    TP_INSN_HAS_REPEAT_PREFIX = 1 << 6,       /* f2 f3 */
    TP_INSN_IS_VEX = 1 << 7,                  /* VEX, EVEX or XOP encoding */
    TP_INSN_RIP_RELATIVE = 1 << 8,            /* the PC-relative field is a memory operand's displacement */
    TP_INSN_STACK_CHANGES = 1 << 9,           /* rsp is, or may be, another after it */
    TP_INSN_STACK_KNOWN = 1 << 10,            /* `stack` says by how much (0 if it doesn't change) */
    TP_INSN_VENDOR_DEPENDENT = 1 << 11,       /* Intel and AMD disagree on length or meaning */
    TP_INSN_ENDS_FLOW = 1 << 12,              /* the next instruction isn't reached by falling through */
};

struct tp_insn {
    uint8_t length;
    uint8_t map;            /* enum tp_insn_map */
    uint8_t opcode;         /* last opcode byte */
    uint8_t modrm;          /* with TP_INSN_HAS_MODRM */
    uint8_t rex;            /* REX byte, or its equal built from VEX, EVEX or XOP; 0 if there is none */
    uint8_t second_source;  /* VEX.vvvv, as a register number */
    uint8_t prefix_bytes;   /* legacy prefixes and REX: the offset of escape, VEX or opcode */
    uint8_t operand_offset; /* the PC-relative field: its offset ... */
    uint8_t operand_size;   /* ... and bytes: 1 or 4 (2 in a 66-prefixed xbegin), 0 if there is none */
    uint8_t condition;      /* TP_INSN_JCC_RELATIVE: 0 (o) to 15 (g) */
    uint8_t kind;           /* enum tp_insn_kind */
    uint32_t flags;         /* enum tp_insn_flag */
    int32_t stack;          /* TP_INSN_STACK_KNOWN: what it adds to rsp; push is -8, ret is +8, call is 0 */
};

/* TP_ERR_TRUNCATED_INSN: `end` comes before the instruction's end. TP_ERR_BAD_INSN: no such instruction. */
TP_MUST_CHECK enum tp_status tp_insn_decode(const uint8_t *bytes, const uint8_t *end, struct tp_insn *insn);

/*
 * Bit n of `boundaries` is set if an instruction starts at bytes[n]; *count is how many there are. The last
 * one must end at `length` exactly, else TP_ERR_TRUNCATED_INSN. More than TP_INSN_WALK_MAX bytes:
 * TP_ERR_BAD_ARGUMENT. On an error, boundaries and count describe the instructions before the one at fault.
 */
TP_MUST_CHECK enum tp_status tp_insn_walk(const uint8_t *bytes, unsigned length,
                                          uint8_t boundaries[TP_INSN_WALK_MAX / 8], unsigned *count);

/* The PC-relative field, sign-extended; `bytes` is the instruction's first. 0 if it has none. */
int32_t tp_insn_displacement(const struct tp_insn *insn, const uint8_t *bytes);

/* What the PC-relative field points at when the instruction runs at `address`. */
uintptr_t tp_insn_target(const struct tp_insn *insn, const uint8_t *bytes, uintptr_t address);

/*
 * May `padding` 0x2e prefixes be put in front without changing what it does? Not if that makes it too long,
 * if it has a segment prefix already (only one of that group may be used), if it is a jcc or a loop (2e is,
 * or was, a branch hint there: Intel SDM vol. 2 section 2.1.1), or if it is an int3 or depends on the vendor.
 */
bool tp_insn_may_be_padded(const struct tp_insn *insn, unsigned padding);

/* Whether execution comes back to its end from elsewhere: calls, int n, syscall. */
bool tp_insn_leaves_return_address(const struct tp_insn *insn);

/* Whether a sequence of whole instructions ends in a call; that call is then in *last. */
bool tp_insn_ends_in_call(const uint8_t *bytes, unsigned length, struct tp_insn *last);

#endif
