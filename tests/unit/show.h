/* SPDX-License-Identifier: MIT */
/*
 * Bytes as text, by Zydis.
 *
 * What for
 *   An expectation reads "6:call work": the length of each instruction and what it does. Lengths stand there because
 *   prefixes that mean nothing (2e before a call) are not printed; a NOP is just "nop", and a run of int3 is one.
 *
 * Calls
 *   name_address()  gives an address a name
 *   show()          bytes -> text
 *   expand()        pattern -> expected text, for a site of a given length
 *
 * How it works
 *   In a pattern "W:" is the site's length, "R:" what is left of it, and "*" what is left of it in NOPs of up to
 *   nine bytes (nothing, if nothing is left).
 */
#ifndef TP_TEST_SHOW_H
#define TP_TEST_SHOW_H

#include "put.h"

#include <Zydis/Zydis.h>

enum { SHOW_MAX = 1024, NAMES_MAX = 32 };

static struct {
    uintptr_t address;
    const char *name;
} names[NAMES_MAX];
static unsigned name_count;

static inline void name_address(uintptr_t address, const char *name) {
    unsigned i = 0;
    while (i < name_count && names[i].address != address)
        i++;
    assert_true(i < NAMES_MAX);
    names[i].address = address;
    names[i].name = name;
    name_count = i < name_count ? name_count : i + 1;
}

static inline void name_functions(void) {
    name_address(WORK, "work");
    name_address(OTHER, "other");
    name_address(FAR, "far");
    name_address(NONE, "none");
    name_address(RETURN0, "return0");
}

/* Absolute addresses are printed with all their digits, so a name always takes less room. */
static inline void use_names(char *text) {
    char digits[32];
    for (unsigned i = 0; i < name_count; i++) {
        int length = snprintf(digits, sizeof digits, "0x%016lX", (unsigned long)names[i].address);
        char *found = strstr(text, digits);
        if (!found)
            continue;
        size_t size = strlen(names[i].name);
        memmove(found + size, found + length, strlen(found + length) + 1);
        memcpy(found, names[i].name, size);
    }
}

static inline unsigned show_one(char *text, size_t size, const uint8_t *bytes, unsigned length,
                                uintptr_t address) {
    static ZydisDecoder decoder;
    static ZydisFormatter formatter;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    static bool ready;
    if (!ready) {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
        ready = true;
    }
    unsigned traps = 0;
    while (traps < length && bytes[traps] == 0xcc)
        traps++;
    if (traps) {
        snprintf(text, size, "%u:int3", traps);
        return traps;
    }
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &insn, operands))) {
        snprintf(text, size, "1:?%02x", bytes[0]);
        return 1;
    }
    int used = snprintf(text, size, "%u:", insn.length);
    if (insn.mnemonic == ZYDIS_MNEMONIC_NOP)
        snprintf(text + used, size - (size_t)used, "nop");
    else
        ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text + used,
                                        size - (size_t)used, address, NULL);
    use_names(text);
    return insn.length;
}

/* The text stays until the next but one call. */
static inline const char *show(const uint8_t *bytes, unsigned length, uintptr_t address) {
    static char texts[2][SHOW_MAX];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    size_t used = 0;
    text[0] = '\0';
    for (unsigned at = 0; at < length;) {
        used += (size_t)snprintf(text + used, SHOW_MAX - used, "%s", at ? "; " : "");
        at += show_one(text + used, SHOW_MAX - used, bytes + at, length - at, address + at);
        used = strlen(text);
    }
    return text;
}

static inline const char *expand(const char *pattern, unsigned width) {
    static char text[SHOW_MAX];
    size_t used = 0;
    unsigned left = width;
    for (const char *at = pattern; *at; at++) {
        bool begins = at == pattern || at[-1] == ' ';
        if (begins && *at == 'W') {
            used += (size_t)snprintf(text + used, SHOW_MAX - used, "%u", width);
        } else if (begins && *at == 'R' && left) {
            used += (size_t)snprintf(text + used, SHOW_MAX - used, "%u", left);
        } else if (begins && (*at == '*' || *at == 'R')) {
            if (!left && used)
                used -= 2; /* the "; " before it */
            if (left > 9)
                used += (size_t)snprintf(text + used, SHOW_MAX - used, "9:nop; ");
            if (left)
                used += (size_t)snprintf(text + used, SHOW_MAX - used, "%u:nop", left > 9 ? left - 9 : left);
            break;
        } else {
            if (begins)
                left -= (unsigned)strtoul(at, NULL, 10);
            text[used++] = *at;
        }
    }
    text[used] = '\0';
    return text;
}

#endif
