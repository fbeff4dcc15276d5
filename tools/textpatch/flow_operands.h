/* SPDX-License-Identifier: MIT */
/* An instruction with its operands, by Zydis: what lib/insn leaves out. */
#ifndef TOOL_FLOW_OPERANDS_H
#define TOOL_FLOW_OPERANDS_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

struct operands {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool decode_operands(const uint8_t *bytes, unsigned length, struct operands *out);

/* The 64 bits that a register is part of; ZYDIS_REGISTER_NONE for what is no register. */
static inline ZydisRegister whole_register(const ZydisDecodedOperand *operand) {
    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER
               ? ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operand->reg.value)
               : ZYDIS_REGISTER_NONE;
}

static inline bool is_written(const ZydisDecodedOperand *operand) {
    return operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static inline bool writes(const struct operands *of, ZydisRegister wanted) {
    for (unsigned i = 0; i < of->instruction.operand_count; i++)
        if (is_written(&of->operands[i]) && whole_register(&of->operands[i]) == wanted)
            return true;
    return false;
}

static inline bool is_register(const ZydisDecodedOperand *operand, ZydisRegister wanted) {
    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && operand->reg.value == wanted;
}

/* [base + displacement] */
static inline bool is_word_at(const ZydisDecodedOperand *operand, ZydisRegister base, int32_t *displacement) {
    *displacement = (int32_t)operand->mem.disp.value;
    return operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->mem.base == base &&
           operand->mem.index == ZYDIS_REGISTER_NONE && operand->mem.segment != ZYDIS_REGISTER_GS &&
           operand->mem.segment != ZYDIS_REGISTER_FS;
}

#endif
