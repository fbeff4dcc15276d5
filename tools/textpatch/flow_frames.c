/* SPDX-License-Identifier: MIT */
/*
 * Inline assembler in code that .eh_frame speaks of: the compiler knows nothing of what it pushes and pops.
 *
 * How it works
 *   A function is followed instruction by instruction, with the number of bytes that lie on the stack beside what
 *   .eh_frame says. A push that .eh_frame doesn't follow adds to it, a pop takes away. Where .eh_frame changes otherwise
 *   than the instruction does, it is believed, and the line isn't followed on: what lies behind isn't reached from there
 *   (a call that doesn't return). Frames that are counted from rbp need none of this.
 *   Branches carry the number along. Code that nothing was seen to lead to begins at 0.
 */
#include "flow_state.h"
#include "report.h"

enum { BEGUN = 0x4000 }; /* beside a number of bytes, which is smaller */

struct frame_flow {
    struct orc_text *text;
    const struct frame_range *range;
    const uint8_t *bytes;
    int32_t *extra; /* for each byte of the range: BEGUN + bytes, where an instruction begins that has been followed */
    uint64_t *work;
    uint64_t work_count, work_room;
};

static bool is_counted_from_sp(const struct orc_state *state) {
    return (state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP && (state->type & TP_ORC_TYPE) == TP_ORC_CALL;
}

/* Bytes that are pushed at `to` beside what .eh_frame says, if `extra` were at `from` and an instruction has pushed
 * `pushed` in between; false: not to be followed. */
static bool carry(const struct frame_flow *flow, uint64_t from, uint64_t to, int64_t pushed, int32_t *extra) {
    struct orc_state before = state_at(flow->text, from), after = state_at(flow->text, to);
    if (!is_counted_from_sp(&before) || !is_counted_from_sp(&after)) {
        *extra = 0;
        return true;
    }
    int32_t told = after.sp_offset - before.sp_offset;
    int64_t sum = *extra + (told == 0 ? pushed : 0);
    if (sum <= -BEGUN || sum >= BEGUN)
        return false;
    *extra = (int32_t)sum;
    return told == 0 || told == pushed;
}

static void push_work(struct frame_flow *flow, uint64_t address, int32_t extra) {
    if (address < flow->range->start || address >= flow->range->end)
        return;
    int32_t *place = &flow->extra[address - flow->range->start];
    if (*place && *place != BEGUN + extra)
        warn("%s: %s: inline assembler leaves %d bytes on the stack on one way, and %d on another", flow->text->kernel->name,
             describe_address(flow->text->kernel, address), *place - BEGUN, extra);
    if (*place)
        return;
    *place = BEGUN + extra;
    if (flow->work_count == flow->work_room) {
        flow->work = grow(flow->work, flow->work_count, 2 * flow->work_room, sizeof *flow->work);
        flow->work_room *= 2;
    }
    flow->work[flow->work_count++] = address;
}

static void note_call(const struct orc_text *text, uint64_t target) {
    if (lies_in_text(text, target))
        set_mark(text, target, MARK_CALLED);
}

static void follow_one(struct frame_flow *flow, uint64_t address) {
    const struct frame_range *range = flow->range;
    const uint8_t *bytes = flow->bytes + (address - range->start);
    struct tp_insn insn;
    if (!decode_at(bytes, range->end - address, &insn))
        return;
    int32_t extra = flow->extra[address - range->start] - BEGUN, kept = extra;
    int64_t pushed = insn.flags & TP_INSN_STACK_KNOWN ? -(int64_t)insn.stack : 0;
    uint64_t next = address + insn.length, target = tp_insn_target(&insn, bytes, address);
    if (insn.kind == TP_INSN_CALL_RELATIVE)
        note_call(flow->text, target);
    if (insn.kind == TP_INSN_JMP_RELATIVE && (target < range->start || target >= range->end))
        note_call(flow->text, target); /* a tail call, with the caller's frame */
    bool branches = insn.kind == TP_INSN_JMP_RELATIVE || insn.kind == TP_INSN_JCC_RELATIVE || insn.kind == TP_INSN_LOOP;
    if (branches && target >= range->start && target < range->end && carry(flow, address, target, 0, &kept))
        push_work(flow, target, kept);
    if (!(insn.flags & TP_INSN_ENDS_FLOW) && next < range->end && carry(flow, address, next, pushed, &extra))
        push_work(flow, next, extra);
}

static void drain(struct frame_flow *flow) {
    while (flow->work_count)
        follow_one(flow, flow->work[--flow->work_count]);
}

static void add_extra(struct frame_flow *flow, uint64_t address, unsigned length, int32_t extra) {
    struct orc_state state = state_at(flow->text, address);
    if (!extra || !is_counted_from_sp(&state))
        return;
    state.sp_offset += extra;
    set_states(flow->text, address, length, &state);
}

/* All instructions in a row; those that nothing led to are followed from here. Then the numbers go into the states. */
static void follow_range(struct frame_flow *flow) {
    const struct frame_range *range = flow->range;
    const uint64_t size = range->end - range->start;
    struct tp_insn insn;
    for (uint64_t at = 0; at < size && decode_at(flow->bytes + at, size - at, &insn); at += insn.length) {
        if (!flow->extra[at])
            push_work(flow, range->start + at, 0);
        drain(flow);
    }
    for (uint64_t at = 0; at < size; at++)
        if (flow->extra[at] && decode_at(flow->bytes + at, size - at, &insn))
            add_extra(flow, range->start + at, insn.length, flow->extra[at] - BEGUN);
}

void follow_frames(struct orc_text *text, const struct frame_range *ranges, uint32_t count) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (ranges[i].end - ranges[i].start > longest)
            longest = ranges[i].end - ranges[i].start;
    struct frame_flow flow = {.text = text, .work_room = 256};
    flow.work = allocate(flow.work_room, sizeof *flow.work);
    flow.extra = allocate(longest, sizeof *flow.extra);
    for (uint32_t i = 0; i < count; i++) {
        flow.range = &ranges[i];
        flow.bytes = bytes_at(text->kernel, ranges[i].start, ranges[i].end - ranges[i].start);
        if (!flow.bytes) {
            complain(".eh_frame+0x%lx: the file has no code at 0x%lx", (unsigned long)ranges[i].offset,
                     (unsigned long)ranges[i].start);
            continue;
        }
        for (uint64_t at = 0; at < ranges[i].end - ranges[i].start; at++)
            flow.extra[at] = 0;
        follow_range(&flow);
    }
}
