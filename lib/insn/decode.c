/* SPDX-License-Identifier: MIT */
#include "../insn/decode.h"

#include "../insn/classify.h"
#include "../insn/decode_tables.h"

/* A set of opcode maps, a bit each. */
#define MAPS(first, last) ((2u << (last)) - (1u << (first)))

enum { REX_W = 8, REX = 0x40 };

/*
 * The bytes that may be read, and zeros behind them, so that the code which reads needs no error paths: the
 * position tells in the end that a zero was made up, and then whatever followed from it is dropped. A zero is
 * no prefix, so 15 prefixes, an opcode and its operands are the most that is ever looked at.
 */
struct cursor {
    uint8_t window[32];
    unsigned room;
    unsigned position;
};

static void open_window(struct cursor *cursor, const uint8_t *bytes, const uint8_t *end) {
    *cursor =
        (struct cursor){.room = end - bytes < TP_INSN_LONGEST ? (unsigned)(end - bytes) : TP_INSN_LONGEST};
    for (unsigned byte = 0; byte < cursor->room; byte++)
        cursor->window[byte] = bytes[byte];
}

static uint8_t take(struct cursor *cursor) { return cursor->window[cursor->position++]; }

static enum tp_status failure(const struct cursor *cursor) {
    bool ran_out = cursor->position > cursor->room;
    return ran_out && cursor->room < TP_INSN_LONGEST ? TP_ERR_TRUNCATED_INSN : TP_ERR_BAD_INSN;
}

/* 0 if it is no legacy prefix. */
static unsigned prefix_flag(uint8_t byte) {
    if ((byte & 0xe7) == 0x26 || (byte & 0xfe) == 0x64)
        return TP_INSN_HAS_SEGMENT_PREFIX;
    if ((byte & 0xfe) == 0xf2)
        return TP_INSN_HAS_REPEAT_PREFIX;
    switch (byte) {
    case 0x66:
        return TP_INSN_HAS_OPERAND_SIZE_PREFIX;
    case 0x67:
        return TP_INSN_HAS_ADDRESS_SIZE_PREFIX;
    case 0xf0:
        return TP_INSN_HAS_LOCK_PREFIX;
    default:
        return 0;
    }
}

/*
 * Returns the first byte that is no prefix. REX counts only as the last of them (SDM vol. 2 section 2.2.1).
 */
static uint8_t take_prefixes(struct cursor *cursor, struct tp_insn *insn) {
    for (;;) {
        uint8_t byte = take(cursor);
        unsigned flag = prefix_flag(byte);
        bool is_rex = (byte & 0xf0) == REX;
        if (!flag && !is_rex) {
            insn->prefix_bytes = (uint8_t)(cursor->position - 1);
            return byte;
        }
        insn->rex = is_rex ? byte : 0;
        insn->flags |= flag ? flag | TP_INSN_HAS_LEGACY_PREFIX : 0;
    }
}

/* Prefixes that are #UD before VEX, EVEX and XOP (SDM vol. 2 sections 2.3.2 to 2.3.4, APM vol. 3 1.9). */
static bool forbids_vex(const struct tp_insn *insn) {
    return insn->rex || (insn->flags & (TP_INSN_HAS_OPERAND_SIZE_PREFIX | TP_INSN_HAS_LOCK_PREFIX |
                                        TP_INSN_HAS_REPEAT_PREFIX));
}

/* The bits R, X and B are stored inverted in a prefix's upper three bits. */
static uint8_t rex_from_vex(uint8_t inverted, uint8_t w) {
    return (uint8_t)(REX | ((w & 0x80) >> 4) | ((uint8_t)~inverted >> 5));
}

/*
 * Takes what stands between C5, C4, 8F (which isn't pop then) or 62 and the opcode. The map; 0 if it's bad.
 */
static uint8_t take_vex(struct cursor *cursor, struct tp_insn *insn, uint8_t first) {
    unsigned allowed = MAPS(1, 3);
    uint8_t map = TP_INSN_MAP_0F;
    uint8_t payload = take(cursor);
    uint8_t last = payload;
    if (first != 0xc5) {
        map = payload & 0x1f;
        last = take(cursor);
    }
    if (first == 0x8f)
        allowed = MAPS(8, 10);
    if (first == 0x62) {
        (void)take(cursor);
        map &= 0x0f;
        allowed = MAPS(1, 3) | MAPS(5, 6);
        /* A fixed 1, which MVEX (Xeon Phi's first, another architecture in all but name) has as 0. */
        if (!(last & 4))
            return 0;
    }
    insn->rex = first == 0xc5 ? rex_from_vex(payload | 0x60, 0) : rex_from_vex(payload, last);
    insn->second_source = (uint8_t)(~last >> 3) & 15;
    insn->flags |= TP_INSN_IS_VEX;
    return allowed >> map & 1 ? map : 0;
}

/* Extended encodings drop the shapes that only plain 0F opcodes have; vzeroupper is the one without ModRM. */
static unsigned vex_shape(unsigned shape, uint8_t opcode) {
    if (shape == TP_SHAPE_EXTRACT)
        return TP_SHAPE_MODRM;
    return shape == TP_SHAPE_MODRM || shape == TP_SHAPE_MODRM_IMM_8 || opcode == 0x77 ? shape : TP_SHAPE_NONE;
}

/* 8F is pop if the map would be below 8, as it is with a ModRM.reg of 0 (APM vol. 3 section 1.9). */
static bool begins_vex(const struct cursor *cursor, uint8_t byte) {
    if (byte != 0x8f)
        return byte == 0xc4 || byte == 0xc5 || byte == 0x62;
    return (cursor->window[cursor->position] & 0x1f) >= TP_INSN_MAP_XOP8;
}

/* Everything up to the opcode. Out of line, like immediate_size, for size: GCC makes copies of the rest. */
__attribute__((noinline)) static unsigned take_opcode(struct cursor *cursor, struct tp_insn *insn) {
    uint8_t byte = take_prefixes(cursor, insn);
    bool is_vex = begins_vex(cursor, byte);
    if (is_vex) {
        insn->map = forbids_vex(insn) ? 0 : take_vex(cursor, insn, byte);
        if (insn->map == 0)
            return TP_SHAPE_NONE;
        byte = take(cursor);
    } else if (byte == 0x0f) {
        insn->map = TP_INSN_MAP_0F;
        byte = take(cursor);
        if (byte == 0x38 || byte == 0x3a) {
            insn->map = byte == 0x38 ? TP_INSN_MAP_0F38 : TP_INSN_MAP_0F3A;
            byte = take(cursor);
        }
    }
    insn->opcode = byte;
    if (insn->map > TP_INSN_MAP_0F)
        return (unsigned)(tp_shapes_of_maps >> 4 * insn->map) & 15;
    unsigned shape = tp_shape(insn->map ? tp_shapes_0f : tp_shapes_one_byte, byte);
    return is_vex ? vex_shape(shape, byte) : shape;
}

static void mark_operand(struct tp_insn *insn, unsigned offset, unsigned size) {
    insn->operand_offset = (uint8_t)offset;
    insn->operand_size = (uint8_t)size;
}

/* SDM vol. 2 tables 2-2 and 2-3. 67 doesn't matter here: 64-bit mode has no 16-bit addressing. */
static void take_memory_operand(struct cursor *cursor, struct tp_insn *insn) {
    unsigned mode = insn->modrm >> 6;
    unsigned base = insn->modrm & 7;
    if (mode == 3)
        return;
    if (mode == 0 && base == 5) {
        insn->flags |= TP_INSN_RIP_RELATIVE;
        mark_operand(insn, cursor->position, 4);
    }
    if (base == 4)
        base = take(cursor) & 7;
    if (mode == 1)
        cursor->position += 1;
    else if (mode == 2 || base == 5)
        cursor->position += 4;
}

/* Of group 3's members only test has an immediate. */
static unsigned shape_in_group_3(const struct tp_insn *insn) {
    if (insn->modrm & 0x30)
        return TP_SHAPE_MODRM;
    return insn->opcode & 1 ? TP_SHAPE_MODRM_IMM_Z : TP_SHAPE_MODRM_IMM_8;
}

__attribute__((noinline)) static unsigned immediate_size(const struct tp_insn *insn, unsigned shape) {
    uint64_t sizes = tp_immediate_sizes;
    if (insn->rex & REX_W)
        sizes = tp_immediate_sizes_wide;
    else if (insn->flags & TP_INSN_HAS_OPERAND_SIZE_PREFIX)
        sizes = tp_immediate_sizes_16_bit;
    if (shape == TP_SHAPE_ADDRESS && (insn->flags & TP_INSN_HAS_ADDRESS_SIZE_PREFIX))
        return 4;
    if (shape == TP_SHAPE_EXTRACT &&
        (insn->flags & (TP_INSN_HAS_OPERAND_SIZE_PREFIX | TP_INSN_HAS_REPEAT_PREFIX)))
        return 2;
    return (unsigned)(sizes >> 4 * shape) & 15;
}

static bool is_xbegin(const struct tp_insn *insn) {
    return insn->map == TP_INSN_MAP_ONE_BYTE && insn->opcode == 0xc7 && insn->modrm == 0xf8;
}

enum tp_status tp_insn_decode(const uint8_t *bytes, const uint8_t *end, struct tp_insn *insn) {
    struct cursor cursor;
    open_window(&cursor, bytes, end);
    *insn = (struct tp_insn){0};

    unsigned shape = take_opcode(&cursor, insn);
    if (shape >= TP_SHAPE_MODRM && shape != TP_SHAPE_NONE) {
        insn->modrm = take(&cursor);
        insn->flags |= TP_INSN_HAS_MODRM;
        if (shape == TP_SHAPE_GROUP_3)
            shape = shape_in_group_3(insn);
        if (shape != TP_SHAPE_MODRM_REGISTERS)
            take_memory_operand(&cursor, insn);
    }
    unsigned size = immediate_size(insn, shape);
    if (shape == TP_SHAPE_RELATIVE_8 || shape == TP_SHAPE_RELATIVE_32 || is_xbegin(insn))
        mark_operand(insn, cursor.position, size);
    cursor.position += size;
    if (shape == TP_SHAPE_NONE || cursor.position > cursor.room)
        return failure(&cursor);
    insn->length = (uint8_t)cursor.position;
    tp_insn_classify(insn, bytes);
    return TP_OK;
}

enum tp_status tp_insn_walk(const uint8_t *bytes, unsigned length, uint8_t boundaries[TP_INSN_WALK_MAX / 8],
                            unsigned *count) {
    *count = 0;
    for (unsigned byte = 0; byte < TP_INSN_WALK_MAX / 8; byte++)
        boundaries[byte] = 0;
    if (length > TP_INSN_WALK_MAX)
        return TP_ERR_BAD_ARGUMENT;
    for (unsigned offset = 0; offset < length;) {
        struct tp_insn insn;
        enum tp_status status = tp_insn_decode(bytes + offset, bytes + length, &insn);
        if (status != TP_OK)
            return status;
        boundaries[offset / 8] |= (uint8_t)(1u << offset % 8);
        ++*count;
        offset += insn.length;
    }
    return TP_OK;
}

int32_t tp_insn_displacement(const struct tp_insn *insn, const uint8_t *bytes) {
    uint32_t value = 0;
    unsigned bits = 8u * insn->operand_size;
    if (bits == 0)
        return 0;
    for (unsigned byte = insn->operand_size; byte-- > 0;)
        value = value << 8 | bytes[insn->operand_offset + byte];
    return (int32_t)(value << (32 - bits)) >> (32 - bits);
}

uintptr_t tp_insn_target(const struct tp_insn *insn, const uint8_t *bytes, uintptr_t address) {
    return address + insn->length + (uintptr_t)(intptr_t)tp_insn_displacement(insn, bytes);
}

bool tp_insn_may_be_padded(const struct tp_insn *insn, unsigned padding) {
    if (insn->flags & (TP_INSN_HAS_SEGMENT_PREFIX | TP_INSN_VENDOR_DEPENDENT))
        return false;
    if (padding > TP_INSN_LONGEST || insn->kind == TP_INSN_JCC_RELATIVE || insn->kind == TP_INSN_LOOP ||
        insn->kind == TP_INSN_INT3)
        return false;
    return padding + insn->length <= TP_INSN_LONGEST;
}

bool tp_insn_leaves_return_address(const struct tp_insn *insn) {
    switch (insn->kind) {
    case TP_INSN_CALL_RELATIVE:
    case TP_INSN_CALL_INDIRECT:
    case TP_INSN_CALL_FAR:
    case TP_INSN_INT:
    case TP_INSN_SYSCALL:
        return true;
    default:
        return false;
    }
}

bool tp_insn_ends_in_call(const uint8_t *bytes, unsigned length, struct tp_insn *last) {
    last->kind = TP_INSN_OTHER;
    for (unsigned at = 0; at < length; at += last->length)
        if (tp_insn_decode(bytes + at, bytes + length, last) != TP_OK)
            return false;
    return last->kind == TP_INSN_CALL_RELATIVE || last->kind == TP_INSN_CALL_INDIRECT;
}
