/* SPDX-License-Identifier: MIT */
#include "flow_state.h"

#include "flow_operands.h"

enum { WORD = 8 };

/* Where things are in a struct tp_regs, counted from its five words. */
enum { WORDS_AT = offsetof(struct tp_regs, rip), BP_BEFORE_WORDS = (int)offsetof(struct tp_regs, rbp) - WORDS_AT };

/* Farther than an entry can say, which orc_write.c tells; and sums of such and 32 bits are no more than 64 can hold. */
enum { FARTHEST = 1 << 24 };

static int32_t limit(int64_t offset) {
    return offset < -FARTHEST ? -FARTHEST : offset > FARTHEST ? FARTHEST : (int32_t)offset;
}

bool decode_operands(const uint8_t *bytes, unsigned length, struct operands *out) {
    static ZydisDecoder decoder;
    static bool ready;
    if (!ready)
        ready = ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64));
    return ready && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &out->instruction, out->operands));
}

bool decode_at(const uint8_t *bytes, uint64_t size, struct tp_insn *insn) {
    return size && tp_insn_decode(bytes, bytes + (size < TP_INSN_LONGEST ? size : TP_INSN_LONGEST), insn) == TP_OK;
}

bool decode_code(const uint8_t *bytes, uint64_t size, uint64_t address, struct tp_insn *insn) {
    if (!decode_at(bytes, size, insn))
        return false;
    if (insn->kind == TP_INSN_CALL_RELATIVE && tp_insn_target(insn, bytes, address) == address + insn->length) {
        insn->kind = TP_INSN_OTHER;
        insn->flags |= TP_INSN_STACK_CHANGES | TP_INSN_STACK_KNOWN;
        insn->stack = -WORD;
    }
    return true;
}

const uint8_t *code_at(const struct orc_text *text, uint64_t address, uint64_t *size) {
    const struct kernel_section *section = section_at(text->kernel, address);
    if (!section || !section->bytes || !is_executable(section))
        return NULL;
    *size = section->size - (address - section->address);
    return section->bytes + (address - section->address);
}

static bool is_counted_from_sp(const struct orc_state *state) {
    unsigned base = state->registers & TP_ORC_BASE;
    return base == TP_ORC_BASE_SP || base == TP_ORC_BASE_AT_SP || base == TP_ORC_BASE_BEHIND_SP;
}

static void set_base(struct orc_state *state, unsigned base, int32_t offset) {
    state->registers = (uint8_t)((state->registers & TP_ORC_BP) | base);
    state->sp_offset = offset;
}

static unsigned bp_rule(const struct orc_state *state) {
    return state->registers & TP_ORC_BP;
}

static void set_bp(struct orc_state *state, unsigned rule, int32_t offset) {
    state->registers = (uint8_t)((state->registers & TP_ORC_BASE) | rule);
    state->bp_offset = offset;
}

static void lose(struct orc_state *state) {
    *state = (struct orc_state){.type = TP_ORC_UNDEFINED};
}

/* ---- rbp ---- */

/* It is stored at the frame + offset. In a struct tp_regs it has its place, which isn't noted. */
static void note_saved_bp(struct orc_state *state, int32_t offset) {
    if (state->type == TP_ORC_REGS || bp_rule(state) != TP_ORC_BP_SAME)
        return;
    set_bp(state, TP_ORC_BP_SAVED, offset);
    state->bp_is_kept = true;
}

/* It is loaded from the frame + offset. */
static void note_loaded_bp(struct orc_state *state, int32_t offset) {
    bool regs = state->type == TP_ORC_REGS;
    if (regs && offset == (int)offsetof(struct tp_regs, rbp))
        set_bp(state, TP_ORC_BP_SAME, 0);
    else if (!regs && bp_rule(state) == TP_ORC_BP_SAVED && offset == state->bp_offset)
        set_bp(state, TP_ORC_BP_SAME, 0);
    else if (!regs && bp_rule(state) == TP_ORC_BP_SAME)
        set_bp(state, TP_ORC_BP_UNKNOWN, 0);
    state->bp_is_below = 0;
    state->bp_is_kept = false;
}

static void note_other_bp(struct orc_state *state) {
    if (state->type == TP_ORC_REGS)
        set_bp(state, TP_ORC_BP_SAVED, 0);
    else if (bp_rule(state) == TP_ORC_BP_SAME)
        set_bp(state, TP_ORC_BP_UNKNOWN, 0);
    state->bp_is_below = 0;
    state->bp_is_kept = false;
    if ((state->registers & TP_ORC_BASE) == TP_ORC_BASE_BP)
        lose(state);
}

/* ---- rsp ---- */

/* The registers of a struct tp_regs are being popped: what is left is its end, the five words. */
static void leave_regs(struct orc_state *state) {
    state->type = TP_ORC_WORDS;
    state->sp_offset += WORDS_AT;
    if (bp_rule(state) != TP_ORC_BP_SAME)
        set_bp(state, TP_ORC_BP_SAVED, BP_BEFORE_WORDS);
}

static void move_sp(struct orc_state *state, int32_t change) {
    if (!is_counted_from_sp(state))
        return;
    state->sp_offset = limit((int64_t)state->sp_offset - change);
    if ((state->registers & TP_ORC_BASE) != TP_ORC_BASE_SP)
        return;
    if (state->type == TP_ORC_REGS && state->sp_offset < 0)
        leave_regs(state);
    /* Below rsp nothing lasts; and rbp is still what was saved. */
    if (state->bp_is_kept && state->bp_offset < -state->sp_offset) {
        set_bp(state, TP_ORC_BP_SAME, 0);
        state->bp_is_kept = false;
    }
    if (state->sp_offset < 2 * WORD)
        state->type &= (uint8_t)~TP_ORC_VECTOR;
    if (state->sp_offset < ((state->type & TP_ORC_TYPE) == TP_ORC_CALL ? WORD : 0))
        lose(state);
}

static void lose_sp(struct orc_state *state) {
    if (!is_counted_from_sp(state))
        return;
    if ((state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP && state->bp_is_below)
        set_base(state, TP_ORC_BASE_BP, state->bp_is_below);
    else
        lose(state);
}

/* rsp is rbp + displacement now. */
static void take_sp_from_bp(struct orc_state *state, int32_t displacement) {
    if (state->bp_is_below)
        set_base(state, TP_ORC_BASE_SP, limit((int64_t)state->bp_is_below - displacement));
    else
        lose(state);
}

/* ---- Instructions ---- */

/* mov and lea that say where rsp and rbp are. */
static bool step_move(struct orc_state *state, const struct operands *of) {
    const ZydisDecodedOperand *to = &of->operands[0], *from = &of->operands[1];
    const bool is_move = of->instruction.mnemonic == ZYDIS_MNEMONIC_MOV;
    bool from_sp = (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP;
    int32_t displacement;
    if (is_move && is_register(to, ZYDIS_REGISTER_RBP) && is_register(from, ZYDIS_REGISTER_RSP) && from_sp) {
        int32_t below = state->sp_offset;
        if (bp_rule(state) == TP_ORC_BP_SAME)
            set_bp(state, TP_ORC_BP_UNKNOWN, 0);
        state->bp_is_below = below;
        state->bp_is_kept = false;
        return true;
    }
    if (is_move && is_register(to, ZYDIS_REGISTER_RSP) && is_register(from, ZYDIS_REGISTER_RBP)) {
        take_sp_from_bp(state, 0);
        return true;
    }
    /* The five words' own rsp is loaded: by hand, what iret does. Nobody is to be found behind that. */
    if (is_move && (state->type & TP_ORC_TYPE) == TP_ORC_WORDS && from_sp && is_register(to, ZYDIS_REGISTER_RSP) &&
        is_word_at(from, ZYDIS_REGISTER_RSP, &displacement) && displacement == state->sp_offset + 3 * WORD) {
        *state = (struct orc_state){.type = TP_ORC_END};
        return true;
    }
    if (of->instruction.mnemonic == ZYDIS_MNEMONIC_LEA && is_register(to, ZYDIS_REGISTER_RSP) &&
        is_word_at(from, ZYDIS_REGISTER_RBP, &displacement)) {
        take_sp_from_bp(state, displacement);
        return true;
    }
    if (is_move && is_word_at(to, ZYDIS_REGISTER_RSP, &displacement) && is_register(from, ZYDIS_REGISTER_RBP)) {
        if (from_sp)
            note_saved_bp(state, limit((int64_t)displacement - state->sp_offset));
        return true;
    }
    if (is_move && is_register(to, ZYDIS_REGISTER_RBP) && is_word_at(from, ZYDIS_REGISTER_RSP, &displacement) && from_sp) {
        note_loaded_bp(state, limit((int64_t)displacement - state->sp_offset));
        return true;
    }
    return false;
}

/* leave: mov rsp, rbp; pop rbp */
static void step_leave(struct orc_state *state) {
    take_sp_from_bp(state, 0);
    if (state->type == TP_ORC_UNDEFINED)
        return;
    note_loaded_bp(state, -state->sp_offset);
    move_sp(state, WORD);
}

static ZydisRegister register_of(unsigned base) {
    switch (base) {
    case TP_ORC_BASE_AX: return ZYDIS_REGISTER_RAX;
    case TP_ORC_BASE_CX: return ZYDIS_REGISTER_RCX;
    case TP_ORC_BASE_DX: return ZYDIS_REGISTER_RDX;
    case TP_ORC_BASE_DI: return ZYDIS_REGISTER_RDI;
    case TP_ORC_BASE_SI: return ZYDIS_REGISTER_RSI;
    case TP_ORC_BASE_R10: return ZYDIS_REGISTER_R10;
    case TP_ORC_BASE_R11: return ZYDIS_REGISTER_R11;
    case TP_ORC_BASE_R13: return ZYDIS_REGISTER_R13;
    default: return ZYDIS_REGISTER_NONE;
    }
}

void step_state(struct orc_state *state, const struct tp_insn *insn, const uint8_t *bytes) {
    struct operands of;
    if (state->type == TP_ORC_UNDEFINED || state->type == TP_ORC_END)
        return;
    if (!decode_operands(bytes, insn->length, &of)) {
        if (insn->flags & TP_INSN_STACK_CHANGES)
            lose(state);
        return;
    }
    ZydisRegister base = register_of(state->registers & TP_ORC_BASE);
    if (base != ZYDIS_REGISTER_NONE && writes(&of, base)) {
        lose(state);
        return;
    }
    if (insn->kind == TP_INSN_LEAVE) {
        step_leave(state);
        return;
    }
    if (of.instruction.operand_count_visible == 2 && step_move(state, &of))
        return;
    bool push = insn->kind == TP_INSN_PUSH, pop = insn->kind == TP_INSN_POP;
    bool from_sp = (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP;
    if (pop && is_register(&of.operands[0], ZYDIS_REGISTER_RBP) && from_sp)
        note_loaded_bp(state, -state->sp_offset);
    else if (writes(&of, ZYDIS_REGISTER_RBP))
        note_other_bp(state);
    if (insn->flags & TP_INSN_STACK_CHANGES && !(insn->flags & TP_INSN_STACK_KNOWN))
        lose_sp(state);
    else if (insn->flags & TP_INSN_STACK_CHANGES && !(insn->flags & TP_INSN_ENDS_FLOW))
        move_sp(state, insn->stack);
    if (push && is_register(&of.operands[0], ZYDIS_REGISTER_RBP) && from_sp)
        note_saved_bp(state, -state->sp_offset);
}
