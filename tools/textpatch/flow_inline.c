/* SPDX-License-Identifier: MIT */
#include "flow_inline.h"

#include "flow_operands.h"

enum { SP = 4, BP = 5, REGISTERS = 16, WORD = 8, WORD_ABSOLUTE = REGISTERS + 1, MOST_EXTRA = 1 << 14 };

/* rax, rcx, rdx, rsi, rdi, r8 to r11 */
enum { CHANGED_BY_CALLS = 0x0fc7 };

static int number_of(ZydisRegister reg) {
    return reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15 ? (int)(reg - ZYDIS_REGISTER_RAX) : -1;
}

/* ---- Where copies are ---- */

static struct kept_word word_of(const ZydisDecodedOperand *operand, uint64_t next) {
    struct kept_word word = {.base = 0, .at = operand->mem.disp.value};
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.index != ZYDIS_REGISTER_NONE ||
        operand->mem.segment == ZYDIS_REGISTER_GS || operand->mem.segment == ZYDIS_REGISTER_FS)
        return word;
    int base = number_of(operand->mem.base);
    if (base >= 0)
        word.base = (uint8_t)(base + 1);
    else if (operand->mem.base == ZYDIS_REGISTER_RIP || operand->mem.base == ZYDIS_REGISTER_NONE)
        word.base = WORD_ABSOLUTE;
    if (operand->mem.base == ZYDIS_REGISTER_RIP)
        word.at += (int64_t)next;
    return word;
}

static bool same_word(const struct kept_word *left, const struct kept_word *right) {
    return left->base && left->base == right->base && left->at == right->at;
}

static void move_word(struct kept_word *word, int64_t change) {
    if (word->base != SP + 1)
        return;
    word->at -= change;
    if (word->at < 0)
        word->base = 0; /* nothing lasts below rsp */
}

/* rsp is that register plus a number now. */
static void move_word_to_sp(struct kept_word *word, int reg, int64_t displacement) {
    if (word->base == SP + 1)
        word->base = 0;
    if (reg < 0 || word->base != reg + 1)
        return;
    word->base = SP + 1;
    word->at -= displacement;
    if (word->at < 0)
        word->base = 0;
}

static void forget_register(struct inline_state *state, int reg) {
    state->sp_copies &= (uint16_t)~(1u << reg);
    state->bp_copies &= (uint16_t)~(1u << reg);
    if (reg == SP)
        return; /* what is at rsp moves with it */
    if (state->sp_word.base == reg + 1)
        state->sp_word.base = 0;
    if (state->bp_word.base == reg + 1)
        state->bp_word.base = 0;
}

static void forget_copies(struct inline_state *state) {
    state->sp_copies = state->bp_copies = 0;
    state->sp_word.base = state->bp_word.base = 0;
}

static void add_sp_copy(struct inline_state *state, int reg, int32_t extra) {
    if (state->sp_copies_extra != extra)
        state->sp_copies = 0;
    state->sp_copies_extra = extra;
    state->sp_copies |= (uint16_t)(1u << reg);
}

/* What a register holds, if that is rsp or rbp as the compiler means them. */
struct value {
    bool is_sp, is_bp;
    int32_t extra;
};

static struct value value_of_register(const struct inline_state *state, int reg) {
    if (reg == SP)
        return (struct value){.is_sp = !state->sp_is_lost, .extra = state->extra};
    if (reg == BP && !state->bp_is_lost)
        return (struct value){.is_bp = true};
    return (struct value){.is_sp = state->sp_copies >> reg & 1, .is_bp = state->bp_copies >> reg & 1,
                          .extra = state->sp_copies_extra};
}

static struct value value_of_word(const struct inline_state *state, const struct kept_word *word) {
    return (struct value){.is_sp = same_word(&state->sp_word, word), .is_bp = same_word(&state->bp_word, word),
                          .extra = state->sp_word.extra};
}

static struct value value_of(const struct inline_state *state, const ZydisDecodedOperand *operand, uint64_t next) {
    int reg = operand->type == ZYDIS_OPERAND_TYPE_REGISTER ? number_of(operand->reg.value) : -1;
    struct kept_word word = word_of(operand, next);
    if (reg >= 0)
        return value_of_register(state, reg);
    return operand->type == ZYDIS_OPERAND_TYPE_MEMORY ? value_of_word(state, &word) : (struct value){.extra = 0};
}

static void set_register(struct inline_state *state, int reg, struct value value) {
    forget_register(state, reg);
    if (reg == SP) {
        state->sp_is_lost = !value.is_sp;
        state->extra = value.is_sp ? value.extra : 0;
    } else if (reg == BP) {
        state->bp_is_lost = !value.is_bp;
    }
    if (reg == SP || reg == BP)
        return;
    if (value.is_sp)
        add_sp_copy(state, reg, value.extra);
    if (value.is_bp)
        state->bp_copies |= (uint16_t)(1u << reg);
}

static void set_word(struct inline_state *state, struct kept_word word, struct value value) {
    word.extra = value.extra;
    if (value.is_sp)
        state->sp_word = word;
    else if (same_word(&state->sp_word, &word))
        state->sp_word.base = 0;
    if (value.is_bp)
        state->bp_word = word;
    else if (same_word(&state->bp_word, &word))
        state->bp_word.base = 0;
}

/* ---- Instructions ---- */

static void set_sp(struct inline_state *state, struct value value, int reg, int64_t displacement) {
    move_word_to_sp(&state->sp_word, reg, displacement);
    move_word_to_sp(&state->bp_word, reg, displacement);
    set_register(state, SP, value);
}

static bool step_move(struct inline_state *state, const struct operands *of, uint64_t next) {
    const ZydisDecodedOperand *to = &of->operands[0], *from = &of->operands[1];
    if (of->instruction.mnemonic != ZYDIS_MNEMONIC_MOV || of->instruction.operand_width != 64)
        return false;
    struct value value = value_of(state, from, next);
    int reg = number_of(whole_register(to)), source = number_of(whole_register(from));
    if (reg == SP)
        set_sp(state, value, source, 0);
    else if (reg >= 0)
        set_register(state, reg, value);
    else
        set_word(state, word_of(to, next), value);
    return true;
}

static bool step_lea(struct inline_state *state, const struct operands *of) {
    const ZydisDecodedOperand *to = &of->operands[0], *from = &of->operands[1];
    if (of->instruction.mnemonic != ZYDIS_MNEMONIC_LEA || !is_register(to, ZYDIS_REGISTER_RSP))
        return false;
    int reg = from->mem.index == ZYDIS_REGISTER_NONE ? number_of(from->mem.base) : -1;
    struct value value = reg >= 0 ? value_of_register(state, reg) : (struct value){.extra = 0};
    int64_t extra = (int64_t)value.extra - from->mem.disp.value;
    value.is_sp = value.is_sp && extra > -MOST_EXTRA && extra < MOST_EXTRA;
    value.extra = (int32_t)(value.is_sp ? extra : 0);
    set_sp(state, value, reg, from->mem.disp.value);
    return true;
}

static bool step_exchange(struct inline_state *state, const struct operands *of) {
    int left = number_of(of->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? of->operands[0].reg.value : ZYDIS_REGISTER_NONE);
    int right = number_of(of->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER ? of->operands[1].reg.value : ZYDIS_REGISTER_NONE);
    if (of->instruction.mnemonic != ZYDIS_MNEMONIC_XCHG || left < 0 || right < 0)
        return false;
    struct value first = value_of_register(state, left), second = value_of_register(state, right);
    forget_register(state, left);
    forget_register(state, right);
    if (left == SP || right == SP)
        set_sp(state, left == SP ? second : first, -1, 0);
    if (left != SP)
        set_register(state, left, second);
    if (right != SP)
        set_register(state, right, first);
    return true;
}

static void step_push(struct inline_state *state, const struct operands *of, uint64_t next) {
    struct value value = value_of(state, &of->operands[0], next);
    move_word(&state->sp_word, -WORD);
    move_word(&state->bp_word, -WORD);
    set_word(state, (struct kept_word){.base = SP + 1}, value);
}

static void step_pop(struct inline_state *state, const struct operands *of) {
    const struct kept_word top = {.base = SP + 1};
    struct value value = value_of_word(state, &top);
    int reg = number_of(whole_register(&of->operands[0]));
    move_word(&state->sp_word, WORD);
    move_word(&state->bp_word, WORD);
    if (reg == SP)
        set_sp(state, value, -1, 0);
    else if (reg >= 0)
        set_register(state, reg, value);
}

static void step_others(struct inline_state *state, const struct tp_insn *insn, const struct operands *of) {
    for (unsigned i = 0; i < of->instruction.operand_count; i++) {
        int reg = is_written(&of->operands[i]) ? number_of(whole_register(&of->operands[i])) : -1;
        if (reg >= 0 && reg != SP)
            set_register(state, reg, (struct value){.extra = 0});
    }
    if (insn->flags & TP_INSN_STACK_CHANGES && !(insn->flags & TP_INSN_STACK_KNOWN))
        set_sp(state, (struct value){.extra = 0}, -1, 0);
    else if (insn->flags & TP_INSN_STACK_CHANGES) {
        move_word(&state->sp_word, insn->stack);
        move_word(&state->bp_word, insn->stack);
    }
}

static void step_call(struct inline_state *state) {
    for (int reg = 0; reg < REGISTERS; reg++)
        if (CHANGED_BY_CALLS >> reg & 1)
            forget_register(state, reg);
}

/* Most instructions do nothing to rsp and rbp, and Zydis takes its time. */
static bool may_matter(const struct inline_state *state, const struct tp_insn *insn) {
    if (state->sp_copies || state->bp_copies || state->sp_word.base || state->bp_word.base ||
        insn->flags & (TP_INSN_STACK_CHANGES | TP_INSN_IS_VEX))
        return true;
    if (!(insn->flags & TP_INSN_HAS_MODRM))
        return (insn->opcode & 7) == SP || (insn->opcode & 7) == BP;
    unsigned reg = insn->modrm >> 3 & 7, other = insn->modrm & 7;
    return reg == SP || reg == BP || (insn->modrm >= 0xc0 && (other == SP || other == BP));
}

static void step_inline(struct inline_state *state, const struct tp_insn *insn, const uint8_t *bytes, uint64_t next) {
    struct operands of;
    const bool known = insn->flags & TP_INSN_STACK_KNOWN;
    if (is_call(insn)) {
        step_call(state);
        return;
    }
    if (!may_matter(state, insn))
        return;
    if (!decode_operands(bytes, insn->length, &of))
        forget_copies(state);
    else if (insn->kind == TP_INSN_PUSH)
        step_push(state, &of, next);
    else if (insn->kind == TP_INSN_POP)
        step_pop(state, &of);
    else if (of.instruction.operand_count_visible != 2 ||
             !(step_move(state, &of, next) || (!known && step_lea(state, &of)) || step_exchange(state, &of)))
        step_others(state, insn, &of);
}

/* ---- Beside .eh_frame ---- */

static bool same_frame(const struct orc_state *left, const struct orc_state *right) {
    return (left->registers & TP_ORC_BASE) == (right->registers & TP_ORC_BASE) && left->type == right->type &&
           (is_call_at_rsp(left) || left->sp_offset == right->sp_offset);
}

static bool same_bp(const struct orc_state *left, const struct orc_state *right) {
    return (left->registers & TP_ORC_BP) == (right->registers & TP_ORC_BP) && left->bp_offset == right->bp_offset;
}

static bool start_again(struct inline_state *state) {
    *state = (struct inline_state){.extra = 0};
    return true;
}

bool carry_inline(struct inline_state *state, const struct orc_state *before, const struct orc_state *after,
                  const struct tp_insn *insn, const uint8_t *bytes, uint64_t address) {
    if (!same_frame(before, after))
        return start_again(state);
    const bool at_rsp = is_call_at_rsp(before);
    int64_t pushed = insn && insn->flags & TP_INSN_STACK_KNOWN ? -(int64_t)insn->stack : 0;
    int32_t told = at_rsp ? after->sp_offset - before->sp_offset : 0;
    if (told) {
        forget_copies(state);
    } else {
        if (insn)
            step_inline(state, insn, bytes, address + insn->length);
        int64_t sum = state->extra + pushed;
        if (sum <= -MOST_EXTRA || sum >= MOST_EXTRA)
            return false;
        state->extra = (int32_t)sum;
    }
    if (!same_bp(before, after)) {
        state->bp_is_lost = false;
        state->bp_copies = 0;
        state->bp_word.base = 0;
    }
    if (!at_rsp || state->sp_is_lost)
        state->extra = 0;
    if (!at_rsp)
        state->sp_is_lost = false;
    return told == 0 || told == pushed;
}

static bool same_kept(const struct kept_word *left, const struct kept_word *right) {
    return same_word(left, right) && left->extra == right->extra;
}

enum join_result join_inline(struct inline_state *known, const struct inline_state *other) {
    const struct inline_state old = *known;
    if (!known->sp_is_lost && !other->sp_is_lost && known->extra != other->extra)
        return JOIN_CONFLICT;
    known->sp_is_lost |= other->sp_is_lost;
    known->bp_is_lost |= other->bp_is_lost;
    if (known->sp_is_lost)
        known->extra = 0;
    known->sp_copies &= known->sp_copies_extra == other->sp_copies_extra ? other->sp_copies : 0;
    known->bp_copies &= other->bp_copies;
    if (!same_kept(&known->sp_word, &other->sp_word))
        known->sp_word.base = 0;
    if (!same_kept(&known->bp_word, &other->bp_word))
        known->bp_word.base = 0;
    bool same = known->sp_is_lost == old.sp_is_lost && known->bp_is_lost == old.bp_is_lost &&
                known->sp_copies == old.sp_copies && known->bp_copies == old.bp_copies &&
                known->sp_word.base == old.sp_word.base && known->bp_word.base == old.bp_word.base;
    return same ? JOIN_SAME : JOIN_CHANGED;
}

void apply_inline(const struct inline_state *state, struct orc_state *frame) {
    const unsigned base = frame->registers & TP_ORC_BASE, rule = frame->registers & TP_ORC_BP;
    const bool at_rsp = is_call_at_rsp(frame), by_bp = base == TP_ORC_BASE_BP || base == TP_ORC_BASE_AT_BP ||
                                                       base == TP_ORC_BASE_BEHIND_BP;
    if ((at_rsp && state->sp_is_lost) || (by_bp && state->bp_is_lost)) {
        *frame = (struct orc_state){.type = TP_ORC_UNDEFINED};
        return;
    }
    if (at_rsp)
        frame->sp_offset += state->extra;
    if (!state->bp_is_lost || (rule != TP_ORC_BP_SAME && rule != TP_ORC_BP_AT_BP))
        return;
    bool is_saved = at_rsp && state->bp_word.base == SP + 1 && rule == TP_ORC_BP_SAME;
    frame->registers = (uint8_t)(base | (is_saved ? TP_ORC_BP_SAVED : TP_ORC_BP_UNKNOWN));
    frame->bp_offset = is_saved ? (int32_t)(state->bp_word.at - frame->sp_offset) : 0;
}
