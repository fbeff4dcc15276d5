/* SPDX-License-Identifier: MIT */
#include "../insn/classify.h"

#include "../insn/classify_tables.h"

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, RSP = 4 };

/* What follows from the kind alone. */
enum {
    IS_NEAR_BRANCH = 1,
    ENDS_FLOW = 2,
    PUSHES = 4,
    POPS = 8,
    MOVES_STACK = 16, /* by how much is looked at, or can't be told */
};

static const uint8_t effects_of_kinds[] = {
    [TP_INSN_CALL_RELATIVE] = IS_NEAR_BRANCH,
    [TP_INSN_JMP_RELATIVE] = IS_NEAR_BRANCH | ENDS_FLOW,
    [TP_INSN_JCC_RELATIVE] = IS_NEAR_BRANCH,
    [TP_INSN_LOOP] = IS_NEAR_BRANCH,
    [TP_INSN_CALL_INDIRECT] = IS_NEAR_BRANCH,
    [TP_INSN_JMP_INDIRECT] = IS_NEAR_BRANCH | ENDS_FLOW,
    [TP_INSN_JMP_FAR] = ENDS_FLOW,
    [TP_INSN_RET] = IS_NEAR_BRANCH | ENDS_FLOW | POPS,
    [TP_INSN_RET_FAR] = ENDS_FLOW | MOVES_STACK,
    [TP_INSN_IRET] = ENDS_FLOW | MOVES_STACK,
    [TP_INSN_SYSRET] = ENDS_FLOW | MOVES_STACK,
    [TP_INSN_PUSH] = PUSHES,
    [TP_INSN_POP] = POPS,
    [TP_INSN_PUSHF] = PUSHES,
    [TP_INSN_POPF] = POPS,
    [TP_INSN_ENTER] = PUSHES,
    [TP_INSN_LEAVE] = MOVES_STACK,
    [TP_INSN_UD] = ENDS_FLOW,
    [TP_INSN_HLT] = 0,
};

static unsigned look_up(const struct tp_opcode_range *row, unsigned count, const struct tp_insn *insn) {
    unsigned map = insn->map | (insn->flags & TP_INSN_IS_VEX ? TP_RANGE_VEX : 0u);
    unsigned extension = insn->flags & TP_INSN_HAS_MODRM ? 1u << (insn->modrm >> 3 & 7) : 0xff;
    for (; count-- > 0; row++)
        if (row->map == map && insn->opcode >= row->first && insn->opcode <= row->last &&
            (row->extensions & extension))
            return row->value;
    return 0;
}

/* SDM vol. 2 section 2.2.1.2: REX.W wins over 66. */
static bool is_16_bit(const struct tp_insn *insn) {
    return (insn->flags & TP_INSN_HAS_OPERAND_SIZE_PREFIX) && !(insn->rex & REX_W);
}

static unsigned find_kind(const struct tp_insn *insn) {
    unsigned kind = look_up(tp_kind_ranges, sizeof tp_kind_ranges / sizeof tp_kind_ranges[0], insn);
    bool is_repeated = insn->flags & TP_INSN_HAS_REPEAT_PREFIX;
    bool is_locked = insn->flags & TP_INSN_HAS_LOCK_PREFIX;
    if (kind == TP_INSN_XBEGIN && insn->modrm != 0xf8)
        return TP_INSN_OTHER;
    /* Neither pause, nor #UD, nor xchg with r8. */
    if (kind == TP_INSN_NOP && (is_repeated || is_locked || (insn->opcode == 0x90 && (insn->rex & REX_B))))
        return TP_INSN_OTHER;
    /* eretu, erets (FRED), uiret (user interrupts), among many others of 0F 01. */
    if (kind == TP_INSN_IRET && insn->opcode == 0x01 &&
        !(is_repeated && (insn->modrm == 0xca || insn->modrm == 0xec)))
        return TP_INSN_OTHER;
    return kind;
}

/* The rows 00-3F: bit 1 is the direction, 4 and 5 are rax, 38 is cmp. Out of line for size. */
__attribute__((noinline)) static unsigned written_operands(const struct tp_insn *insn) {
    uint8_t opcode = insn->opcode;
    if (insn->map != TP_INSN_MAP_ONE_BYTE || opcode >= 0x40)
        return look_up(tp_write_ranges, sizeof tp_write_ranges / sizeof tp_write_ranges[0], insn);
    if (opcode >= 0x38 || (opcode & 4))
        return 0;
    return TP_WRITES_SIZED | (opcode & 2 ? TP_WRITES_REG : TP_WRITES_RM);
}

static bool names_rsp(const struct tp_insn *insn, unsigned number, unsigned rex_bit) {
    return (number & 7) == RSP && !(insn->rex & rex_bit);
}

static bool writes_rsp(const struct tp_insn *insn) {
    unsigned operands = written_operands(insn);
    /* mov from CR and DR takes its register from rm whatever mod is. */
    bool rm_is_register =
        insn->modrm >= 0xc0 || (insn->map == TP_INSN_MAP_0F && (insn->opcode & 0xfe) == 0x20);
    bool is_byte = (operands & TP_WRITES_BYTE) || ((operands & TP_WRITES_SIZED) && !(insn->opcode & 1));
    /* Byte register 4 is ah, unless there is a REX (SDM vol. 2 section 2.2.1.2). */
    if (is_byte && !insn->rex)
        return false;
    return ((operands & TP_WRITES_REG) && names_rsp(insn, insn->modrm >> 3, REX_R)) ||
           ((operands & TP_WRITES_RM) && rm_is_register && names_rsp(insn, insn->modrm, REX_B)) ||
           ((operands & TP_WRITES_OPCODE) && names_rsp(insn, insn->opcode, REX_B)) ||
           ((operands & TP_WRITES_SECOND) && insn->second_source == RSP);
}

static void set_stack(struct tp_insn *insn, int32_t change) {
    insn->stack = change;
    insn->flags |= TP_INSN_STACK_CHANGES | TP_INSN_STACK_KNOWN;
}

static int32_t read_32(const uint8_t *bytes) {
    return (int32_t)((uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 |
                     bytes[0]);
}

/* add, sub and lea with an immediate or a displacement, to the whole of rsp, else nothing. */
static void recognise_adjustment(struct tp_insn *insn, const uint8_t *bytes) {
    const uint8_t *end = bytes + insn->length;
    unsigned kind = TP_INSN_OTHER;
    bool is_long = insn->opcode == 0x81;
    if (insn->map != TP_INSN_MAP_ONE_BYTE || (insn->rex & (REX_B | REX_X | REX_R | REX_W)) != REX_W)
        return;
    if (is_long || insn->opcode == 0x83) {
        if (insn->modrm == 0xc4)
            kind = TP_INSN_ADD_RSP;
        else if (insn->modrm == 0xec)
            kind = TP_INSN_SUB_RSP;
    } else if (insn->opcode == 0x8d && !(insn->flags & TP_INSN_HAS_ADDRESS_SIZE_PREFIX)) {
        is_long = insn->modrm == 0xa4;
        /* Base rsp; index 4 is none, whatever the scale. */
        if ((is_long || insn->modrm == 0x64) && (end[is_long ? -5 : -2] & 0x3f) == 0x24)
            kind = TP_INSN_LEA_RSP;
    }
    if (kind == TP_INSN_OTHER)
        return;
    int32_t change = is_long ? read_32(end - 4) : (int8_t)end[-1];
    if (kind == TP_INSN_SUB_RSP) {
        if (change == INT32_MIN)
            return;
        change = -change;
    }
    insn->kind = (uint8_t)kind;
    set_stack(insn, change);
}

/* Bytes that ret and enter name themselves, beyond the one slot that they pop or push. -1: not to be told. */
static int32_t named_bytes(const struct tp_insn *insn, const uint8_t *bytes) {
    const uint8_t *end = bytes + insn->length;
    if (insn->kind == TP_INSN_RET && insn->opcode == 0xc2)
        return end[-2] | end[-1] << 8;
    if (insn->kind == TP_INSN_ENTER)
        return end[-1] ? -1 : end[-3] | end[-2] << 8;
    if (insn->kind == TP_INSN_POP && insn->map == TP_INSN_MAP_ONE_BYTE) {
        bool is_memory = insn->opcode == 0x8f && insn->modrm < 0xc0;
        uint8_t number = insn->opcode == 0x8f ? insn->modrm : insn->opcode;
        return !is_memory && names_rsp(insn, number, REX_B) ? -1 : 0;
    }
    return 0;
}

static void find_stack_change(struct tp_insn *insn, const uint8_t *bytes, unsigned effects) {
    bool is_vendors = insn->flags & TP_INSN_VENDOR_DEPENDENT;
    recognise_adjustment(insn, bytes);
    if (insn->flags & TP_INSN_STACK_CHANGES)
        return;
    if (effects & (PUSHES | POPS)) {
        int32_t slot = is_16_bit(insn) ? 2 : 8;
        int32_t more = named_bytes(insn, bytes);
        if (more >= 0 && !is_vendors) {
            set_stack(insn, effects & POPS ? slot + more : -slot - more);
            return;
        }
        effects |= MOVES_STACK;
    }
    insn->flags |= (effects & MOVES_STACK) || writes_rsp(insn) ? TP_INSN_STACK_CHANGES : TP_INSN_STACK_KNOWN;
}

void tp_insn_classify(struct tp_insn *insn, const uint8_t *bytes) {
    unsigned kind = find_kind(insn);
    unsigned effects = effects_of_kinds[kind];
    bool is_ud0 = kind == TP_INSN_UD && insn->opcode == 0xff;
    insn->kind = (uint8_t)kind;
    if (kind == TP_INSN_JCC_RELATIVE)
        insn->condition = insn->opcode & 15;
    if (effects & ENDS_FLOW)
        insn->flags |= TP_INSN_ENDS_FLOW;
    if (((effects & IS_NEAR_BRANCH) && is_16_bit(insn)) || is_ud0)
        insn->flags |= TP_INSN_VENDOR_DEPENDENT;
    find_stack_change(insn, bytes, effects);
}
