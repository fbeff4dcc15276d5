/* SPDX-License-Identifier: MIT */
/*
 * The instruction decoder on instructions that kernels patch, written down by hand.
 *
 * Cases
 *   known                  kind, length, operand, condition, stack and flags of about 90 instructions
 *   farthest_stack_change  sub rsp of -2^31 can't be told
 *   undefined              opcodes that 64-bit mode doesn't have
 *   too_long               prefixes up to and beyond 15 bytes
 *   walk                   boundaries, count, errors, the longest sequence
 *   target                 of short, near, conditional and RIP-relative operands
 *   padding                who may be prefixed by 2e
 *
 * All bytes stand flush against an unreadable page.
 */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "insn/decode.h"

enum { ROOM = 16 };

static uint8_t *page_end;

static uint8_t *place(const uint8_t *bytes, size_t length) {
    return memcpy(page_end - length, bytes, length);
}

static void too_long(void **state) {
    (void)state;
    uint8_t bytes[32];
    struct tp_insn insn;
    for (unsigned prefixes = 0; prefixes < sizeof bytes; prefixes++) {
        memset(bytes, 0x2e, sizeof bytes);
        bytes[prefixes] = 0x90;
        const uint8_t *text = place(bytes, prefixes + 1);
        assert_int_equal(tp_insn_decode(text, text + prefixes + 1, &insn),
                         prefixes < 15 ? TP_OK : TP_ERR_BAD_INSN);
        text = place(bytes, prefixes);
        assert_int_equal(tp_insn_decode(text, text + prefixes, &insn),
                         prefixes < 15 ? TP_ERR_TRUNCATED_INSN : TP_ERR_BAD_INSN);
    }
    /* Longest by its operands: 15 bytes are an instruction, 16 aren't. */
    for (unsigned prefixes = 0; prefixes < 8; prefixes++) {
        static const uint8_t body[] = {0x48, 0x81, 0x84, 0x24, 0, 0, 0, 0, 0, 0, 0, 0};
        memset(bytes, 0x2e, sizeof bytes);
        memcpy(bytes + prefixes, body, sizeof body);
        for (unsigned kept = 0; kept <= prefixes + sizeof body; kept++) {
            const uint8_t *text = place(bytes, kept);
            enum tp_status status = tp_insn_decode(text, text + kept, &insn);
            bool is_whole = kept == prefixes + sizeof body;
            if (kept < TP_INSN_LONGEST || (is_whole && kept == TP_INSN_LONGEST))
                assert_int_equal(status, is_whole ? TP_OK : TP_ERR_TRUNCATED_INSN);
            else
                assert_int_equal(status, TP_ERR_BAD_INSN);
        }
    }
}

struct known {
    const char *bytes;
    unsigned length, kind, operand_offset, operand_size, flags, condition;
    int stack;
};

enum {
    KNOWN = TP_INSN_STACK_KNOWN,
    MOVES = TP_INSN_STACK_CHANGES,
    MOVES_BY = TP_INSN_STACK_CHANGES | TP_INSN_STACK_KNOWN,
    ENDS = TP_INSN_ENDS_FLOW,
    MODRM = TP_INSN_HAS_MODRM,
    RIP = TP_INSN_RIP_RELATIVE | TP_INSN_HAS_MODRM,
    SEGMENT = TP_INSN_HAS_LEGACY_PREFIX | TP_INSN_HAS_SEGMENT_PREFIX,
    SIZE = TP_INSN_HAS_LEGACY_PREFIX | TP_INSN_HAS_OPERAND_SIZE_PREFIX,
    ADDRESS = TP_INSN_HAS_LEGACY_PREFIX | TP_INSN_HAS_ADDRESS_SIZE_PREFIX,
    REPEAT = TP_INSN_HAS_LEGACY_PREFIX | TP_INSN_HAS_REPEAT_PREFIX,
    LOCK = TP_INSN_HAS_LEGACY_PREFIX | TP_INSN_HAS_LOCK_PREFIX,
    VENDOR = TP_INSN_VENDOR_DEPENDENT,
};

/*
 * 0 bytes can't stand in these strings before the end of the instruction's written part; the rest is zeros.
 */
static const struct known known_instructions[] = {
    {"\xe8", 5, TP_INSN_CALL_RELATIVE, 1, 4, KNOWN, 0, 0},
    {"\x2e\xe8", 6, TP_INSN_CALL_RELATIVE, 2, 4, KNOWN | SEGMENT, 0, 0},
    {"\x66\xe8", 6, TP_INSN_CALL_RELATIVE, 2, 4, KNOWN | SIZE | VENDOR, 0, 0},
    {"\x66\x48\xe8", 7, TP_INSN_CALL_RELATIVE, 3, 4, KNOWN | SIZE, 0, 0},
    {"\xe9", 5, TP_INSN_JMP_RELATIVE, 1, 4, KNOWN | ENDS, 0, 0},
    {"\xeb", 2, TP_INSN_JMP_RELATIVE, 1, 1, KNOWN | ENDS, 0, 0},
    {"\x66\xeb", 3, TP_INSN_JMP_RELATIVE, 2, 1, KNOWN | ENDS | SIZE | VENDOR, 0, 0},
    {"\x74", 2, TP_INSN_JCC_RELATIVE, 1, 1, KNOWN, 4, 0},
    {"\x0f\x8f", 6, TP_INSN_JCC_RELATIVE, 2, 4, KNOWN, 15, 0},
    {"\x66\x0f\x85", 7, TP_INSN_JCC_RELATIVE, 3, 4, KNOWN | SIZE | VENDOR, 5, 0},
    {"\xe0", 2, TP_INSN_LOOP, 1, 1, KNOWN, 0, 0},
    {"\xe3", 2, TP_INSN_LOOP, 1, 1, KNOWN, 0, 0},
    {"\x67\xe3", 3, TP_INSN_LOOP, 2, 1, KNOWN | ADDRESS, 0, 0},
    {"\xc7\xf8", 6, TP_INSN_XBEGIN, 2, 4, KNOWN | MODRM, 0, 0},
    {"\x66\xc7\xf8", 5, TP_INSN_XBEGIN, 3, 2, KNOWN | MODRM | SIZE, 0, 0},
    {"\xff\x15", 6, TP_INSN_CALL_INDIRECT, 2, 4, KNOWN | RIP, 0, 0},
    {"\x2e\xff\x15", 7, TP_INSN_CALL_INDIRECT, 3, 4, KNOWN | RIP | SEGMENT, 0, 0},
    {"\xff\x25", 6, TP_INSN_JMP_INDIRECT, 2, 4, KNOWN | RIP | ENDS, 0, 0},
    {"\xff\xd0", 2, TP_INSN_CALL_INDIRECT, 0, 0, KNOWN | MODRM, 0, 0},
    {"\x3e\xff\xe0", 3, TP_INSN_JMP_INDIRECT, 0, 0, KNOWN | MODRM | ENDS | SEGMENT, 0, 0},
    {"\xff\x18", 2, TP_INSN_CALL_FAR, 0, 0, KNOWN | MODRM, 0, 0},
    {"\x48\xff\x28", 3, TP_INSN_JMP_FAR, 0, 0, KNOWN | MODRM | ENDS, 0, 0},
    {"\xc3", 1, TP_INSN_RET, 0, 0, MOVES_BY | ENDS, 0, 8},
    {"\xf3\xc3", 2, TP_INSN_RET, 0, 0, MOVES_BY | ENDS | REPEAT, 0, 8},
    {"\xc2\x10", 3, TP_INSN_RET, 0, 0, MOVES_BY | ENDS, 0, 24},
    {"\xc2\xff\xff", 3, TP_INSN_RET, 0, 0, MOVES_BY | ENDS, 0, 65543},
    {"\x66\xc3", 2, TP_INSN_RET, 0, 0, MOVES | ENDS | SIZE | VENDOR, 0, 0},
    {"\x48\xcb", 2, TP_INSN_RET_FAR, 0, 0, MOVES | ENDS, 0, 0},
    {"\x48\xcf", 2, TP_INSN_IRET, 0, 0, MOVES | ENDS, 0, 0},
    {"\xf2\x0f\x01\xca", 4, TP_INSN_IRET, 0, 0, MOVES | ENDS | REPEAT | MODRM, 0, 0}, /* erets */
    {"\xf3\x0f\x01\xca", 4, TP_INSN_IRET, 0, 0, MOVES | ENDS | REPEAT | MODRM, 0, 0}, /* eretu */
    {"\x0f\x01\xca", 3, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0},                    /* clac */
    {"\x0f\x01\xf8", 3, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0},                    /* swapgs */
    {"\x0f\x05", 2, TP_INSN_SYSCALL, 0, 0, KNOWN, 0, 0},
    {"\x48\x0f\x07", 3, TP_INSN_SYSRET, 0, 0, MOVES | ENDS, 0, 0},
    {"\x50", 1, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\x41\x57", 2, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\x66\x50", 2, TP_INSN_PUSH, 0, 0, MOVES_BY | SIZE, 0, -2},
    {"\x54", 1, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\x6a", 2, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\x68", 5, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\xff\x35", 6, TP_INSN_PUSH, 2, 4, MOVES_BY | RIP, 0, -8},
    {"\x0f\xa0", 2, TP_INSN_PUSH, 0, 0, MOVES_BY, 0, -8},
    {"\x58", 1, TP_INSN_POP, 0, 0, MOVES_BY, 0, 8},
    {"\x5c", 1, TP_INSN_POP, 0, 0, MOVES, 0, 0},
    {"\x41\x5c", 2, TP_INSN_POP, 0, 0, MOVES_BY, 0, 8},
    {"\x8f\xc4", 2, TP_INSN_POP, 0, 0, MOVES | MODRM, 0, 0},
    {"\x8f\x04\x24", 3, TP_INSN_POP, 0, 0, MOVES_BY | MODRM, 0, 8},
    {"\x9c", 1, TP_INSN_PUSHF, 0, 0, MOVES_BY, 0, -8},
    {"\x9d", 1, TP_INSN_POPF, 0, 0, MOVES_BY, 0, 8},
    {"\x48\x83\xc4\x10", 4, TP_INSN_ADD_RSP, 0, 0, MOVES_BY | MODRM, 0, 16},
    {"\x48\x83\xec\x10", 4, TP_INSN_SUB_RSP, 0, 0, MOVES_BY | MODRM, 0, -16},
    {"\x48\x83\xec\x80", 4, TP_INSN_SUB_RSP, 0, 0, MOVES_BY | MODRM, 0, 128},
    {"\x48\x81\xec\x88\x01", 7, TP_INSN_SUB_RSP, 0, 0, MOVES_BY | MODRM, 0, -0x188},
    {"\x48\x81\xec\x01\x01\x01\x80", 7, TP_INSN_SUB_RSP, 0, 0, MOVES_BY | MODRM, 0, 0x7ffefeff},
    {"\x83\xc4\x10", 3, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0},     /* add esp */
    {"\x49\x83\xc4\x10", 4, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0}, /* add r12 */
    {"\x48\x83\xfc\x10", 4, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0}, /* cmp rsp */
    {"\x48\x83\xe4\xf0", 4, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0}, /* and rsp */
    {"\x48\x8d\x64\x24\xf8", 5, TP_INSN_LEA_RSP, 0, 0, MOVES_BY | MODRM, 0, -8},
    {"\x48\x8d\xa4\x24\x88\x01", 8, TP_INSN_LEA_RSP, 0, 0, MOVES_BY | MODRM, 0, 0x188},
    {"\x48\x8d\x64\x04\xf8", 5, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0}, /* with index rax */
    {"\x48\x8d\x65\xf8", 4, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0},     /* of rbp */
    {"\x48\x89\xec", 3, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0},         /* mov rsp, rbp */
    {"\x48\x89\xe5", 3, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0},         /* mov rbp, rsp */
    {"\x88\xc4", 2, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0},             /* mov ah, al */
    {"\x40\x88\xc4", 3, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0},         /* mov spl, al */
    {"\xc9", 1, TP_INSN_LEAVE, 0, 0, MOVES, 0, 0},
    {"\xc8\x20", 4, TP_INSN_ENTER, 0, 0, MOVES_BY, 0, -40},
    {"\xc8\x20\x01\x01", 4, TP_INSN_ENTER, 0, 0, MOVES, 0, 0},
    {"\xcc", 1, TP_INSN_INT3, 0, 0, KNOWN, 0, 0},
    {"\xcd\x80", 2, TP_INSN_INT, 0, 0, KNOWN, 0, 0},
    {"\x90", 1, TP_INSN_NOP, 0, 0, KNOWN, 0, 0},
    {"\x66\x66\x90", 3, TP_INSN_NOP, 0, 0, KNOWN | SIZE, 0, 0},
    {"\xf3\x90", 2, TP_INSN_OTHER, 0, 0, KNOWN | REPEAT, 0, 0}, /* pause */
    {"\x41\x90", 2, TP_INSN_OTHER, 0, 0, KNOWN, 0, 0},          /* xchg r8, rax */
    {"\x66\x2e\x0f\x1f\x84", 10, TP_INSN_NOP, 0, 0, KNOWN | MODRM | SIZE | SEGMENT, 0, 0},
    {"\xf0\x0f\x1f", 4, TP_INSN_OTHER, 0, 0, KNOWN | MODRM | LOCK, 0, 0},
    {"\x0f\x0b", 2, TP_INSN_UD, 0, 0, KNOWN | ENDS, 0, 0},
    {"\x0f\xff", 3, TP_INSN_UD, 0, 0, KNOWN | ENDS | MODRM | VENDOR, 0, 0},
    {"\xf4", 1, TP_INSN_HLT, 0, 0, KNOWN, 0, 0},
    {"\xfa", 1, TP_INSN_OTHER, 0, 0, KNOWN, 0, 0},
    {"\xa0", 9, TP_INSN_OTHER, 0, 0, KNOWN, 0, 0},
    {"\x67\xa3", 6, TP_INSN_OTHER, 0, 0, KNOWN | ADDRESS, 0, 0},
    {"\x48\xb8", 10, TP_INSN_OTHER, 0, 0, KNOWN, 0, 0},
    {"\x48\xbc", 10, TP_INSN_OTHER, 0, 0, MOVES, 0, 0}, /* mov rsp, imm64 */
    {"\xf6\x05", 7, TP_INSN_OTHER, 2, 4, KNOWN | RIP, 0, 0},
    {"\xf7\x15", 6, TP_INSN_OTHER, 2, 4, KNOWN | RIP, 0, 0},
    {"\x66\x0f\x78\xc0", 6, TP_INSN_OTHER, 0, 0, KNOWN | MODRM | SIZE, 0, 0},  /* extrq */
    {"\x0f\x20\x25", 3, TP_INSN_OTHER, 0, 0, KNOWN | MODRM, 0, 0},             /* mov rbp, cr4: no memory */
    {"\x0f\x20\x24", 3, TP_INSN_OTHER, 0, 0, MOVES | MODRM, 0, 0},             /* mov rsp, cr4: no SIB */
    {"\x65\x48\x8b\x25", 8, TP_INSN_OTHER, 4, 4, MOVES | RIP | SEGMENT, 0, 0}, /* mov rsp, gs:[rip] */
    {"\x0f\x0f\x05", 8, TP_INSN_OTHER, 3, 4, KNOWN | RIP, 0, 0},               /* 3DNow! */
};

static void known(void **state) {
    (void)state;
    for (unsigned index = 0; index < sizeof known_instructions / sizeof known_instructions[0]; index++) {
        const struct known *expected = &known_instructions[index];
        uint8_t bytes[ROOM] = {0};
        struct tp_insn insn;
        memcpy(bytes, expected->bytes, strlen(expected->bytes));
        const uint8_t *text = place(bytes, expected->length);
        assert_int_equal(tp_insn_decode(text, text + expected->length, &insn), TP_OK);
        if (insn.length != expected->length || insn.kind != expected->kind || insn.flags != expected->flags)
            print_error("known_instructions[%u]\n", index);
        assert_int_equal(insn.length, expected->length);
        assert_int_equal(insn.kind, expected->kind);
        assert_int_equal(insn.operand_offset, expected->operand_offset);
        assert_int_equal(insn.operand_size, expected->operand_size);
        assert_int_equal(insn.flags, expected->flags);
        assert_int_equal(insn.condition, expected->condition);
        assert_int_equal(insn.stack, expected->stack);
    }
}

/* -INT32_MIN is no int32_t. */
static void farthest_stack_change(void **state) {
    static const uint8_t bytes[] = {0x48, 0x81, 0xec, 0x00, 0x00, 0x00, 0x80};
    struct tp_insn insn;
    (void)state;
    assert_int_equal(tp_insn_decode(bytes, bytes + sizeof bytes, &insn), TP_OK);
    assert_int_equal(insn.kind, TP_INSN_OTHER);
    assert_int_equal(insn.flags & MOVES_BY, MOVES);
    assert_int_equal(insn.stack, 0);
}

static void undefined(void **state) {
    static const uint8_t one_byte[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                                       0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea};
    static const uint8_t two_byte[] = {0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3f};
    struct tp_insn insn;
    (void)state;
    for (unsigned index = 0; index < sizeof one_byte; index++) {
        uint8_t bytes[ROOM] = {one_byte[index]};
        assert_int_equal(tp_insn_decode(bytes, bytes + ROOM, &insn), TP_ERR_BAD_INSN);
        assert_int_equal(tp_insn_decode(bytes, bytes + 1, &insn), TP_ERR_BAD_INSN);
    }
    for (unsigned index = 0; index < sizeof two_byte; index++) {
        uint8_t bytes[ROOM] = {0x0f, two_byte[index]};
        assert_int_equal(tp_insn_decode(bytes, bytes + ROOM, &insn), TP_ERR_BAD_INSN);
    }
}

static void walk(void **state) {
    /* pushf; pop rax; mov [rip + 0], rax; jne; ret */
    static const uint8_t text[] = {0x9c, 0x58, 0x48, 0x89, 0x05, 0, 0, 0, 0, 0x75, 0x00, 0xc3};
    uint8_t many[TP_INSN_WALK_MAX + 1];
    uint8_t boundaries[TP_INSN_WALK_MAX / 8];
    unsigned count;
    (void)state;
    assert_int_equal(tp_insn_walk(text, sizeof text, boundaries, &count), TP_OK);
    assert_int_equal(count, 5);
    assert_int_equal(boundaries[0], 0x07);
    assert_int_equal(boundaries[1], 0x0a);
    for (unsigned byte = 2; byte < sizeof boundaries; byte++)
        assert_int_equal(boundaries[byte], 0);
    assert_int_equal(tp_insn_walk(text, 8, boundaries, &count), TP_ERR_TRUNCATED_INSN);
    assert_int_equal(count, 2);
    assert_int_equal(boundaries[0], 0x03);
    assert_int_equal(tp_insn_walk(text, 0, boundaries, &count), TP_OK);
    assert_int_equal(count, 0);
    assert_int_equal(boundaries[0], 0);
    memset(many, 0x90, sizeof many);
    assert_int_equal(tp_insn_walk(many, TP_INSN_WALK_MAX, boundaries, &count), TP_OK);
    assert_int_equal(count, TP_INSN_WALK_MAX);
    assert_int_equal(boundaries[31], 0xff);
    assert_int_equal(tp_insn_walk(many, TP_INSN_WALK_MAX + 1, boundaries, &count), TP_ERR_BAD_ARGUMENT);
    many[3] = 0x06;
    assert_int_equal(tp_insn_walk(many, 8, boundaries, &count), TP_ERR_BAD_INSN);
    assert_int_equal(count, 3);
}

static uintptr_t target_of(const char *bytes, size_t length, uintptr_t address) {
    struct tp_insn insn;
    const uint8_t *text = place((const uint8_t *)bytes, length);
    assert_int_equal(tp_insn_decode(text, text + length, &insn), TP_OK);
    return tp_insn_target(&insn, text, address);
}

static void target(void **state) {
    (void)state;
    assert_int_equal(target_of("\xeb\xfe", 2, 0x1000), 0x1000);
    assert_int_equal(target_of("\x75\x7f", 2, 0x1000), 0x1081);
    assert_int_equal(target_of("\x75\x80", 2, 0x1000), 0xf82);
    assert_int_equal(target_of("\xe8\x01\x02\x03\x04", 5, 0x1000), 0x1005 + 0x04030201);
    assert_int_equal(target_of("\x2e\xe8\xff\xff\xff\xff", 6, 0xffffffff81000000), 0xffffffff81000005);
    assert_int_equal(target_of("\xe9\x00\x00\x00\x80", 5, 0xffffffff81000000), 0xffffffff01000005);
    assert_int_equal(target_of("\x0f\x84\x10\x00\x00\x00", 6, 0x1000), 0x1016);
    /* With an immediate behind the displacement, the end of the instruction still is what counts. */
    assert_int_equal(target_of("\xc7\x05\x10\x00\x00\x00\x44\x33\x22\x11", 10, 0x1000), 0x101a);
    assert_int_equal(target_of("\x66\xc7\xf8\xfe\xff", 5, 0x1000), 0x1003);
    assert_int_equal(target_of("\x90", 1, 0x1000), 0x1001);
}

static bool may_be_padded(const char *bytes, size_t length, unsigned padding) {
    struct tp_insn insn;
    const uint8_t *text = place((const uint8_t *)bytes, length);
    assert_int_equal(tp_insn_decode(text, text + length, &insn), TP_OK);
    return tp_insn_may_be_padded(&insn, padding);
}

static void padding(void **state) {
    (void)state;
    assert_true(may_be_padded("\xe8\0\0\0\0", 5, 10));
    assert_false(may_be_padded("\xe8\0\0\0\0", 5, 11));
    assert_false(may_be_padded("\xe8\0\0\0\0", 5, 0xfffffffb));
    assert_true(may_be_padded("\x66\x48\xe8\0\0\0\0", 7, 8));
    assert_false(may_be_padded("\x2e\xe8\0\0\0\0", 6, 1));
    assert_false(may_be_padded("\x64\x8b\x00", 3, 1));
    assert_false(may_be_padded("\x74\x00", 2, 1));
    assert_false(may_be_padded("\x0f\x84\0\0\0\0", 6, 1));
    assert_false(may_be_padded("\xe2\x00", 2, 1));
    assert_false(may_be_padded("\xcc", 1, 1));
    assert_false(may_be_padded("\x66\xe8\0\0\0\0", 6, 1));
    assert_true(may_be_padded("\xff\x15\0\0\0\0", 6, 9));
    assert_true(may_be_padded("\xfa", 1, 14));
    assert_true(may_be_padded("\xc5\xf8\x77", 3, 3));
}

static void make_guarded_page(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE)) {
        perror("insn_known_test");
        exit(1);
    }
    page_end = pages + page;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known),     cmocka_unit_test(farthest_stack_change),
        cmocka_unit_test(undefined), cmocka_unit_test(too_long),
        cmocka_unit_test(walk),      cmocka_unit_test(target),
        cmocka_unit_test(padding),
    };
    make_guarded_page();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
