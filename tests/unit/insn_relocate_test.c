/* SPDX-License-Identifier: MIT */
/*
 * Relocation, read back by Zydis.
 *
 * Cases
 *   moved              table of sequences: bytes, and what they read as at the new address
 *   same_meaning       every kind of operand x random places: Zydis finds the same absolute address before
 * and after inside             operands that point into the block, at its beginning and at its end, stay
 *   just_outside       one byte before and one behind the block are adjusted
 *   reach_32           new displacement of 2^31-1 and -2^31 is right, one further an error
 *   reach_8            the same for +127 and -128
 *   nothing_modified   an error in the last instruction leaves the first as it was
 *   culprit            offset and distance of the operand at fault; not written on success
 *   bad_operands       66-prefixed branches, 67-prefixed RIP-relative operands, undefined opcodes, truncated
 * ones back_again         there and back gives the same bytes needs_relocation   predicate, for each of these
 *   empty              no bytes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "insn/decode.h"
#include "insn/relocate.h"

static const uintptr_t from = 0xffffffff82000000;
static const uintptr_t to = 0xffffffff81000000;

static ZydisDecoder decoder;
static ZydisFormatter formatter;

/* All instructions, separated by "; ". */
static void disassemble(const uint8_t *bytes, unsigned length, uintptr_t address, char *text,
                        size_t text_size) {
    size_t used = 0;
    text[0] = 0;
    for (unsigned offset = 0; offset < length;) {
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        if (offset)
            used += (size_t)snprintf(text + used, text_size - used, "; ");
        assert_true(ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, bytes + offset, length - offset, &instruction, operands)));
        assert_true(ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
            &formatter, &instruction, operands, instruction.operand_count_visible, text + used,
            text_size - used, address + offset, NULL)));
        used = strlen(text);
        offset += instruction.length;
    }
}

struct sequence {
    const char *bytes;
    unsigned length;
    const char *text; /* at `from` and, as the targets are absolute, at `to` */
    bool is_moved;
};

static const struct sequence sequences[] = {
    {"\xe8\xfb\x0f\x00\x00", 5, "call 0xFFFFFFFF82001000", true},
    {"\x2e\xe8\xfa\x0f\x00\x00", 6, "call 0xFFFFFFFF82001000", true},
    {"\xe9\xfb\xff\xff\x00", 5, "jmp 0xFFFFFFFF83000000", true},
    {"\x0f\x84\xfa\x0f\x00\x00", 6, "jz 0xFFFFFFFF82001000", true},
    {"\xff\x15\xfa\x0f\x00\x00", 6, "call [0xFFFFFFFF82001000]", true},
    {"\xff\x25\xfa\x0f\x00\x00", 6, "jmp [0xFFFFFFFF82001000]", true},
    {"\x48\x8b\x05\xf9\x0f\x00\x00", 7, "mov rax, [0xFFFFFFFF82001000]", true},
    {"\x65\x48\x8b\x05\xf8\x0f\x00\x00", 8, "mov rax, gs:[0xFFFFFFFF82001000]", true},
    {"\x48\x8d\x3d\xf9\x0f\x00\x00", 7, "lea rdi, [0xFFFFFFFF82001000]", true},
    {"\xc6\x05\xf9\x0f\x00\x00\x01", 7, "mov byte ptr [0xFFFFFFFF82001000], 0x01", true},
    {"\x48\xc7\x05\xf5\x0f\x00\x00\x44\x33\x22\x11", 11, "mov qword ptr [0xFFFFFFFF82001000], 0x11223344",
     true},
    {"\x66\xc7\x05\xf7\x0f\x00\x00\x22\x11", 9, "mov word ptr [0xFFFFFFFF82001000], 0x1122", true},
    {"\xf6\x05\xf9\x0f\x00\x00\x01", 7, "test byte ptr [0xFFFFFFFF82001000], 0x01", true},
    {"\xf0\xff\x05\xf9\x0f\x00\x00", 7, "lock inc [0xFFFFFFFF82001000]", true},
    {"\xc5\xf8\x28\x05\xf8\x0f\x00\x00", 8, "vmovaps xmm0, [0xFFFFFFFF82001000]", true},
    {"\xc7\xf8\xfa\x0f\x00\x00", 6, "xbegin 0xFFFFFFFF82001000", true},
    /* pushf; pop rax; call; ret */
    {"\x9c\x58\xe8\xf9\x0f\x00\x00\xc3", 8, "pushfq; pop rax; call 0xFFFFFFFF82001000; ret", true},
    {"\xe8\xfb\x0f\x00\x00\x48\x8b\x05\xf4\x1f\x00\x00", 12,
     "call 0xFFFFFFFF82001000; mov rax, [0xFFFFFFFF82002000]", true},
    {"\xfa", 1, "cli", false},
    {"\x0f\x01\xf8\x48\x0f\x07", 6, "swapgs; sysret", false},
    {"\x0f\x22\xdf", 3, "mov cr3, rdi", false},
    {"\x48\x8b\x80\xf9\x0f\x00\x00", 7, "mov rax, [rax+0xFF9]", false},
    {"\x8b\x04\x25\xf9\x0f\x00\x00", 7, "mov eax, [0x0000000000000FF9]", false},
    {"\x48\xb8\xe8\xe8\xe8\xe8\xe8\xe8\xe8\xe8", 10, "mov rax, 0xE8E8E8E8E8E8E8E8", false},
};

enum { SEQUENCES = sizeof sequences / sizeof sequences[0] };

static void moved(void **state) {
    (void)state;
    for (unsigned index = 0; index < SEQUENCES; index++) {
        const struct sequence *sequence = &sequences[index];
        uint8_t bytes[32];
        char text[256];
        bool needed;
        memcpy(bytes, sequence->bytes, sequence->length);
        disassemble(bytes, sequence->length, from, text, sizeof text);
        assert_string_equal(text, sequence->text);
        assert_int_equal(tp_needs_relocation(bytes, sequence->length, &needed), TP_OK);
        assert_int_equal(needed, sequence->is_moved);
        assert_int_equal(tp_relocate(bytes, sequence->length, from, to, NULL), TP_OK);
        disassemble(bytes, sequence->length, to, text, sizeof text);
        assert_string_equal(text, sequence->text);
        assert_int_equal(memcmp(bytes, sequence->bytes, sequence->length) != 0, sequence->is_moved);
    }
}

static bool absolute_of(const uint8_t *bytes, unsigned length, uintptr_t address, ZyanU64 *absolute) {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &instruction, operands)))
        return false;
    for (unsigned index = 0; index < instruction.operand_count; index++) {
        bool is_pointer = operands[index].type == ZYDIS_OPERAND_TYPE_MEMORY &&
                          operands[index].mem.base == ZYDIS_REGISTER_RIP;
        bool is_target =
            operands[index].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operands[index].imm.is_relative;
        if (is_pointer || is_target)
            return ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&instruction, &operands[index], address, absolute));
    }
    return false;
}

static void same_meaning(void **state) {
    unsigned checked = 0;
    (void)state;
    srand(1);
    for (unsigned round = 0; round < 2000; round++)
        for (unsigned index = 0; index < SEQUENCES; index++) {
            const struct sequence *sequence = &sequences[index];
            struct tp_insn insn;
            uint8_t bytes[32];
            uintptr_t old = from + (uintptr_t)rand() % 0x10000000, new = to - (uintptr_t)rand() % 0x10000000;
            ZyanU64 before, after;
            memcpy(bytes, sequence->bytes, sequence->length);
            assert_int_equal(tp_insn_decode(bytes, bytes + sequence->length, &insn), TP_OK);
            if (insn.operand_size != 4)
                continue;
            /* Never into the block itself, which is another case. */
            uint32_t displacement = (uint32_t)(rand() % 0x20000000 + 64);
            memcpy(bytes + insn.operand_offset, &displacement, 4);
            assert_true(absolute_of(bytes, sequence->length, old, &before));
            assert_int_equal(tp_relocate(bytes, sequence->length, old, new, NULL), TP_OK);
            assert_true(absolute_of(bytes, sequence->length, new, &after));
            assert_int_equal(before, after);
            checked++;
        }
    printf("operands moved and compared: %u\n", checked);
    assert_true(checked > 20000);
}

struct block {
    const char *bytes;
    unsigned length;
};

static void inside(void **state) {
    static const struct block blocks[] = {
        {"\xeb\xfe", 2},                         /* to itself */
        {"\xeb\x00", 2},                         /* to the end */
        {"\x90\x75\xfd\xc3", 4},                 /* to the beginning */
        {"\x74\x01\x90\xeb\xfb", 5},             /* over one, and back to the start */
        {"\xe2\xfe", 2},                         /* loop */
        {"\xe9\x00\x00\x00\x00", 5},             /* to the end */
        {"\xe8\xfb\xff\xff\xff", 5},             /* to itself */
        {"\x48\x8d\x05\x00\x00\x00\x00\xc3", 8}, /* address of the next instruction */
        {"\x48\x8d\x05\xf9\xff\xff\xff", 7},     /* its own */
        {"\x0f\x84\x01\x00\x00\x00\x90", 7},     /* to the end */
    };
    (void)state;
    for (unsigned index = 0; index < sizeof blocks / sizeof blocks[0]; index++) {
        uint8_t bytes[16];
        bool needed = true;
        memcpy(bytes, blocks[index].bytes, blocks[index].length);
        /* So far away that whatever was adjusted couldn't be. */
        assert_int_equal(tp_relocate(bytes, blocks[index].length, 0, from, NULL), TP_OK);
        assert_memory_equal(bytes, blocks[index].bytes, blocks[index].length);
        assert_int_equal(tp_needs_relocation(bytes, blocks[index].length, &needed), TP_OK);
        assert_false(needed);
    }
}

static void just_outside(void **state) {
    uint8_t before[] = {0x90, 0xe9, 0xf9, 0xff, 0xff, 0xff}; /* to -1 */
    uint8_t behind[] = {0xe9, 0x02, 0x00, 0x00, 0x00, 0x90}; /* to 7 of 6 */
    uint8_t near[] = {0x90, 0xeb, 0xfc};                     /* to -1 */
    bool needed;
    (void)state;
    assert_int_equal(tp_needs_relocation(before, sizeof before, &needed), TP_OK);
    assert_true(needed);
    assert_int_equal(tp_relocate(before, sizeof before, 0x1000, 0x2000, NULL), TP_OK);
    assert_memory_equal(before, "\x90\xe9\xf9\xef\xff\xff", 6);
    assert_int_equal(tp_needs_relocation(behind, sizeof behind, &needed), TP_OK);
    assert_true(needed);
    assert_int_equal(tp_relocate(behind, sizeof behind, 0x2000, 0x1000, NULL), TP_OK);
    assert_memory_equal(behind, "\xe9\x02\x10\x00\x00\x90", 6);
    assert_int_equal(tp_relocate(near, sizeof near, 0x1000, 0x1010, NULL), TP_OK);
    assert_memory_equal(near, "\x90\xeb\xec", 3);
}

/* A jump with displacement `old`, moved by `distance`, has displacement `new`, or can't be moved. */
static void check_reach(const char *opcode, unsigned opcode_length, unsigned size, int64_t old,
                        int64_t distance, bool is_reached) {
    uint8_t bytes[16], copy[16];
    struct tp_relocate_culprit culprit = {.offset = 77, .distance = 77};
    unsigned length = opcode_length + size;
    int64_t expected = old - distance, found = 0;
    memcpy(bytes, opcode, opcode_length);
    memcpy(bytes + opcode_length, &old, size);
    memcpy(copy, bytes, sizeof copy);
    enum tp_status status = tp_relocate(bytes, length, from, from + (uint64_t)distance, &culprit);
    if (!is_reached) {
        assert_int_equal(status, TP_ERR_OUT_OF_REACH);
        assert_memory_equal(bytes, copy, length);
        assert_int_equal(culprit.offset, opcode_length);
        assert_true(culprit.distance == expected);
        return;
    }
    assert_int_equal(status, TP_OK);
    assert_int_equal(culprit.offset, 77);
    memcpy(&found, bytes + opcode_length, size);
    assert_memory_equal(&found, &expected, size);
}

static void reach_32(void **state) {
    static const struct block opcodes[] = {{"\xe8", 1},        {"\xe9", 1},     {"\x2e\xe8", 2},
                                           {"\x0f\x85", 2},    {"\xff\x15", 2}, {"\x48\x8b\x05", 3},
                                           {"\x0f\x0d\x05", 3}};
    static const int64_t limit = (int64_t)1 << 31;
    (void)state;
    for (unsigned index = 0; index < sizeof opcodes / sizeof opcodes[0]; index++) {
        const char *opcode = opcodes[index].bytes;
        unsigned length = opcodes[index].length;
        check_reach(opcode, length, 4, 0x1000, 0x1000 - (limit - 1), true);
        check_reach(opcode, length, 4, 0x1000, 0x1000 - limit, false);
        check_reach(opcode, length, 4, 0x1000, 0x1000 + limit, true);
        check_reach(opcode, length, 4, 0x1000, 0x1000 + limit + 1, false);
        check_reach(opcode, length, 4, -limit, 0, true);
        check_reach(opcode, length, 4, -limit, 1, false);
        check_reach(opcode, length, 4, limit - 1, 0, true);
        check_reach(opcode, length, 4, limit - 1, -1, false);
        check_reach(opcode, length, 4, limit - 1, 2 * limit - 1, true);
        check_reach(opcode, length, 4, limit - 1, 2 * limit, false);
        check_reach(opcode, length, 4, 0x1000, INT64_MAX, false);
        check_reach(opcode, length, 4, 0x1000, INT64_MIN + 0x1001, false);
    }
}

static void reach_8(void **state) {
    static const struct block opcodes[] = {{"\xeb", 1}, {"\x74", 1}, {"\x7f", 1},     {"\xe0", 1},
                                           {"\xe2", 1}, {"\xe3", 1}, {"\x67\xe3", 2}, {"\x2e\x75", 2}};
    (void)state;
    for (unsigned index = 0; index < sizeof opcodes / sizeof opcodes[0]; index++) {
        const char *opcode = opcodes[index].bytes;
        unsigned length = opcodes[index].length;
        check_reach(opcode, length, 1, 0x10, 0x10 - 127, true);
        check_reach(opcode, length, 1, 0x10, 0x10 - 128, false);
        check_reach(opcode, length, 1, 0x10, 0x10 + 128, true);
        check_reach(opcode, length, 1, 0x10, 0x10 + 129, false);
        check_reach(opcode, length, 1, 0x10, 0x10 + 256, false);
        check_reach(opcode, length, 1, 0x10, 0x1000000, false);
    }
}

static void nothing_modified(void **state) {
    /* call outside; je outside, which won't reach */
    static const uint8_t text[] = {0xe8, 0x00, 0x10, 0x00, 0x00, 0x90, 0x74, 0x40};
    /* call outside; then half an instruction, and no instruction */
    static const uint8_t cut[] = {0xe8, 0x00, 0x10, 0x00, 0x00, 0x48, 0x8b};
    static const uint8_t bad[] = {0xe8, 0x00, 0x10, 0x00, 0x00, 0x90, 0x06};
    uint8_t bytes[8];
    (void)state;
    memcpy(bytes, text, sizeof text);
    assert_int_equal(tp_relocate(bytes, sizeof text, from, to, NULL), TP_ERR_OUT_OF_REACH);
    assert_memory_equal(bytes, text, sizeof text);
    memcpy(bytes, cut, sizeof cut);
    assert_int_equal(tp_relocate(bytes, sizeof cut, from, to, NULL), TP_ERR_TRUNCATED_INSN);
    assert_memory_equal(bytes, cut, sizeof cut);
    memcpy(bytes, bad, sizeof bad);
    assert_int_equal(tp_relocate(bytes, sizeof bad, from, to, NULL), TP_ERR_BAD_INSN);
    assert_memory_equal(bytes, bad, sizeof bad);
}

static void culprit(void **state) {
    uint8_t far[] = {0xe8, 0x00, 0x10, 0x00, 0x00, 0x90, 0x74, 0x40};
    uint8_t cut[] = {0x90, 0x9c, 0x48, 0x8b};
    struct tp_relocate_culprit found = {.offset = 1, .distance = 2};
    (void)state;
    assert_int_equal(tp_relocate(far, sizeof far, from, from + 0x10, &found), TP_OK);
    assert_int_equal(found.offset, 1);
    assert_int_equal(found.distance, 2);
    assert_int_equal(tp_relocate(far, sizeof far, from, from - 0x100, &found), TP_ERR_OUT_OF_REACH);
    assert_int_equal(found.offset, 7);
    assert_int_equal(found.distance, 0x30 + 0x100);
    assert_int_equal(tp_relocate(cut, sizeof cut, from, to, &found), TP_ERR_TRUNCATED_INSN);
    assert_int_equal(found.offset, 2);
    assert_int_equal(found.distance, 0);
}

static void bad_operands(void **state) {
    static const struct block blocks[] = {
        {"\x66\xe8\x00\x10\x00\x00", 6}, /* Intel: rel32, AMD: rel16 */
        {"\x66\xe9\x00\x10\x00\x00", 6},
        {"\x66\x0f\x84\x00\x10\x00\x00", 7},
        {"\x66\xeb\x10", 3},
        {"\x66\xeb\x00", 3}, /* inside, but AMD cuts RIP */
        {"\x66\xff\x15\x00\x10\x00\x00", 7},
        {"\x67\x8b\x05\x00\x10\x00\x00", 7}, /* cut to 32 bits */
        {"\x67\xff\x25\x00\x10\x00\x00", 7},
        {"\x0f\xff\xc0", 3}, /* ud0 has ModRM on Intel only */
        {"\x06", 1},
    };
    (void)state;
    for (unsigned index = 0; index < sizeof blocks / sizeof blocks[0]; index++) {
        uint8_t bytes[16];
        struct tp_relocate_culprit found;
        bool needed;
        memcpy(bytes, blocks[index].bytes, blocks[index].length);
        assert_int_equal(tp_relocate(bytes, blocks[index].length, from, to, &found), TP_ERR_BAD_INSN);
        assert_int_equal(found.offset, 0);
        assert_memory_equal(bytes, blocks[index].bytes, blocks[index].length);
        assert_int_equal(tp_needs_relocation(bytes, blocks[index].length, &needed), TP_ERR_BAD_INSN);
    }
    /* REX.W makes the 66 harmless, for both. */
    uint8_t wide[] = {0x66, 0x48, 0xe8, 0x00, 0x10, 0x00, 0x00};
    assert_int_equal(tp_relocate(wide, sizeof wide, 0x1000, 0x2000, NULL), TP_OK);
    assert_memory_equal(wide, "\x66\x48\xe8\x00\x00\x00\x00", 7);
}

static void back_again(void **state) {
    (void)state;
    for (unsigned index = 0; index < SEQUENCES; index++) {
        const struct sequence *sequence = &sequences[index];
        uint8_t bytes[32];
        memcpy(bytes, sequence->bytes, sequence->length);
        assert_int_equal(tp_relocate(bytes, sequence->length, from, to, NULL), TP_OK);
        assert_int_equal(tp_relocate(bytes, sequence->length, to, from, NULL), TP_OK);
        assert_memory_equal(bytes, sequence->bytes, sequence->length);
    }
}

static void needs_relocation(void **state) {
    static const uint8_t cut[] = {0x90, 0xe8, 0x00};
    static const uint8_t later[] = {0x90, 0xeb, 0x00, 0x74, 0x10};
    bool needed = true;
    (void)state;
    assert_int_equal(tp_needs_relocation(cut, sizeof cut, &needed), TP_ERR_TRUNCATED_INSN);
    assert_int_equal(tp_needs_relocation(later, 3, &needed), TP_OK);
    assert_false(needed);
    assert_int_equal(tp_needs_relocation(later, sizeof later, &needed), TP_OK);
    assert_true(needed);
}

static void empty(void **state) {
    uint8_t bytes[1] = {0xe8};
    bool needed = true;
    (void)state;
    assert_int_equal(tp_relocate(bytes, 0, from, to, NULL), TP_OK);
    assert_int_equal(bytes[0], 0xe8);
    assert_int_equal(tp_needs_relocation(bytes, 0, &needed), TP_OK);
    assert_false(needed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moved),
        cmocka_unit_test(same_meaning),
        cmocka_unit_test(inside),
        cmocka_unit_test(just_outside),
        cmocka_unit_test(reach_32),
        cmocka_unit_test(reach_8),
        cmocka_unit_test(nothing_modified),
        cmocka_unit_test(culprit),
        cmocka_unit_test(bad_operands),
        cmocka_unit_test(back_again),
        cmocka_unit_test(needs_relocation),
        cmocka_unit_test(empty),
    };
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
