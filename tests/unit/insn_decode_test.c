/* SPDX-License-Identifier: MIT */
/*
 * The instruction decoder against Zydis.
 *
 * Cases
 *   legacy_opcodes      maps none, 0F, 0F38, 0F3A: every opcode x 14 sets of prefixes x no REX and all 16 REX
 *   legacy_modrm        the same opcodes with every ModRM byte
 *   vex, xop, evex      every opcode of every map, every second payload byte, every R, X, B
 *   amd_3dnow           every suffix with every ModRM byte
 *   random_strings      10^7 random byte strings (or argv[1], or TP_INSN_TEST_STRINGS)
 *   truncation          of every form of every opcode, at every length, flush against an unreadable page
 *   coverage            92 in 100 of Zydis' mnemonics were among these; most others aren't of 64-bit mode
 *   negative_control    a wrong length, kind, operand, stack: the comparator sees each
 *
 * The rule: where Zydis decodes, we decode to the same length, operand, ModRM and kind. Where only we decode,
 * the strings are counted: maps 0F38, 0F3A, VEX, EVEX and XOP have lengths for opcodes that are still
 * undefined.
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

#include <Zydis/Zydis.h>

#include "insn/decode.h"

enum { ROOM = 16, REPORTS = 20 };

typedef enum tp_status decode_function(const uint8_t *bytes, const uint8_t *end, struct tp_insn *insn);

static decode_function *decode = tp_insn_decode;
static ZydisDecoder reference;
static uint8_t *page_end;
static bool is_quiet;
static bool seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static unsigned long compared, agreed, disagreements, only_ours, overcautious, foreign;

/* xorshift64*, so that a run can be repeated. */
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_64(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1d;
}

static uint8_t random_byte(void) { return (uint8_t)(random_64() >> 33); }

static uint8_t *place(const uint8_t *bytes, size_t length) {
    return memcpy(page_end - length, bytes, length);
}

/* ---- what Zydis says, in our words ---- */

static int condition_of(ZydisMnemonic mnemonic) {
    static const ZydisMnemonic conditions[16] = {
        ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_JB,  ZYDIS_MNEMONIC_JNB,
        ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_JNBE,
        ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_JP,  ZYDIS_MNEMONIC_JNP,
        ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_JNLE,
    };
    for (int condition = 0; condition < 16; condition++)
        if (conditions[condition] == mnemonic)
            return condition;
    return -1;
}

static bool has_prefix(const ZydisDecodedInstruction *theirs, const char *values, size_t count) {
    for (unsigned index = 0; index < theirs->raw.prefix_count; index++)
        if (memchr(values, theirs->raw.prefixes[index].value, count))
            return true;
    return false;
}

static enum tp_insn_kind kind_of(const ZydisDecodedInstruction *theirs, const ZydisDecodedOperand *operands) {
    bool is_far = theirs->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    bool is_relative = operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operands[0].imm.is_relative;
    switch (theirs->mnemonic) {
    case ZYDIS_MNEMONIC_CALL:
        return is_relative ? TP_INSN_CALL_RELATIVE : is_far ? TP_INSN_CALL_FAR : TP_INSN_CALL_INDIRECT;
    case ZYDIS_MNEMONIC_JMP:
        return is_relative ? TP_INSN_JMP_RELATIVE : is_far ? TP_INSN_JMP_FAR : TP_INSN_JMP_INDIRECT;
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JCXZ:
        return TP_INSN_LOOP;
    case ZYDIS_MNEMONIC_XBEGIN:
        return TP_INSN_XBEGIN;
    case ZYDIS_MNEMONIC_RET:
        return is_far ? TP_INSN_RET_FAR : TP_INSN_RET;
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_UIRET:
        return TP_INSN_IRET;
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
        return TP_INSN_SYSCALL;
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
        return TP_INSN_SYSRET;
    case ZYDIS_MNEMONIC_PUSH:
        return TP_INSN_PUSH;
    case ZYDIS_MNEMONIC_POP:
        return TP_INSN_POP;
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ:
        return TP_INSN_PUSHF;
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
        return TP_INSN_POPF;
    case ZYDIS_MNEMONIC_ENTER:
        return TP_INSN_ENTER;
    case ZYDIS_MNEMONIC_LEAVE:
        return TP_INSN_LEAVE;
    case ZYDIS_MNEMONIC_INT3:
        return TP_INSN_INT3;
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
        return TP_INSN_INT;
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
        return TP_INSN_UD;
    case ZYDIS_MNEMONIC_HLT:
        return TP_INSN_HLT;
    case ZYDIS_MNEMONIC_NOP: {
        /*
         * Reserved NOPs (0f 18 to 0f 1e, and 1f's other members) are left alone: they have become other
         * things.
         */
        bool is_ours = theirs->opcode == 0x90 || (theirs->opcode == 0x1f && theirs->raw.modrm.reg == 0);
        return is_ours && !has_prefix(theirs, "\xf0\xf2\xf3", 3) ? TP_INSN_NOP : TP_INSN_OTHER;
    }
    default:
        return condition_of(theirs->mnemonic) >= 0 ? TP_INSN_JCC_RELATIVE : TP_INSN_OTHER;
    }
}

static bool is_rsp(ZydisRegister reg) {
    return reg == ZYDIS_REGISTER_RSP || reg == ZYDIS_REGISTER_ESP || reg == ZYDIS_REGISTER_SP ||
           reg == ZYDIS_REGISTER_SPL;
}

static bool writes_rsp(const ZydisDecodedInstruction *theirs, const ZydisDecodedOperand *operands) {
    for (unsigned index = 0; index < theirs->operand_count; index++)
        if (operands[index].type == ZYDIS_OPERAND_TYPE_REGISTER && is_rsp(operands[index].reg.value) &&
            (operands[index].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            return true;
    return false;
}

/* Bytes of the operand at the top of the stack. */
static int32_t stack_slot(const ZydisDecodedInstruction *theirs, const ZydisDecodedOperand *operands) {
    for (unsigned index = 0; index < theirs->operand_count; index++)
        if (operands[index].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            operands[index].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
            operands[index].mem.base == ZYDIS_REGISTER_RSP)
            return operands[index].size / 8;
    return 0;
}

/* ---- comparing ---- */

static void report(const char *what, long ours, long theirs, const uint8_t *bytes, size_t length) {
    disagreements++;
    if (is_quiet || disagreements > REPORTS)
        return;
    printf("disagreement: %s: ours %ld, theirs %ld:", what, ours, theirs);
    for (size_t index = 0; index < length; index++)
        printf(" %02x", bytes[index]);
    printf("\n");
}

#define EXPECT(what, ours, theirs)                                                                           \
    do {                                                                                                     \
        long ours_ = (long)(ours), theirs_ = (long)(theirs);                                                 \
        if (ours_ != theirs_)                                                                                \
            report(what, ours_, theirs_, bytes, length);                                                     \
    } while (0)

static unsigned map_of(ZydisOpcodeMap map) {
    switch (map) {
    case ZYDIS_OPCODE_MAP_DEFAULT:
        return TP_INSN_MAP_ONE_BYTE;
    case ZYDIS_OPCODE_MAP_0F:
    case ZYDIS_OPCODE_MAP_0F0F:
        return TP_INSN_MAP_0F;
    case ZYDIS_OPCODE_MAP_0F38:
        return TP_INSN_MAP_0F38;
    case ZYDIS_OPCODE_MAP_0F3A:
        return TP_INSN_MAP_0F3A;
    case ZYDIS_OPCODE_MAP_MAP5:
        return TP_INSN_MAP_EVEX5;
    case ZYDIS_OPCODE_MAP_MAP6:
        return TP_INSN_MAP_EVEX6;
    case ZYDIS_OPCODE_MAP_XOP8:
        return TP_INSN_MAP_XOP8;
    case ZYDIS_OPCODE_MAP_XOP9:
        return TP_INSN_MAP_XOP9;
    case ZYDIS_OPCODE_MAP_XOPA:
        return TP_INSN_MAP_XOPA;
    default:
        return 99;
    }
}

static void compare_layout(const struct tp_insn *ours, const ZydisDecodedInstruction *theirs,
                           const uint8_t *bytes, size_t length) {
    bool is_3dnow = theirs->opcode_map == ZYDIS_OPCODE_MAP_0F0F;
    bool has_modrm = theirs->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    unsigned offset = 0, size = 0;
    EXPECT("map", ours->map, map_of(theirs->opcode_map));
    EXPECT("opcode", ours->opcode, is_3dnow ? 0x0f : theirs->opcode);
    EXPECT("prefixes", ours->prefix_bytes, theirs->raw.prefix_count);
    EXPECT("has ModRM", !!(ours->flags & TP_INSN_HAS_MODRM), has_modrm);
    if (has_modrm)
        EXPECT("ModRM", ours->modrm, bytes[theirs->raw.modrm.offset]);
    if (has_modrm && theirs->raw.modrm.mod == 0 && theirs->raw.modrm.rm == 5 && theirs->raw.disp.size) {
        offset = theirs->raw.disp.offset;
        size = theirs->raw.disp.size / 8;
        EXPECT("displacement", tp_insn_displacement(ours, bytes), theirs->raw.disp.value);
    }
    EXPECT("RIP-relative", !!(ours->flags & TP_INSN_RIP_RELATIVE), size != 0);
    for (unsigned index = 0; index < 2; index++)
        if (theirs->raw.imm[index].is_relative && theirs->raw.imm[index].size) {
            offset = theirs->raw.imm[index].offset;
            size = theirs->raw.imm[index].size / 8;
            EXPECT("displacement", tp_insn_displacement(ours, bytes), theirs->raw.imm[index].value.s);
        }
    EXPECT("operand offset", ours->operand_offset, offset);
    EXPECT("operand size", ours->operand_size, size);
    EXPECT("segment", !!(ours->flags & TP_INSN_HAS_SEGMENT_PREFIX),
           has_prefix(theirs, "\x26\x2e\x36\x3e\x64\x65", 6));
    EXPECT("66", !!(ours->flags & TP_INSN_HAS_OPERAND_SIZE_PREFIX), has_prefix(theirs, "\x66", 1));
    EXPECT("67", !!(ours->flags & TP_INSN_HAS_ADDRESS_SIZE_PREFIX), has_prefix(theirs, "\x67", 1));
    EXPECT("f0", !!(ours->flags & TP_INSN_HAS_LOCK_PREFIX), has_prefix(theirs, "\xf0", 1));
    EXPECT("f2 f3", !!(ours->flags & TP_INSN_HAS_REPEAT_PREFIX), has_prefix(theirs, "\xf2\xf3", 2));
    EXPECT("VEX", !!(ours->flags & TP_INSN_IS_VEX),
           theirs->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
               theirs->encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW);
}

static void compare_stack(const struct tp_insn *ours, const ZydisDecodedInstruction *theirs,
                          const ZydisDecodedOperand *operands, const uint8_t *bytes, size_t length) {
    bool changes = ours->flags & TP_INSN_STACK_CHANGES;
    bool is_known = ours->flags & TP_INSN_STACK_KNOWN;
    int32_t slot = stack_slot(theirs, operands);
    long immediate = (long)theirs->raw.imm[0].value.s;
    switch (ours->kind) {
    case TP_INSN_CALL_RELATIVE:
    case TP_INSN_CALL_INDIRECT:
    case TP_INSN_CALL_FAR:
    case TP_INSN_INT3:
    case TP_INSN_INT:
    case TP_INSN_SYSCALL:
        EXPECT("stack of a call", changes, false);
        return;
    case TP_INSN_SYSRET:
        EXPECT("stack of a return to user", changes, true);
        return;
    case TP_INSN_PUSH:
    case TP_INSN_PUSHF:
        EXPECT("stack known", is_known, true);
        EXPECT("push", ours->stack, -slot);
        return;
    case TP_INSN_POP:
    case TP_INSN_POPF:
        if (is_known)
            EXPECT("pop", ours->stack, slot);
        else
            EXPECT("pop rsp", is_rsp(operands[0].reg.value), true);
        return;
    case TP_INSN_RET:
        if (is_known)
            EXPECT("ret", ours->stack, 8 + (ours->opcode == 0xc2 ? immediate : 0));
        else
            EXPECT("ret of 16 bits", !!(ours->flags & TP_INSN_VENDOR_DEPENDENT), true);
        return;
    case TP_INSN_ADD_RSP:
    case TP_INSN_SUB_RSP:
        EXPECT("adds", theirs->mnemonic,
               ours->kind == TP_INSN_ADD_RSP ? ZYDIS_MNEMONIC_ADD : ZYDIS_MNEMONIC_SUB);
        EXPECT("to rsp", operands[0].reg.value, ZYDIS_REGISTER_RSP);
        EXPECT("by", ours->stack, ours->kind == TP_INSN_ADD_RSP ? immediate : -immediate);
        return;
    case TP_INSN_LEA_RSP:
        EXPECT("lea", theirs->mnemonic, ZYDIS_MNEMONIC_LEA);
        EXPECT("rsp", operands[0].reg.value, ZYDIS_REGISTER_RSP);
        EXPECT("of rsp", operands[1].mem.base, ZYDIS_REGISTER_RSP);
        EXPECT("no index", operands[1].mem.index, ZYDIS_REGISTER_NONE);
        EXPECT("address width", theirs->address_width, 64);
        EXPECT("by", ours->stack, operands[1].mem.disp.value);
        return;
    default:
        break;
    }
    bool writes = writes_rsp(theirs, operands);
    /* rsm's is not among Zydis' operands, nor do we see it; it returns to where SMM came from. */
    EXPECT("known or not", is_known || changes, true);
    if (ours->kind == TP_INSN_ENTER || ours->kind == TP_INSN_LEAVE)
        EXPECT("frame", changes, true);
    else if (writes || ours->map == TP_INSN_MAP_ONE_BYTE)
        EXPECT("writes rsp", changes, writes);
    else
        overcautious += changes;
    if (!changes)
        EXPECT("unchanged", ours->stack, 0);
}

static void compare_meaning(const struct tp_insn *ours, const ZydisDecodedInstruction *theirs,
                            const ZydisDecodedOperand *operands, const uint8_t *bytes, size_t length) {
    enum tp_insn_kind kind = kind_of(theirs, operands);
    bool adjusts =
        ours->kind == TP_INSN_ADD_RSP || ours->kind == TP_INSN_SUB_RSP || ours->kind == TP_INSN_LEA_RSP;
    if (!adjusts)
        EXPECT("kind", ours->kind, kind);
    if (kind == TP_INSN_JCC_RELATIVE)
        EXPECT("condition", ours->condition, condition_of(theirs->mnemonic));
    bool ends = kind == TP_INSN_JMP_RELATIVE || kind == TP_INSN_JMP_INDIRECT || kind == TP_INSN_JMP_FAR ||
                kind == TP_INSN_RET || kind == TP_INSN_RET_FAR || kind == TP_INSN_IRET ||
                kind == TP_INSN_SYSRET || kind == TP_INSN_UD;
    EXPECT("ends flow", !!(ours->flags & TP_INSN_ENDS_FLOW), ends);
    compare_stack(ours, theirs, operands, bytes, length);
}

/*
 * Zydis also knows the first Xeon Phi's encodings, which no other CPU has and which APX gives another
 * meaning.
 */
static bool is_knights_corner(const ZydisDecodedInstruction *theirs) {
    switch (theirs->meta.isa_set) {
    case ZYDIS_ISA_SET_KNCE:
    case ZYDIS_ISA_SET_KNCJKBR:
    case ZYDIS_ISA_SET_KNCSTREAM:
    case ZYDIS_ISA_SET_KNCV:
    case ZYDIS_ISA_SET_KNC_MISC:
    case ZYDIS_ISA_SET_KNC_PF_HINT:
        return true;
    default:
        return theirs->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX;
    }
}

/* Returns the length if both decoders agree that there is an instruction, else 0. */
static unsigned compare(const uint8_t *string, size_t length) {
    const uint8_t *bytes = place(string, length);
    ZydisDecodedInstruction theirs;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct tp_insn ours;
    ZyanStatus their_status = ZydisDecoderDecodeFull(&reference, bytes, length, &theirs, operands);
    enum tp_status our_status = decode(bytes, bytes + length, &ours);
    compared++;
    if (!ZYAN_SUCCESS(their_status)) {
        if (our_status != TP_OK)
            return 0;
        if (their_status == ZYDIS_STATUS_NO_MORE_DATA)
            report("decoded what Zydis finds truncated", ours.length, 0, bytes, length);
        only_ours++;
        return 0;
    }
    if (is_knights_corner(&theirs)) {
        foreign++;
        return 0;
    }
    if (our_status != TP_OK || ours.length != theirs.length) {
        report("length", our_status == TP_OK ? ours.length : -(long)our_status, theirs.length, bytes, length);
        return 0;
    }
    agreed++;
    seen[theirs.mnemonic] = true;
    compare_layout(&ours, &theirs, bytes, theirs.length);
    compare_meaning(&ours, &theirs, operands, bytes, theirs.length);
    return ours.length;
}

/* An instruction that decodes is, cut off anywhere, truncated; and decoding it whole needs no byte more. */
static void check_truncations(const uint8_t *string, unsigned length) {
    struct tp_insn insn;
    for (unsigned kept = 0; kept < length; kept++) {
        const uint8_t *bytes = place(string, kept);
        enum tp_status status = decode(bytes, bytes + kept, &insn);
        if (status != TP_ERR_TRUNCATED_INSN)
            report("truncation", status, TP_ERR_TRUNCATED_INSN, bytes, kept);
    }
    const uint8_t *bytes = place(string, length);
    if (decode(bytes, bytes + length, &insn) != TP_OK || insn.length != length)
        report("flush", insn.length, length, bytes, length);
}

/* ---- making strings ---- */

struct builder {
    uint8_t bytes[ROOM];
    unsigned length;
};

static bool truncates;

static void append(struct builder *builder, uint8_t byte) { builder->bytes[builder->length++] = byte; }

static void finish(struct builder *builder) {
    unsigned length;
    while (builder->length < ROOM)
        append(builder, random_byte());
    length = compare(builder->bytes, ROOM);
    if (truncates && length)
        check_truncations(builder->bytes, length);
}

static const char *const prefix_sets[] = {
    "",     "\x66",     "\x67",     "\xf2",     "\xf3",     "\xf0",     "\x2e",
    "\x64", "\x66\xf2", "\xf3\x66", "\x67\x66", "\xf2\xf0", "\x41\x66", "\x65\x36\xf2\x67\x66"};

enum { PREFIX_SETS = sizeof prefix_sets / sizeof prefix_sets[0] };

/* `rex` 0 is none, 1 to 16 are 40 to 4f. */
static struct builder begin_legacy(unsigned set, unsigned rex, unsigned map, unsigned opcode) {
    struct builder builder = {.length = 0};
    for (const char *prefix = prefix_sets[set]; *prefix; prefix++)
        append(&builder, (uint8_t)*prefix);
    if (rex)
        append(&builder, (uint8_t)(0x3f + rex));
    if (map)
        append(&builder, 0x0f);
    if (map > 1)
        append(&builder, map == 2 ? 0x38 : 0x3a);
    append(&builder, (uint8_t)opcode);
    return builder;
}

static void run_legacy(unsigned tails) {
    for (unsigned map = 0; map < 4; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned set = 0; set < PREFIX_SETS; set++)
                for (unsigned rex = 0; rex <= 16; rex++)
                    for (unsigned tail = 0; tail < tails; tail++) {
                        struct builder builder = begin_legacy(set, rex, map, opcode);
                        finish(&builder);
                    }
}

static void run_modrm(void) {
    static const unsigned rexes[] = {0, 1, 2, 5, 9, 16};
    for (unsigned map = 0; map < 4; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned set = 0; set < PREFIX_SETS; set++)
                for (unsigned rex = 0; rex < 6; rex++)
                    for (unsigned modrm = 0; modrm < 256; modrm += 1 + (set > 6)) {
                        struct builder builder = begin_legacy(set, rexes[rex], map, opcode);
                        append(&builder, (uint8_t)(modrm + (set > 6 ? random_byte() & 1 : 0)));
                        finish(&builder);
                    }
}

static void append_optional_prefix(struct builder *builder) {
    static const uint8_t prefixes[] = {0x2e, 0x67, 0x64, 0x66, 0xf0, 0xf2, 0xf3, 0x48};
    uint8_t choice = random_byte();
    if (choice < 16)
        append(builder, prefixes[choice & 7]);
}

static void run_vex2(void) {
    for (unsigned payload = 0; payload < 256; payload++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned tail = 0; tail < 8; tail++) {
                struct builder builder = {.length = 0};
                append_optional_prefix(&builder);
                append(&builder, 0xc5);
                append(&builder, (uint8_t)payload);
                append(&builder, (uint8_t)opcode);
                finish(&builder);
            }
}

/* Half of the time with a SIB byte, without which gathers, scatters and tiles are undefined. */
static void append_modrm(struct builder *builder) {
    uint8_t byte = random_byte();
    append(builder, random_byte() & 1 ? byte : (uint8_t)((byte & 0x78) | 4));
}

/* C4 and 8F. */
static void run_vex3(uint8_t first, unsigned first_map, unsigned last_map, unsigned tails) {
    for (unsigned map = first_map; map <= last_map; map++)
        for (unsigned bits = 0; bits < 8; bits++)
            for (unsigned payload = 0; payload < 256; payload++)
                for (unsigned opcode = 0; opcode < 256 * tails; opcode++) {
                    struct builder builder = {.length = 0};
                    append_optional_prefix(&builder);
                    append(&builder, first);
                    append(&builder, (uint8_t)(bits << 5 | map));
                    append(&builder, (uint8_t)payload);
                    append(&builder, (uint8_t)opcode);
                    append_modrm(&builder);
                    finish(&builder);
                }
}

/* z, L'L, b, V', aaa: mostly without masking, zeroing and broadcast, which many opcodes refuse. */
static uint8_t evex_tail(void) {
    uint8_t byte = random_byte();
    return random_byte() < 64 ? byte : (uint8_t)((byte & 0x61) | 0x08);
}

static void run_evex(unsigned tails) {
    for (unsigned map = 0; map < 8; map++)
        for (unsigned bits = 0; bits < 16; bits++)
            for (unsigned payload = 0; payload < 256; payload++)
                for (unsigned opcode = 0; opcode < 256 * tails; opcode++) {
                    struct builder builder = {.length = 0};
                    if (!(payload & 4) && random_byte() < 240)
                        continue;
                    append_optional_prefix(&builder);
                    append(&builder, 0x62);
                    append(&builder, (uint8_t)(bits << 4 | (random_byte() < 8 ? 8 : 0) | map));
                    append(&builder, (uint8_t)payload);
                    append(&builder, evex_tail());
                    append(&builder, (uint8_t)opcode);
                    append_modrm(&builder);
                    finish(&builder);
                }
}

/* A quarter has a likelier beginning, as uniform strings seldom reach the rarer maps. */
static void run_random(unsigned long count) {
    static const uint8_t beginnings[] = {0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x0f,
                                         0xc4, 0xc5, 0x62, 0x8f, 0x67, 0xf0};
    for (unsigned long index = 0; index < count; index++) {
        uint8_t bytes[ROOM];
        uint64_t low = random_64(), high = random_64();
        memcpy(bytes, &low, 8);
        memcpy(bytes + 8, &high, 8);
        if (!(index & 3))
            for (unsigned byte = 0; byte < 1 + (index >> 2) % 4; byte++)
                bytes[byte] = beginnings[bytes[byte] % sizeof beginnings];
        (void)compare(bytes, index % 8 ? ROOM : 1 + low % ROOM);
    }
}

/* ---- cases ---- */

static void begin(void) { compared = agreed = disagreements = only_ours = overcautious = foreign = 0; }

static void end(const char *name) {
    printf(
        "%-16s compared %9lu, both decode %9lu, only ours %8lu, Knights Corner %5lu, overcautious rsp %5lu, "
        "disagreements %lu\n",
        name, compared, agreed, only_ours, foreign, overcautious, disagreements);
    assert_int_equal(disagreements, 0);
}

static void legacy_opcodes(void **state) {
    (void)state;
    begin();
    run_legacy(16);
    end("legacy opcodes");
}

static void legacy_modrm(void **state) {
    (void)state;
    begin();
    run_modrm();
    end("legacy ModRM");
}

static void vex(void **state) {
    (void)state;
    begin();
    run_vex2();
    run_vex3(0xc4, 0, 7, 2);
    end("VEX");
}

static void xop(void **state) {
    (void)state;
    begin();
    run_vex3(0x8f, 0, 12, 1);
    end("XOP and pop");
}

static void evex(void **state) {
    (void)state;
    begin();
    run_evex(6);
    end("EVEX");
}

static void amd_3dnow(void **state) {
    (void)state;
    begin();
    for (unsigned suffix = 0; suffix < 256; suffix++)
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            struct builder builder = {.length = 0};
            unsigned sib = (modrm & 7) == 4 && modrm < 0xc0;
            unsigned displacement = modrm < 0x40   ? 4 * ((modrm & 7) == 5)
                                    : modrm < 0x80 ? 1
                                    : modrm < 0xc0 ? 4
                                                   : 0;
            append(&builder, 0x0f);
            append(&builder, 0x0f);
            append(&builder, (uint8_t)modrm);
            for (unsigned byte = 0; byte < sib + displacement; byte++)
                append(&builder, 0);
            append(&builder, (uint8_t)suffix);
            finish(&builder);
        }
    assert_true(agreed > 0);
    end("3DNow!");
}

static unsigned long random_count = 10 * 1000 * 1000;

static void random_strings(void **state) {
    (void)state;
    begin();
    run_random(random_count);
    end("random");
}

static void truncation(void **state) {
    (void)state;
    begin();
    truncates = true;
    run_legacy(1);
    run_vex2();
    run_vex3(0x8f, 8, 10, 1);
    truncates = false;
    end("truncation");
}

/* How much of what Zydis knows the cases before this one have reached, or it would all be worth little. */
static void coverage(void **state) {
    unsigned reached = 0, known = 0;
    (void)state;
    for (ZydisMnemonic mnemonic = 1; mnemonic <= ZYDIS_MNEMONIC_MAX_VALUE; mnemonic++) {
        known++;
        reached += seen[mnemonic];
    }
    printf("%-16s %u of Zydis' %u mnemonics\n", "coverage", reached, known);
    assert_true(reached * 100 >= known * 92);
}

static unsigned fault;

/* One wrong answer each, as a slip in a table would give. */
static enum tp_status decode_wrongly(const uint8_t *bytes, const uint8_t *end, struct tp_insn *insn) {
    enum tp_status status = tp_insn_decode(bytes, end, insn);
    if (status != TP_OK)
        return status;
    switch (fault) {
    case 0:
        insn->length = (uint8_t)(insn->length + (insn->map == TP_INSN_MAP_ONE_BYTE && insn->opcode == 0x69));
        break;
    case 1:
        insn->kind = insn->kind == TP_INSN_PUSHF ? TP_INSN_OTHER : insn->kind;
        break;
    case 2:
        insn->operand_offset =
            (uint8_t)(insn->operand_offset + (insn->kind == TP_INSN_JCC_RELATIVE && insn->condition == 9));
        break;
    case 3:
        insn->stack += insn->kind == TP_INSN_SUB_RSP;
        break;
    case 4:
        if (insn->opcode == 0x89)
            insn->flags &= ~(uint32_t)TP_INSN_STACK_CHANGES;
        break;
    case 5:
        insn->flags |= insn->kind == TP_INSN_HLT ? TP_INSN_ENDS_FLOW : 0;
        break;
    default:
        return insn->map == TP_INSN_MAP_0F && insn->opcode == 0xc8 ? TP_ERR_BAD_INSN : TP_OK;
    }
    return TP_OK;
}

static void negative_control(void **state) {
    (void)state;
    decode = decode_wrongly;
    is_quiet = true;
    for (fault = 0; fault < 7; fault++) {
        static const char sub_rsp[] = "\x48\x83\xec\x10";
        begin();
        run_legacy(1);
        (void)compare((const uint8_t *)sub_rsp, 4);
        printf("%-16s fault %u: compared %lu, disagreements %lu\n", "negative control", fault, compared,
               disagreements);
        assert_true(disagreements > 0);
        assert_true(disagreements < compared / 50);
    }
    is_quiet = false;
    decode = tp_insn_decode;
}

static void make_guarded_page(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE)) {
        perror("insn_decode_test");
        exit(1);
    }
    page_end = pages + page;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy_opcodes),
        cmocka_unit_test(legacy_modrm),
        cmocka_unit_test(vex),
        cmocka_unit_test(xop),
        cmocka_unit_test(evex),
        cmocka_unit_test(amd_3dnow),
        cmocka_unit_test(truncation),
        cmocka_unit_test(random_strings),
        cmocka_unit_test(coverage),
        cmocka_unit_test(negative_control),
    };
    const char *count = argc > 1 ? argv[1] : getenv("TP_INSN_TEST_STRINGS");
    if (count)
        random_count = strtoul(count, NULL, 10);
    make_guarded_page();
    ZydisDecoderInit(&reference, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
