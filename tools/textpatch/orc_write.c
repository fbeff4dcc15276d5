/* SPDX-License-Identifier: MIT */
/*
 * The table of textpatch/unwind.h as assembler source, for the second link.
 *
 * How it works
 *   Neighbours with the same state are one entry. Padding between functions goes with what lies before it: it is never
 *   executed; in front of an entry, of which a hint says that nobody called or what the CPU has pushed, it goes with that.
 *   The text's address is given as a distance from a symbol that both links have at the same place.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "flow_state.h"
#include "report.h"

enum { PADDING_MAX = 64, IN_A_ROW = 8 };

static void add_entry(struct orc_entries *out, uint32_t ip, const struct orc_state *state) {
    if (out->count && same_state(&out->states[out->count - 1], state))
        return;
    if (out->count == out->room) {
        uint32_t room = out->room ? 2 * out->room : 4096;
        out->ips = grow(out->ips, out->count, room, sizeof *out->ips);
        out->states = grow(out->states, out->count, room, sizeof *out->states);
        out->room = room;
    }
    out->ips[out->count] = ip;
    out->states[out->count++] = *state;
}

/* NOPs and int3s from here up to the next byte that something is known of. */
static bool is_padding(const struct orc_text *text, uint64_t first, uint64_t *next) {
    uint64_t end = first;
    while (end < text->end && !has_state(text, end))
        if (++end - first > PADDING_MAX)
            return false;
    *next = end;
    const uint8_t *bytes = bytes_at(text->kernel, first, end - first);
    struct tp_insn insn;
    for (uint64_t at = 0; bytes && at < end - first; at += insn.length)
        if (!decode_at(bytes + at, end - first - at, &insn) || (insn.kind != TP_INSN_NOP && insn.kind != TP_INSN_INT3))
            return false;
    return bytes;
}

/* A place that isn't called, but has been entered by a stack or a table of somebody's making: a thread's first return
 * address is there, and what a walk looks up is the byte before it. */
static bool is_entry(const struct orc_text *text, uint64_t address) {
    if (address >= text->end || !has_mark(text, address, MARK_HINT))
        return false;
    const unsigned type = state_at(text, address).type & TP_ORC_TYPE;
    return type == TP_ORC_END || type == TP_ORC_WORDS;
}

struct orc_entries collect_entries(const struct orc_text *text) {
    struct orc_entries out = {.count = 0};
    struct orc_state nothing = {.type = TP_ORC_UNDEFINED};
    for (uint64_t at = text->start, next; at < text->end; at++) {
        uint32_t number = text->numbers[at - text->start];
        if (at > text->start && number == text->numbers[at - text->start - 1])
            continue;
        bool pads = !number && is_padding(text, at, &next);
        if (number || (pads && is_entry(text, next))) {
            struct orc_state plain = state_at(text, number ? at : next);
            plain = plain_state(&plain);
            add_entry(&out, (uint32_t)(at - text->start), &plain);
        } else if (at == text->start || !pads) {
            add_entry(&out, (uint32_t)(at - text->start), &nothing);
        }
    }
    return out;
}

static void write_numbers(FILE *out, const uint32_t *numbers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "%s%" PRIu32 "%s", i % IN_A_ROW ? "," : "\t.long ", numbers[i],
                i % IN_A_ROW == IN_A_ROW - 1 || i + 1 == count ? "\n" : "");
}

static void write_blocks(FILE *out, const struct orc_entries *entries, uint32_t text_size) {
    uint32_t count = text_size / TP_ORC_BLOCK + (text_size % TP_ORC_BLOCK != 0), entry = 0;
    uint32_t *blocks = allocate(count, sizeof *blocks);
    for (uint32_t block = 0; block < count; block++) {
        while (entry + 1 < entries->count && entries->ips[entry + 1] <= block * TP_ORC_BLOCK)
            entry++;
        blocks[block] = entry;
    }
    write_numbers(out, blocks, count);
}

static void check_offsets(const struct orc_text *text, uint32_t ip, const struct orc_state *state) {
    if (state->sp_offset < INT16_MIN || state->sp_offset > INT16_MAX || state->bp_offset < INT16_MIN ||
        state->bp_offset > INT16_MAX)
        complain("%s: %s: an entry can't hold such distances", describe_address(text->kernel, text->start + ip),
                 describe_state(state));
}

static void write_entries(FILE *out, const struct orc_entries *entries) {
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct orc_state *state = &entries->states[i];
        fprintf(out, "\t.short %" PRId32 ",%" PRId32 "; .byte %u,%u\n", state->sp_offset, state->bp_offset,
                state->registers, state->type);
    }
}

void write_table(const struct orc_text *text, FILE *out) {
    const uint32_t size = (uint32_t)(text->end - text->start);
    struct orc_entries entries = collect_entries(text);
    for (uint32_t i = 0; i < entries.count; i++)
        check_offsets(text, entries.ips[i], &entries.states[i]);
    if (count_complaints())
        return;
    fprintf(out, "# The unwind table of %s (textpatch/unwind.h), by textpatch orc.\n"
                 "\t.section .textpatch.orc,\"aw\",@progbits\n\t.balign 4\n"
                 "\t.long %d # version\n\t.long %s - . - %" PRId64 " # text\n\t.long %" PRIu32 " # bytes\n"
                 "\t.long %" PRIu32 " # entries\n# ips\n",
            text->kernel->name, TP_ORC_VERSION, text->anchor_name, (int64_t)(text->anchor - text->start), size,
            entries.count);
    write_numbers(out, entries.ips, entries.count);
    fprintf(out, "# blocks\n");
    write_blocks(out, &entries, size);
    fprintf(out, "# entries\n");
    write_entries(out, &entries);
    fprintf(out, "\t.section .note.GNU-stack,\"\",@progbits\n");
}
