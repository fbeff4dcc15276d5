/* SPDX-License-Identifier: MIT */
/*
 * The states of a text, each kept once.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "orc.h"
#include "report.h"

struct orc_text *make_text(const struct kernel *kernel, uint64_t start, uint64_t end) {
    struct orc_text *text = allocate(1, sizeof *text);
    *text = (struct orc_text){.kernel = kernel, .start = start, .end = end, .state_count = 1, .state_room = 256};
    text->numbers = allocate(end - start, sizeof *text->numbers);
    text->marks = allocate(end - start, 1);
    text->states = allocate(text->state_room, sizeof *text->states);
    text->slot_count = 1024;
    text->slots = allocate(text->slot_count, sizeof *text->slots);
    return text;
}

/* Field by field: there is padding. */
bool same_state(const struct orc_state *left, const struct orc_state *right) {
    return left->sp_offset == right->sp_offset && left->bp_offset == right->bp_offset &&
           left->registers == right->registers && left->type == right->type && left->bp_is_below == right->bp_is_below &&
           left->bp_is_kept == right->bp_is_kept;
}

static uint32_t hash_state(const struct orc_state *state) {
    uint32_t hash = (uint32_t)state->sp_offset * 0x9e3779b1u ^ (uint32_t)state->bp_offset * 0x85ebca6bu;
    hash ^= ((uint32_t)state->registers << 8 | state->type) * 0xc2b2ae35u ^ (uint32_t)state->bp_is_below * 0x27d4eb2fu;
    return hash ^ hash >> 15;
}

static uint32_t *find_slot(const struct orc_text *text, const struct orc_state *state) {
    uint32_t slot = hash_state(state) % text->slot_count;
    while (text->slots[slot] && !same_state(&text->states[text->slots[slot]], state))
        slot = (slot + 1) % text->slot_count;
    return &text->slots[slot];
}

static void make_room(struct orc_text *text) {
    text->states = grow(text->states, text->state_count, 2 * (size_t)text->state_room, sizeof *text->states);
    text->state_room *= 2;
    text->slot_count = 4 * text->state_room;
    text->slots = allocate(text->slot_count, sizeof *text->slots);
    for (uint32_t i = 1; i < text->state_count; i++)
        *find_slot(text, &text->states[i]) = i;
}

static uint32_t number_state(struct orc_text *text, const struct orc_state *state) {
    if (state->type == TP_ORC_UNDEFINED)
        return 0;
    uint32_t *slot = find_slot(text, state);
    if (*slot)
        return *slot;
    if (text->state_count == text->state_room) {
        make_room(text);
        slot = find_slot(text, state);
    }
    text->states[text->state_count] = *state;
    return *slot = text->state_count++;
}

void set_states(struct orc_text *text, uint64_t address, uint64_t size, const struct orc_state *state) {
    uint32_t number = number_state(text, state);
    for (uint64_t i = 0; i < size && lies_in_text(text, address + i); i++)
        text->numbers[address + i - text->start] = number;
}

struct orc_state plain_state(const struct orc_state *state) {
    struct orc_state plain = *state;
    unsigned type = state->type & TP_ORC_TYPE, rule = state->registers & TP_ORC_BP;
    plain.bp_is_below = 0;
    plain.bp_is_kept = false;
    if (type == TP_ORC_UNDEFINED || type == TP_ORC_END)
        return (struct orc_state){.type = state->type};
    if (type == TP_ORC_REGS)
        plain.registers &= TP_ORC_BASE;
    if (type == TP_ORC_REGS || rule == TP_ORC_BP_SAME || rule == TP_ORC_BP_UNKNOWN)
        plain.bp_offset = 0;
    return plain;
}

static const char *const bases[TP_ORC_BASES] = {"nowhere",        "rsp%+d",         "rbp%+d", "[rsp%+d]", "[rbp%+d]",
                                                "[rsp%+d]+8",     "[rbp%+d]+8",     "rax%+d", "rcx%+d",   "rdx%+d",
                                                "rdi%+d",         "rsi%+d",         "r10%+d", "r11%+d",   "r13%+d"};

static const char *describe_bp(const struct orc_state *state) {
    switch (state->registers & TP_ORC_BP) {
    case TP_ORC_BP_SAME: return "in place";
    case TP_ORC_BP_SAVED: return format_text("at the frame%+d", state->bp_offset);
    case TP_ORC_BP_AT_BP: return format_text("at rbp%+d", state->bp_offset);
    case TP_ORC_BP_AT_SP: return format_text("at rsp%+d", state->bp_offset);
    default: return "lost";
    }
}

const char *describe_state(const struct orc_state *state) {
    static const char *const types[] = {"nothing", "no caller", "a call", "registers", "five words"};
    unsigned type = state->type & TP_ORC_TYPE, base = state->registers & TP_ORC_BASE;
    if (type < TP_ORC_CALL || type >= TP_ORC_TYPES || base >= TP_ORC_BASES)
        return types[type == TP_ORC_END];
    char place[32];
    snprintf(place, sizeof place, bases[base], (int)state->sp_offset);
    const char *flag = state->type & TP_ORC_TRAP ? " of #BP" : state->type & TP_ORC_VECTOR ? " and a vector"
                       : state->type & TP_ORC_SIGNAL ? " that goes on there" : "";
    return format_text("%s%s, frame at %s, rbp %s", types[type], flag, place, describe_bp(state));
}

static void (*warning_listener)(const char *);

void set_warning_listener(void (*listener)(const char *message)) {
    warning_listener = listener;
}

void warn(const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (warning_listener)
        warning_listener(text);
    else
        fprintf(stderr, "textpatch: warning: %s\n", text);
}
