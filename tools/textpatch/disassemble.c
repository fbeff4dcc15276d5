/* SPDX-License-Identifier: MIT */
#include "disassemble.h"

#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "report.h"

static ZydisDecoder decoder;
static ZydisFormatter formatter;

static void get_ready(void) {
    static bool ready;
    if (ready)
        return;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
    ready = true;
}

unsigned measure_instruction(const uint8_t *bytes, uint64_t size) {
    ZydisDecodedInstruction insn;
    get_ready();
    ZyanStatus status = ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, size, &insn);
    if (ZYAN_SUCCESS(status))
        return insn.length;
    /* It has a length all the same, and then it faults. */
    if (status != ZYDIS_STATUS_ILLEGAL_LOCK || bytes[0] != 0xf0)
        return 0;
    unsigned rest = measure_instruction(bytes + 1, size - 1);
    return rest ? rest + 1 : 0;
}

static bool ends_flow(const ZydisDecodedInstruction *insn) {
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_INT3:
        return true;
    default:
        return false;
    }
}

struct flow follow_instruction(const uint8_t *bytes, unsigned length, uint64_t address) {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct flow flow = {.kind = FLOW_NONE};
    get_ready();
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &insn, operands)))
        return flow;
    flow.ends = ends_flow(&insn);
    if (insn.meta.category == ZYDIS_CATEGORY_CALL)
        flow.kind = FLOW_CALL;
    else if (insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
        flow.kind = FLOW_JUMP;
    else if (insn.meta.category == ZYDIS_CATEGORY_COND_BR)
        flow.kind = FLOW_CONDITIONAL;
    bool relative = insn.operand_count_visible > 0 && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
                    operands[0].imm.is_relative;
    if (flow.kind != FLOW_NONE && relative) {
        flow.direct = true;
        flow.target = address + insn.length + (uint64_t)operands[0].imm.value.s;
    }
    return flow;
}

/* Absolute addresses are printed with all their digits. */
static const char *use_symbol(const struct kernel *kernel, const char *text, uint64_t address) {
    char digits[32];
    snprintf(digits, sizeof digits, "0x%016lX", (unsigned long)address);
    const char *found = strstr(text, digits);
    if (!found || !kernel || !has_symbol_at(kernel, address))
        return text;
    return format_text("%.*s%s%s", (int)(found - text), text, name_address(kernel, address), found + strlen(digits));
}

const char *disassemble_one(const struct kernel *kernel, const uint8_t *bytes, unsigned length, uint64_t address,
                            unsigned *used) {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    char text[512];
    ZyanU64 target;
    get_ready();
    *used = 1;
    if (length == 1 && (bytes[0] == 0xf0 || bytes[0] == 0x3e))
        return bytes[0] == 0xf0 ? "lock" : "ds";
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &insn, operands)))
        return "(bad)";
    *used = insn.length;
    if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text,
                                                      sizeof text, address, NULL)))
        return "(bad)";
    const char *named = text;
    for (unsigned i = 0; i < insn.operand_count_visible; i++)
        if (ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn, &operands[i], address, &target)))
            named = use_symbol(kernel, named, target);
    return format_text("%s", named);
}

const char *disassemble(const struct kernel *kernel, const uint8_t *bytes, unsigned length, uint64_t address) {
    const char *text = "";
    unsigned used, traps = 0;
    for (unsigned at = 0; at < length; at += used) {
        const char *insn = disassemble_one(kernel, bytes + at, length - at, address + at, &used);
        traps = bytes[at] == 0xcc ? traps + 1 : 0;
        if (traps < 2) /* a run of int3 is one */
            text = format_text("%s%s%s", text, at ? "; " : "", insn);
    }
    return text;
}

const char *show_bytes(const uint8_t *bytes, unsigned length) {
    char *text = allocate(3 * length + 1u, 1);
    for (unsigned i = 0; i < length; i++) {
        static const char digits[] = "0123456789abcdef";
        text[3 * i] = digits[bytes[i] >> 4];
        text[3 * i + 1] = digits[bytes[i] & 15];
        text[3 * i + 2] = i + 1 < length ? ' ' : '\0';
    }
    return text;
}
