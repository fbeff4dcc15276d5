/* SPDX-License-Identifier: MIT */
/*
 * Branches and NOPs, read back by Zydis.
 *
 * Cases
 *   branch_text         call and jmp in every length, as bytes and as text
 *   branch_reach        +2^31-1 and -2^31 from the slot's end are reached, one further isn't; addresses that
 * wrap branch_errors       lengths and opcodes that can't be; nothing is written indirect_text       through
 * a cell, in every length indirect_reach      as branch_reach indirect_errors     as branch_errors jcc_text
 * all conditions, by Zydis' names jcc_reach, jcc_errors jmp_text            short and near jmp_reach -128 and
 * +127, -2^31 and +2^31-1, and one further ends_at_slot        a call's return address doesn't depend on what
 * its slot's length is made up of nops                0 to 64 bytes x longest 9 to 15: NOPs only, at most two
 * of them, or one jump over int3 nop_bytes           the recommended forms, byte by byte nops_long gaps
 * around 127 and up to 1000 bytes nops_out_of_range   `longest` below 9 and above 15 nop_run             what
 * is one and what isn't
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "insn/decode.h"
#include "insn/encode.h"

static const uintptr_t site = 0xffffffff81000000;

enum { CANARY = 0xa5, SPACE = 32 };

static ZydisDecoder decoder;
static ZydisFormatter formatter;

static ZydisDecodedInstruction disassemble(const uint8_t *bytes, size_t length, uintptr_t address, char *text,
                                           size_t text_size) {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &instruction, operands)));
    assert_true(ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                                             instruction.operand_count_visible, text,
                                                             text_size, address, NULL)));
    return instruction;
}

/* The slot holds one instruction of its length, which reads so, and nothing around it was touched. */
static void assert_text(const uint8_t *slot, unsigned length, uintptr_t address, const char *expected) {
    char text[128];
    ZydisDecodedInstruction instruction = disassemble(slot, length, address, text, sizeof text);
    assert_int_equal(instruction.length, length);
    assert_string_equal(text, expected);
    assert_int_equal(slot[-1], CANARY);
    assert_int_equal(slot[length], CANARY);
}

static void assert_untouched(const uint8_t *space) {
    for (unsigned index = 0; index < SPACE; index++)
        assert_int_equal(space[index], CANARY);
}

static uint8_t *fresh(uint8_t space[SPACE]) {
    memset(space, CANARY, SPACE);
    return space + 1;
}

static void assert_padding(const uint8_t *slot, unsigned count) {
    for (unsigned index = 0; index < count; index++)
        assert_int_equal(slot[index], 0x2e);
}

static void branch_text(void **state) {
    uint8_t space[SPACE];
    (void)state;
    for (unsigned length = 5; length <= 15; length++) {
        uint8_t *slot = fresh(space);
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, site, site + 0x1234), TP_OK);
        assert_padding(slot, length - 5);
        assert_int_equal(slot[length - 5], 0xe8);
        assert_text(slot, length, site, "call 0xFFFFFFFF81001234");
        slot = fresh(space);
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_JMP, site, site - 0x1234), TP_OK);
        assert_padding(slot, length - 5);
        assert_int_equal(slot[length - 5], 0xe9);
        assert_text(slot, length, site, "jmp 0xFFFFFFFF80FFEDCC");
    }
}

static void branch_reach(void **state) {
    static const uint64_t far[] = {
        (uint64_t)INT32_MAX + 1, (uint64_t)INT32_MIN - 1, (uint64_t)INT32_MAX + 2,        (uint64_t)1 << 32,
        ((uint64_t)1 << 32) - 1, (uint64_t)1 << 63,       (uint64_t) - ((int64_t)1 << 32)};
    uint8_t space[SPACE];
    (void)state;
    for (unsigned length = 5; length <= 15; length++) {
        uintptr_t end = site + length;
        uint8_t *slot = fresh(space);
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, site, end + (uint64_t)INT32_MAX),
                         TP_OK);
        assert_memory_equal(slot + length - 4, "\xff\xff\xff\x7f", 4);
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, site, end + (uint64_t)INT32_MIN),
                         TP_OK);
        assert_memory_equal(slot + length - 4, "\x00\x00\x00\x80", 4);
        fresh(space);
        for (unsigned index = 0; index < sizeof far / sizeof far[0]; index++)
            assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_JMP, site, end + far[index]),
                             TP_ERR_OUT_OF_REACH);
        assert_untouched(space);
        /* The last page calls the first one, and back. */
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, (uintptr_t)-0x10, 0x1000), TP_OK);
        assert_text(slot, length, (uintptr_t)-0x10, "call 0x0000000000001000");
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, 0x1000, (uintptr_t)-0x10), TP_OK);
        assert_text(slot, length, 0x1000, "call 0xFFFFFFFFFFFFFFF0");
    }
}

static void branch_errors(void **state) {
    static const unsigned lengths[] = {0, 1, 4, 16, 17, 255, 0xffffffff};
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    for (unsigned index = 0; index < sizeof lengths / sizeof lengths[0]; index++)
        assert_int_equal(tp_encode_branch(slot, lengths[index], TP_OPCODE_CALL, site, site),
                         TP_ERR_BAD_ARGUMENT);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        if (opcode != 0xe8 && opcode != 0xe9)
            assert_int_equal(tp_encode_branch(slot, 5, (uint8_t)opcode, site, site), TP_ERR_BAD_ARGUMENT);
    assert_untouched(space);
}

static void indirect_text(void **state) {
    uint8_t space[SPACE];
    (void)state;
    for (unsigned length = 6; length <= 15; length++) {
        uint8_t *slot = fresh(space);
        assert_int_equal(tp_encode_indirect(slot, length, TP_OPCODE_CALL, site, site + 0x2000), TP_OK);
        assert_padding(slot, length - 6);
        assert_text(slot, length, site, "call [0xFFFFFFFF81002000]");
        slot = fresh(space);
        assert_int_equal(tp_encode_indirect(slot, length, TP_OPCODE_JMP, site, site - 8), TP_OK);
        assert_padding(slot, length - 6);
        assert_text(slot, length, site, "jmp [0xFFFFFFFF80FFFFF8]");
    }
}

static void indirect_reach(void **state) {
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    for (unsigned length = 6; length <= 15; length++) {
        uintptr_t end = site + length;
        assert_int_equal(
            tp_encode_indirect(slot, length, TP_OPCODE_CALL, site, end + (uint64_t)INT32_MAX + 1),
            TP_ERR_OUT_OF_REACH);
        assert_int_equal(tp_encode_indirect(slot, length, TP_OPCODE_JMP, site, end + (uint64_t)INT32_MIN - 1),
                         TP_ERR_OUT_OF_REACH);
    }
    assert_untouched(space);
    assert_int_equal(tp_encode_indirect(slot, 7, TP_OPCODE_CALL, site, site + 7 + (uint64_t)INT32_MAX),
                     TP_OK);
    assert_memory_equal(slot, "\x2e\xff\x15\xff\xff\xff\x7f", 7);
    assert_int_equal(tp_encode_indirect(slot, 7, TP_OPCODE_JMP, site, site + 7 + (uint64_t)INT32_MIN), TP_OK);
    assert_memory_equal(slot, "\x2e\xff\x25\x00\x00\x00\x80", 7);
}

static void indirect_errors(void **state) {
    static const unsigned lengths[] = {0, 5, 16, 0xffffffff};
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    for (unsigned index = 0; index < sizeof lengths / sizeof lengths[0]; index++)
        assert_int_equal(tp_encode_indirect(slot, lengths[index], TP_OPCODE_CALL, site, site),
                         TP_ERR_BAD_ARGUMENT);
    assert_int_equal(tp_encode_indirect(slot, 6, 0xff, site, site), TP_ERR_BAD_ARGUMENT);
    assert_untouched(space);
}

static void jcc_text(void **state) {
    static const char *const names[16] = {"jo", "jno", "jb", "jnb", "jz", "jnz", "jbe", "jnbe",
                                          "js", "jns", "jp", "jnp", "jl", "jnl", "jle", "jnle"};
    uint8_t space[SPACE];
    (void)state;
    for (unsigned condition = 0; condition < 16; condition++) {
        uint8_t *slot = fresh(space);
        char expected[64];
        snprintf(expected, sizeof expected, "%s 0xFFFFFFFF80000000", names[condition]);
        assert_int_equal(tp_encode_jcc32(slot, (uint8_t)condition, site, 0xffffffff80000000), TP_OK);
        assert_text(slot, TP_JCC32_LENGTH, site, expected);
    }
}

static void jcc_reach(void **state) {
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    uintptr_t end = site + 6;
    (void)state;
    assert_int_equal(tp_encode_jcc32(slot, 4, site, end + (uint64_t)INT32_MAX + 1), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jcc32(slot, 4, site, end + (uint64_t)INT32_MIN - 1), TP_ERR_OUT_OF_REACH);
    assert_untouched(space);
    assert_int_equal(tp_encode_jcc32(slot, 4, site, end + (uint64_t)INT32_MAX), TP_OK);
    assert_memory_equal(slot, "\x0f\x84\xff\xff\xff\x7f", 6);
    assert_int_equal(tp_encode_jcc32(slot, 15, site, end + (uint64_t)INT32_MIN), TP_OK);
    assert_memory_equal(slot, "\x0f\x8f\x00\x00\x00\x80", 6);
}

static void jcc_errors(void **state) {
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    assert_int_equal(tp_encode_jcc32(slot, 16, site, site), TP_ERR_BAD_ARGUMENT);
    assert_int_equal(tp_encode_jcc32(slot, 255, site, site), TP_ERR_BAD_ARGUMENT);
    assert_untouched(space);
}

static void jmp_text(void **state) {
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    assert_int_equal(tp_encode_jmp8(slot, site, site + 0x20), TP_OK);
    assert_text(slot, 2, site, "jmp 0xFFFFFFFF81000020");
    slot = fresh(space);
    assert_int_equal(tp_encode_jmp32(slot, site, site + 0x20), TP_OK);
    assert_memory_equal(slot, "\xe9\x1b\x00\x00\x00", 5);
    assert_text(slot, 5, site, "jmp 0xFFFFFFFF81000020");
}

static void jmp_reach(void **state) {
    uint8_t space[SPACE];
    uint8_t *slot = fresh(space);
    (void)state;
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 + 128), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 - 129), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 + 256), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 + ((uint64_t)1 << 32)), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jmp32(slot, site, site + 5 + (uint64_t)INT32_MAX + 1), TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_encode_jmp32(slot, site, site + 5 + (uint64_t)INT32_MIN - 1), TP_ERR_OUT_OF_REACH);
    assert_untouched(space);
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 + 127), TP_OK);
    assert_memory_equal(slot, "\xeb\x7f", 2);
    assert_int_equal(tp_encode_jmp8(slot, site, site + 2 - 128), TP_OK);
    assert_memory_equal(slot, "\xeb\x80", 2);
    assert_int_equal(tp_encode_jmp32(slot, site, site + 5 + (uint64_t)INT32_MAX), TP_OK);
    assert_memory_equal(slot, "\xe9\xff\xff\xff\x7f", 5);
    assert_int_equal(tp_encode_jmp32(slot, site, site + 5 + (uint64_t)INT32_MIN), TP_OK);
    assert_memory_equal(slot, "\xe9\x00\x00\x00\x80", 5);
}

static void ends_at_slot(void **state) {
    uint8_t space[SPACE];
    struct tp_insn insn;
    (void)state;
    for (unsigned length = 6; length <= 15; length++) {
        uint8_t *slot = fresh(space);
        assert_int_equal(tp_encode_branch(slot, length, TP_OPCODE_CALL, site, site + 99), TP_OK);
        assert_int_equal(tp_insn_decode(slot, slot + length, &insn), TP_OK);
        assert_int_equal(insn.length, length);
        assert_int_equal(insn.kind, TP_INSN_CALL_RELATIVE);
        assert_int_equal(tp_insn_target(&insn, slot, site), site + 99);
        assert_int_equal(tp_encode_indirect(slot, length, TP_OPCODE_CALL, site, site + 99), TP_OK);
        assert_int_equal(tp_insn_decode(slot, slot + length, &insn), TP_OK);
        assert_int_equal(insn.length, length);
        assert_int_equal(insn.kind, TP_INSN_CALL_INDIRECT);
        assert_int_equal(tp_insn_target(&insn, slot, site), site + 99);
    }
}

/* Returns the number of NOPs; all bytes of [0, length) are NOPs to Zydis, none longer than `longest`. */
static unsigned count_nops(const uint8_t *bytes, unsigned length, unsigned longest) {
    unsigned count = 0;
    for (unsigned offset = 0; offset < length; count++) {
        char text[128];
        ZydisDecodedInstruction instruction =
            disassemble(bytes + offset, length - offset, site, text, sizeof text);
        assert_int_equal(instruction.mnemonic, ZYDIS_MNEMONIC_NOP);
        assert_true(instruction.length <= longest);
        offset += instruction.length;
    }
    return count;
}

static void assert_skip(const uint8_t *bytes, unsigned length) {
    char text[128];
    ZydisDecodedInstruction instruction = disassemble(bytes, length, 0, text, sizeof text);
    assert_int_equal(instruction.mnemonic, ZYDIS_MNEMONIC_JMP);
    assert_int_equal(instruction.raw.imm[0].value.s, length - instruction.length);
    assert_int_equal(instruction.length, length <= 129 ? 2 : 5);
    for (unsigned offset = instruction.length; offset < length; offset++)
        assert_int_equal(bytes[offset], 0xcc);
}

static void check_fill(unsigned length, unsigned longest, unsigned effective) {
    uint8_t space[1024 + 2];
    uint8_t *slot = space + 1;
    assert_true(length <= 1024);
    memset(space, CANARY, sizeof space);
    tp_fill_nops(slot, length, longest);
    assert_int_equal(slot[-1], CANARY);
    assert_int_equal(slot[length], CANARY);
    if (length > 2 * effective)
        assert_skip(slot, length);
    else
        assert_int_equal(count_nops(slot, length, effective), length == 0 ? 0 : length <= effective ? 1 : 2);
    assert_true(tp_is_nop_run(slot, length));
}

static void nops(void **state) {
    unsigned fills = 0;
    (void)state;
    for (unsigned longest = 9; longest <= 15; longest++)
        for (unsigned length = 0; length <= 64; length++, fills++)
            check_fill(length, longest, longest);
    printf("nop fills checked: %u\n", fills);
}

static void nop_bytes(void **state) {
    static const char *const forms[16] = {
        [1] = "\x90",
        [2] = "\x66\x90",
        [3] = "\x0f\x1f\x00",
        [4] = "\x0f\x1f\x40\x00",
        [5] = "\x0f\x1f\x44\x00\x00",
        [6] = "\x66\x0f\x1f\x44\x00\x00",
        [7] = "\x0f\x1f\x80\x00\x00\x00\x00",
        [8] = "\x0f\x1f\x84\x00\x00\x00\x00\x00",
        [9] = "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00",
        [10] = "\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
        [11] = "\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
        [15] = "\x66\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
    };
    uint8_t slot[16];
    (void)state;
    for (unsigned length = 1; length < 16; length++) {
        if (!forms[length])
            continue;
        tp_fill_nops(slot, length, 15);
        assert_memory_equal(slot, forms[length], length);
    }
}

static void nops_long(void **state) {
    (void)state;
    for (unsigned length = 120; length <= 140; length++)
        check_fill(length, 9, 9);
    check_fill(255, 15, 15);
    check_fill(256, 15, 15);
    check_fill(1000, 11, 11);
}

static void nops_out_of_range(void **state) {
    (void)state;
    for (unsigned length = 0; length <= 64; length++) {
        check_fill(length, 0, 9);
        check_fill(length, 8, 9);
        check_fill(length, 16, 15);
        check_fill(length, 0xffffffff, 15);
    }
}

struct run {
    const char *bytes;
    unsigned length;
    bool is_nop_run;
};

static void nop_run(void **state) {
    static const struct run runs[] = {
        {"", 0, true},
        {"\x90", 1, true},
        {"\x90\x90\x90\x90", 4, true},
        {"\x66\x66\x66\x90", 4, true},
        {"\x0f\x1f\x44\x00\x00\x66\x90", 7, true},
        {"\x90\xeb\x03\xcc\xcc\xcc", 6, true},
        {"\xe9\x01\x00\x00\x00\xcc", 6, true},
        {"\xeb\x00", 2, true},
        {"\xeb\x02\xcc\xcc\xcc", 5, false}, /* lands before the end */
        {"\xeb\x04\xcc\xcc\xcc", 5, false}, /* behind the end */
        {"\xeb\x03\xcc\x90\xcc", 5, false}, /* over something else */
        {"\xeb\xfe", 2, false},
        {"\xcc", 1, false},
        {"\xf3\x90", 2, false},         /* pause */
        {"\x41\x90", 2, false},         /* xchg r8, rax */
        {"\xf0\x0f\x1f\x00", 4, false}, /* #UD */
        {"\x0f\x1f\x44\x00", 4, false}, /* cut off */
        {"\x90\x06", 2, false},
        {"\x66\xe9\x00\x00\x00\x00", 6, false}, /* AMD's is two bytes shorter */
        {"\x74\x00", 2, false},
        {"\xe8\x00\x00\x00\x00", 5, false},
        {"\x48\x89\xc0", 3, false}, /* mov rax, rax: does nothing, but isn't looked through */
    };
    (void)state;
    for (unsigned index = 0; index < sizeof runs / sizeof runs[0]; index++)
        assert_int_equal(tp_is_nop_run((const uint8_t *)runs[index].bytes, runs[index].length),
                         runs[index].is_nop_run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branch_text),    cmocka_unit_test(branch_reach),
        cmocka_unit_test(branch_errors),  cmocka_unit_test(indirect_text),
        cmocka_unit_test(indirect_reach), cmocka_unit_test(indirect_errors),
        cmocka_unit_test(jcc_text),       cmocka_unit_test(jcc_reach),
        cmocka_unit_test(jcc_errors),     cmocka_unit_test(jmp_text),
        cmocka_unit_test(jmp_reach),      cmocka_unit_test(ends_at_slot),
        cmocka_unit_test(nops),           cmocka_unit_test(nop_bytes),
        cmocka_unit_test(nops_long),      cmocka_unit_test(nops_out_of_range),
        cmocka_unit_test(nop_run),
    };
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
