/* SPDX-License-Identifier: MIT */
#include "disassemble.h"

#include "../../lib/insn/decode.h"
#include "names.h"
#include "sites.h"

enum { PREFIX_CS = 0x2e, PREFIX_OPERAND_SIZE = 0x66, ABSENT = 0 };

/* Text that is cut where its buffer ends. */
struct writer {
    char *next, *last;
};

static void put(struct writer *out, const char *text) {
    while (*text && out->next < out->last)
        *out->next++ = *text++;
    *out->next = 0;
}

static void put_hex(struct writer *out, uint64_t value, unsigned least_digits) {
    unsigned digits = 16;
    put(out, "0x");
    while (digits > least_digits && value >> (4 * digits - 4) == 0)
        digits--;
    while (digits-- > 0)
        put(out, (const char[]){"0123456789abcdef"[value >> 4 * digits & 15], 0});
}

static uint32_t read32(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Instructions known by their first bytes. In the text, % is a 32-bit address and $ an 8-bit number. */
static const struct pattern {
    const char *text;
    uint8_t length, fixed; /* of the instruction; of the bytes that make it this one */
    uint8_t bytes[5];
    uint8_t address_at, number_at; /* offsets */
} patterns[] = {
    {"cli", 1, 1, {0xfa}, ABSENT, ABSENT},
    {"sti", 1, 1, {0xfb}, ABSENT, ABSENT},
    {"hlt", 1, 1, {0xf4}, ABSENT, ABSENT},
    {"pushf", 1, 1, {0x9c}, ABSENT, ABSENT},
    {"popf", 1, 1, {0x9d}, ABSENT, ABSENT},
    {"pop ~rax", 1, 1, {0x58}, ABSENT, ABSENT},
    {"push ~rdi", 1, 1, {0x57}, ABSENT, ABSENT},
    {"int3", 1, 1, {0xcc}, ABSENT, ABSENT},
    {"ret", 1, 1, {0xc3}, ABSENT, ABSENT},
    {"pause", 2, 2, {0xf3, 0x90}, ABSENT, ABSENT},
    {"wbinvd", 2, 2, {0x0f, 0x09}, ABSENT, ABSENT},
    {"ud2", 2, 2, {0x0f, 0x0b}, ABSENT, ABSENT},
    {"iretq", 2, 2, {0x48, 0xcf}, ABSENT, ABSENT},
    {"xor ~eax,~eax", 2, 2, {0x31, 0xc0}, ABSENT, ABSENT},
    {"xor $,~al", 2, 1, {0x34}, ABSENT, 1},
    {"swapgs", 3, 3, {0x0f, 0x01, 0xf8}, ABSENT, ABSENT},
    {"sysretq", 3, 3, {0x48, 0x0f, 0x07}, ABSENT, ABSENT},
    {"mov ~cr2,~rax", 3, 3, {0x0f, 0x20, 0xd0}, ABSENT, ABSENT},
    {"mov ~cr3,~rax", 3, 3, {0x0f, 0x20, 0xd8}, ABSENT, ABSENT},
    {"mov ~rdi,~cr3", 3, 3, {0x0f, 0x22, 0xdf}, ABSENT, ABSENT},
    {"mov ~rdi,~rax", 3, 3, {0x48, 0x89, 0xf8}, ABSENT, ABSENT},
    {"mov 0x18(~rsp),~rsp", 5, 5, {0x48, 0x8b, 0x64, 0x24, 0x18}, ABSENT, ABSENT},
    {"movb $,(~rdi)", 3, 2, {0xc6, 0x07}, ABSENT, 2},
    {"shl $,~eax", 3, 2, {0xc1, 0xe0}, ABSENT, 2},
    {"mov 0x18(~rsp),~rsp", 5, 5, {0x48, 0x8b, 0x64, 0x24, 0x18}, ABSENT, ABSENT},
    {"movb $,~gs:%", 9, 4, {0x65, 0xc6, 0x04, 0x25}, 4, 8},
    {"movzbl ~gs:%,~eax", 9, 5, {0x65, 0x0f, 0xb6, 0x04, 0x25}, 5, ABSENT},
    {"mov ~gs:%,~rax", 9, 5, {0x65, 0x48, 0x8b, 0x04, 0x25}, 5, ABSENT},
};

static bool starts_with(const uint8_t *bytes, const struct pattern *pattern) {
    for (unsigned i = 0; i < pattern->fixed; i++)
        if (bytes[i] != pattern->bytes[i])
            return false;
    return true;
}

/* A ~ in a pattern is the % of a register's name. */
static void put_pattern(struct writer *out, const struct pattern *pattern, const uint8_t *bytes) {
    for (const char *here = pattern->text; *here; here++) {
        if (*here == '%')
            put_hex(out, read32(bytes + pattern->address_at), 1);
        else if (*here == '$')
            put(out, "$"), put_hex(out, bytes[pattern->number_at], 1);
        else
            put(out, (const char[]){*here == '~' ? '%' : *here, 0});
    }
}

static bool put_known(struct writer *out, const struct tp_insn *insn, const uint8_t *bytes) {
    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const struct pattern *pattern = &patterns[i];
        if (pattern->length != insn->length || !starts_with(bytes, pattern))
            continue;
        put_pattern(out, pattern, bytes);
        return true;
    }
    return false;
}

/* 90, 66 90, and 0f 1f with 66s and one 2e before it. */
static bool put_nop(struct writer *out, const struct tp_insn *insn, const uint8_t *bytes) {
    static const char *const operands[256] = {
        [0x00] = "(%rax)",    [0x40] = "0x0(%rax)",        [0x44] = "0x0(%rax,%rax,1)",
        [0x80] = "0x0(%rax)", [0x84] = "0x0(%rax,%rax,1)",
    };
    if (insn->opcode == 0x90) {
        put(out, insn->length == 1 ? "nop" : "xchg %ax,%ax");
        return insn->length == 1 || (insn->length == 2 && bytes[0] == PREFIX_OPERAND_SIZE);
    }
    if (insn->opcode != 0x1f || !operands[insn->modrm])
        return false;
    for (unsigned i = insn->prefix_bytes + 3u; i < insn->length; i++)
        if (bytes[i] != 0) /* another SIB or displacement than these operands have */
            return false;
    bool wide = false;
    for (unsigned i = 0; i < insn->prefix_bytes; i++) {
        if (bytes[i] == PREFIX_OPERAND_SIZE && wide)
            put(out, "data16 ");
        else if (bytes[i] == PREFIX_OPERAND_SIZE)
            wide = true;
        else if (bytes[i] == PREFIX_CS)
            put(out, "cs ");
        else
            return false;
    }
    put(out, wide ? "nopw " : "nopl ");
    put(out, operands[insn->modrm]);
    return true;
}

static bool put_branch(struct writer *out, const struct tp_insn *insn, const uint8_t *bytes,
                       uintptr_t address) {
    bool is_call = insn->kind == TP_INSN_CALL_RELATIVE || insn->kind == TP_INSN_CALL_INDIRECT;
    bool is_indirect = insn->kind == TP_INSN_CALL_INDIRECT || insn->kind == TP_INSN_JMP_INDIRECT;
    bool is_branch = is_call || is_indirect || insn->kind == TP_INSN_JMP_RELATIVE;
    if (!is_branch || insn->prefix_bytes != 0 || (is_indirect && !(insn->flags & TP_INSN_RIP_RELATIVE)))
        return false;
    uintptr_t target = tp_insn_target(insn, bytes, address);
    const char *name = is_indirect ? name_slot((const void *)target) : name_function(target);
    put(out, is_call ? "call " : "jmp ");
    put(out, is_indirect ? "*" : "");
    if (name)
        put(out, name);
    else
        put_hex(out, target, 1);
    return true;
}

static void put_bytes(struct writer *out, const uint8_t *bytes, unsigned length) {
    put(out, ".byte ");
    for (unsigned i = 0; i < length; i++) {
        put(out, i ? "," : "");
        put_hex(out, bytes[i], 2);
    }
}

static void put_padding(struct writer *out, unsigned prefixes) {
    if (prefixes == 0)
        return;
    put(out, "cs ");
    if (prefixes == 1)
        return;
    put(out, prefixes > 9 ? "x1" : "x");
    put(out, (const char[]){(char)('0' + prefixes % 10), ' ', 0});
}

unsigned disassemble(const uint8_t *bytes, unsigned length, uintptr_t address, char *text, size_t size) {
    struct tp_insn insn;
    struct writer out = {text, text + size - 1};
    unsigned padding = 0;

    if (tp_insn_decode(bytes, bytes + length, &insn) != TP_OK) {
        put_bytes(&out, bytes, 1);
        return 1;
    }
    unsigned whole = insn.length;
    while (padding + 1 < whole && bytes[padding] == PREFIX_CS)
        padding++;
    put_padding(&out, padding);
    const uint8_t *rest = bytes + padding;
    if (tp_insn_decode(rest, bytes + whole, &insn) == TP_OK && insn.length == whole - padding) {
        if (insn.kind == TP_INSN_NOP && put_nop(&out, &insn, rest))
            return whole;
        if (put_branch(&out, &insn, rest, address + padding) || put_known(&out, &insn, rest))
            return whole;
    }
    out.next = text;
    put_bytes(&out, bytes, whole);
    return whole;
}
