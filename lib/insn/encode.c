/* SPDX-License-Identifier: MIT */
#include "../insn/encode.h"

#include "../insn/decode.h"

enum { OPCODE_JMP8 = 0xeb, OPCODE_NOP = 0x90, PREFIX_OPERAND_SIZE = 0x66 };

static bool holds_32(int64_t displacement) { return displacement == (int32_t)displacement; }

static bool holds_8(int64_t displacement) { return displacement == (int8_t)displacement; }

static int64_t distance(uintptr_t end, uintptr_t target) { return (int64_t)(target - end); }

/* Slots are short: unrolled and vectorised copies of this loop would be most of the file's text. */
__attribute__((noinline)) static void fill(uint8_t *out, unsigned length, uint8_t byte) {
    for (; length > 0; length--) {
        *out++ = byte;
        __asm__("" : "+r"(out));
    }
}

/* One or two opcode bytes and the displacement at the end of the slot, prefixes before them. */
__attribute__((noinline)) static enum tp_status encode_at_end(uint8_t *out, unsigned length, unsigned opcode,
                                                              uintptr_t address, uintptr_t target) {
    unsigned natural = opcode > 0xff ? 6 : 5;
    int64_t displacement = distance(address + length, target);
    if (length < natural || length > TP_INSN_LONGEST)
        return TP_ERR_BAD_ARGUMENT;
    if (!holds_32(displacement))
        return TP_ERR_OUT_OF_REACH;
    fill(out, length - natural, TP_PREFIX_PAD);
    out += length - natural;
    if (opcode > 0xff)
        *out++ = (uint8_t)(opcode >> 8);
    *out++ = (uint8_t)opcode;
    for (unsigned byte = 0; byte < 4; byte++)
        out[byte] = (uint8_t)((uint64_t)displacement >> 8 * byte);
    return TP_OK;
}

enum tp_status tp_encode_branch(uint8_t *out, unsigned length, uint8_t opcode, uintptr_t address,
                                uintptr_t target) {
    if (opcode != TP_OPCODE_CALL && opcode != TP_OPCODE_JMP)
        return TP_ERR_BAD_ARGUMENT;
    return encode_at_end(out, length, opcode, address, target);
}

/* ff /2 or ff /4 with ModRM.mod 0 and rm 5, which is [rip + disp32]. */
enum tp_status tp_encode_indirect(uint8_t *out, unsigned length, uint8_t opcode, uintptr_t address,
                                  uintptr_t cell) {
    if (opcode != TP_OPCODE_CALL && opcode != TP_OPCODE_JMP)
        return TP_ERR_BAD_ARGUMENT;
    return encode_at_end(out, length, opcode == TP_OPCODE_CALL ? 0xff15 : 0xff25, address, cell);
}

enum tp_status tp_encode_jcc32(uint8_t *out, uint8_t condition, uintptr_t address, uintptr_t target) {
    if (condition > 15)
        return TP_ERR_BAD_ARGUMENT;
    return encode_at_end(out, TP_JCC32_LENGTH, 0x0f80u + condition, address, target);
}

enum tp_status tp_encode_jmp32(uint8_t *out, uintptr_t address, uintptr_t target) {
    return encode_at_end(out, TP_JMP32_LENGTH, TP_OPCODE_JMP, address, target);
}

enum tp_status tp_encode_jmp8(uint8_t *out, uintptr_t address, uintptr_t target) {
    int64_t displacement = distance(address + TP_JMP8_LENGTH, target);
    if (!holds_8(displacement))
        return TP_ERR_OUT_OF_REACH;
    out[0] = OPCODE_JMP8;
    out[1] = (uint8_t)displacement;
    return TP_OK;
}

/*
 * 1 is 90, and 3, 4, 5, 7, 8 are 0f 1f with the memory operand that makes up the length (SDM vol. 2 "NOP").
 * 2, 6 and 9 are 1, 5 and 8 with a 66. Longer ones have a 2e and 66s before it, as the GNU
 * assembler's have.
 */
static void encode_nop(uint8_t *out, unsigned length) {
    static const uint8_t modrm_of_length[9] = {[3] = 0x00, [4] = 0x40, [5] = 0x44, [7] = 0x80, [8] = 0x84};
    unsigned natural = length > 8 ? 8 : length;
    if (length == 2 || length == 6)
        natural--;
    unsigned prefixes = length - natural;
    fill(out, prefixes, PREFIX_OPERAND_SIZE);
    if (prefixes > 1)
        out[prefixes - 1] = TP_PREFIX_PAD;
    out += prefixes;
    fill(out, natural, 0);
    if (natural == 1) {
        out[0] = OPCODE_NOP;
        return;
    }
    out[0] = 0x0f;
    out[1] = 0x1f;
    out[2] = modrm_of_length[natural];
}

/* Both ends of the jump move together, so any address will do; no slot is as long as it can jump. */
static void encode_skip(uint8_t *out, unsigned length) {
    fill(out, length, TP_OPCODE_INT3);
    if (length - TP_JMP8_LENGTH > INT8_MAX) {
        (void)encode_at_end(out, TP_JMP32_LENGTH, TP_OPCODE_JMP, 0, length);
        return;
    }
    out[0] = OPCODE_JMP8;
    out[1] = (uint8_t)(length - TP_JMP8_LENGTH);
}

void tp_fill_nops(uint8_t *out, unsigned length, unsigned longest) {
    if (longest < TP_NOP_LONGEST_MIN)
        longest = TP_NOP_LONGEST_MIN;
    if (longest > TP_NOP_LONGEST_MAX)
        longest = TP_NOP_LONGEST_MAX;
    if (length > 2 * longest) {
        encode_skip(out, length);
        return;
    }
    unsigned first = length > longest ? longest : length;
    if (first > 0)
        encode_nop(out, first);
    if (length > first)
        encode_nop(out + first, length - first);
}

bool tp_is_nop_run(const uint8_t *bytes, unsigned length) {
    const uint8_t *end = bytes + length;
    struct tp_insn insn;
    bool skips = false;
    for (; bytes < end && !skips; bytes += insn.length) {
        if (tp_insn_decode(bytes, end, &insn) != TP_OK)
            return false;
        skips = insn.kind == TP_INSN_JMP_RELATIVE && !(insn.flags & TP_INSN_VENDOR_DEPENDENT) &&
                tp_insn_target(&insn, bytes, (uintptr_t)bytes) == (uintptr_t)end;
        if (!skips && insn.kind != TP_INSN_NOP)
            return false;
    }
    for (; bytes < end; bytes++)
        if (*bytes != TP_OPCODE_INT3)
            return false;
    return true;
}
