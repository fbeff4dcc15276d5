/* SPDX-License-Identifier: MIT */
/*
 * Inline assembler in code that .eh_frame speaks of: the compiler knows nothing of what it does to rsp and rbp.
 *
 * How it works
 *   A function is followed instruction by instruction, with what has been done beside what .eh_frame says (flow_inline.h).
 *   Where .eh_frame changes otherwise than the instruction does, it is believed, and the line isn't followed on: what lies
 *   behind isn't reached from there (a call that doesn't return).
 *   Branches carry it along; two ways that leave different numbers of bytes on the stack are an error. Code that nothing was
 *   seen to lead to is as .eh_frame says.
 */
#include <string.h>

#include "flow_inline.h"
#include "report.h"

struct frame_flow {
    struct orc_text *text;
    const struct frame_range *range;
    const uint8_t *bytes;
    struct inline_state *states; /* for each byte of the range: where an instruction begins that has been followed */
    uint64_t *work;
    uint64_t work_count, work_room;
};

static void push_work(struct frame_flow *flow, uint64_t address, const struct inline_state *state) {
    if (address < flow->range->start || address >= flow->range->end)
        return;
    struct inline_state *known = &flow->states[address - flow->range->start];
    if (!known->is_followed) {
        *known = *state;
        known->is_followed = true;
        known->is_told = false;
    } else {
        enum join_result result = join_inline(known, state);
        if (result == JOIN_CONFLICT && !known->is_told)
            complain("%s: inline assembler leaves %d bytes on the stack on one way, and %d on another",
                     describe_address(flow->text->kernel, address), known->extra, state->extra);
        known->is_told |= result == JOIN_CONFLICT;
        if (result != JOIN_CHANGED)
            return;
    }
    if (flow->work_count == flow->work_room) {
        flow->work = grow(flow->work, flow->work_count, 2 * flow->work_room, sizeof *flow->work);
        flow->work_room *= 2;
    }
    flow->work[flow->work_count++] = address;
}

static void carry(struct frame_flow *flow, uint64_t from, uint64_t to, const struct tp_insn *insn) {
    const uint64_t start = flow->range->start;
    struct inline_state state = flow->states[from - start];
    struct orc_state before = state_at(flow->text, from), after = state_at(flow->text, to);
    if (carry_inline(&state, &before, &after, insn, flow->bytes + (from - start), from))
        push_work(flow, to, &state);
}

static void note_call(const struct orc_text *text, uint64_t target) {
    if (lies_in_text(text, target))
        set_mark(text, target, MARK_CALLED);
}

static void follow_one(struct frame_flow *flow, uint64_t address) {
    const struct frame_range *range = flow->range;
    const uint8_t *bytes = flow->bytes + (address - range->start);
    struct tp_insn insn;
    if (!decode_code(bytes, range->end - address, address, &insn))
        return;
    uint64_t next = address + insn.length, target = tp_insn_target(&insn, bytes, address);
    if (insn.kind == TP_INSN_CALL_RELATIVE)
        note_call(flow->text, target);
    if (insn.kind == TP_INSN_JMP_RELATIVE && (target < range->start || target >= range->end))
        note_call(flow->text, target); /* a tail call, with the caller's frame */
    if (is_branch(&insn) && target >= range->start && target < range->end)
        carry(flow, address, target, NULL);
    if (!(insn.flags & TP_INSN_ENDS_FLOW) && next < range->end)
        carry(flow, address, next, &insn);
}

static void drain(struct frame_flow *flow) {
    while (flow->work_count)
        follow_one(flow, flow->work[--flow->work_count]);
}

static void apply(struct frame_flow *flow, uint64_t address, unsigned length) {
    struct orc_state state = state_at(flow->text, address), before = state;
    apply_inline(&flow->states[address - flow->range->start], &state);
    if (!same_state(&state, &before))
        set_states(flow->text, address, length, &state);
}

/* All instructions in a row; those that nothing led to are followed from here. Then the table's states are made. */
static void follow_range(struct frame_flow *flow) {
    const struct frame_range *range = flow->range;
    const uint64_t size = range->end - range->start;
    const struct inline_state as_told = {.extra = 0};
    struct tp_insn insn;
    for (uint64_t at = 0; at < size && decode_at(flow->bytes + at, size - at, &insn); at += insn.length) {
        if (!flow->states[at].is_followed)
            push_work(flow, range->start + at, &as_told);
        drain(flow);
    }
    for (uint64_t at = 0; at < size; at++)
        if (flow->states[at].is_followed && decode_at(flow->bytes + at, size - at, &insn))
            apply(flow, range->start + at, insn.length);
}

void follow_frames(struct orc_text *text, const struct frame_range *ranges, uint32_t count) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (ranges[i].end - ranges[i].start > longest)
            longest = ranges[i].end - ranges[i].start;
    struct frame_flow flow = {.text = text, .work_room = 256};
    flow.work = allocate(flow.work_room, sizeof *flow.work);
    flow.states = allocate(longest, sizeof *flow.states);
    for (uint32_t i = 0; i < count; i++) {
        flow.range = &ranges[i];
        flow.bytes = bytes_at(text->kernel, ranges[i].start, ranges[i].end - ranges[i].start);
        if (!flow.bytes) {
            complain(".eh_frame+0x%lx: the file has no code at 0x%lx", (unsigned long)ranges[i].offset,
                     (unsigned long)ranges[i].start);
            continue;
        }
        memset(flow.states, 0, (ranges[i].end - ranges[i].start) * sizeof *flow.states);
        follow_range(&flow);
    }
}
