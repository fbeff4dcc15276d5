/* SPDX-License-Identifier: MIT */
/*
 * Assembler functions: followed from their starts and from hints, instruction by instruction.
 *
 * How it works
 *   Where it begins, in this order: hints; functions that have a size; what is called from anywhere; other labels that
 *   nothing has led to by then, those that are jumped to last. Where a site is, every form that it may hold is followed. A state reaches the next instruction and the targets of branches, and ends at returns
 *   and indirect jumps, and where .eh_frame speaks. If two ways bring two states to one place, that is an error: a hint
 *   must say which holds there.
 *
 * Edge cases
 *   - Code behind a call is taken to be reached, though the call may not return: what begins there as a function has its
 *     own state.
 *   - Macro-local labels of NASM (..@1.name) are no functions.
 */
#include <string.h>

#include "flow_state.h"
#include "report.h"

struct assembler_flow {
    struct orc_text *text;
    uint64_t *work;
    size_t count, room;
};

static bool is_followed(const struct orc_text *text, uint64_t address) {
    return lies_in_text(text, address) && !has_mark(text, address, MARK_FRAME) && !has_mark(text, address, MARK_FIXED);
}

static void add_work(struct assembler_flow *flow, uint64_t address) {
    if (flow->count == flow->room) {
        flow->work = grow(flow->work, flow->count, 2 * flow->room, sizeof *flow->work);
        flow->room *= 2;
    }
    flow->work[flow->count++] = address;
}

/* The parts that a table knows; a walk that isn't sure of rbp is not what a merge should fail for. */
static bool agree(struct orc_state *left, const struct orc_state *right) {
    struct orc_state a = plain_state(left), b = plain_state(right);
    return same_state(&a, &b);
}

/* Two ways agree but for rbp: it is lost. True if that is all. */
static bool weaken(struct orc_state *known, const struct orc_state *other) {
    struct orc_state a = *known, b = *other;
    a.registers = (uint8_t)((a.registers & TP_ORC_BASE) | TP_ORC_BP_UNKNOWN);
    b.registers = (uint8_t)((b.registers & TP_ORC_BASE) | TP_ORC_BP_UNKNOWN);
    a.bp_is_below = b.bp_is_below = 0;
    if (!agree(&a, &b))
        return false;
    *known = a;
    known->bp_offset = 0;
    return true;
}

static void complain_of(const struct orc_text *text, uint64_t from, uint64_t to, const struct orc_state *known,
                        const struct orc_state *state) {
    const char *place = describe_address(text->kernel, from);
    complain("%s: from here %s is reached with %s, otherwise with %s: a hint must say which holds (textpatch/hints.inc)",
             place, describe_address(text->kernel, to), describe_state(state), describe_state(known));
}

static void reach(struct assembler_flow *flow, uint64_t from, uint64_t to, const struct orc_state *state) {
    struct orc_text *text = flow->text;
    if (!is_followed(text, to) || has_mark(text, to, MARK_HINT))
        return;
    if (!has_mark(text, to, MARK_BEGIN)) {
        set_states(text, to, 1, state);
        set_mark(text, to, MARK_BEGIN);
        add_work(flow, to);
        return;
    }
    struct orc_state known = state_at(text, to);
    if (agree(&known, state))
        return;
    if (known.type == TP_ORC_UNDEFINED || state->type == TP_ORC_UNDEFINED || !weaken(&known, state)) {
        if (known.type != TP_ORC_UNDEFINED && state->type != TP_ORC_UNDEFINED)
            complain_of(text, from, to, &known, state);
        return;
    }
    struct orc_state before = state_at(text, to);
    if (same_state(&before, &known))
        return;
    set_states(text, to, 1, &known);
    add_work(flow, to);
}

/* Behind a call that may not return, another function may begin. */
static bool begins_another(const struct orc_text *text, uint64_t address) {
    const struct kernel_symbol *function = function_at(text->kernel, address);
    return function && function->address == address && strncmp(function->name, "..@", 3) != 0;
}

static bool is_inside(const struct site_forms *site, uint64_t address) {
    return address >= site->address && address < site->address + site->length;
}

/* Where a form leads: its branches, and the site's end. The original is followed as what stands in the text, too. */
static void follow_form(struct assembler_flow *flow, const struct site_forms *site, const struct form *form) {
    struct orc_state state = state_at(flow->text, site->address);
    struct tp_insn insn;
    for (unsigned offset = 0; offset < site->length; offset += insn.length) {
        const uint8_t *bytes = form->bytes + offset;
        if (!decode_at(bytes, site->length - offset, &insn))
            return;
        uint64_t target = tp_insn_target(&insn, bytes, site->address + offset);
        bool branches = insn.kind == TP_INSN_JMP_RELATIVE || insn.kind == TP_INSN_JCC_RELATIVE;
        /* A direct jump of an op or a static call goes to any function: not to be followed. */
        if (branches && form->kind != TP_FORM_DIRECT && !is_inside(site, target))
            reach(flow, site->address, target, &state);
        step_state(&state, &insn, bytes);
        if (insn.flags & TP_INSN_ENDS_FLOW || insn.kind == TP_INSN_UD)
            return;
    }
    reach(flow, site->address, site->address + site->length, &state);
}

static void follow_site(struct assembler_flow *flow, const struct site_forms *site) {
    for (uint32_t i = 0; i < site->count; i++)
        follow_form(flow, site, &site->forms[i]);
}

static void follow_one(struct assembler_flow *flow, uint64_t address) {
    struct orc_text *text = flow->text;
    const struct kernel_section *section = section_at(text->kernel, address);
    struct tp_insn insn;
    if (!section || !section->bytes || !is_executable(section))
        return;
    const uint8_t *bytes = section->bytes + (address - section->address);
    if (!decode_at(bytes, section->size - (address - section->address), &insn))
        return;
    struct orc_state state = state_at(text, address);
    for (uint64_t byte = address; byte < address + insn.length; byte++)
        if (is_followed(text, byte) && !(byte > address && has_mark(text, byte, MARK_BEGIN)))
            set_states(text, byte, 1, &state);
    uint64_t target = tp_insn_target(&insn, bytes, address), next = address + insn.length;
    if (insn.kind == TP_INSN_CALL_RELATIVE && lies_in_text(text, target))
        set_mark(text, target, MARK_CALLED);
    if (insn.kind == TP_INSN_JMP_RELATIVE || insn.kind == TP_INSN_JCC_RELATIVE || insn.kind == TP_INSN_LOOP)
        reach(flow, address, target, &state);
    const struct site_forms *site = site_at(text, address);
    if (site)
        follow_site(flow, site);
    bool is_call = insn.kind == TP_INSN_CALL_RELATIVE || insn.kind == TP_INSN_CALL_INDIRECT;
    step_state(&state, &insn, bytes);
    bool stops = insn.flags & TP_INSN_ENDS_FLOW || insn.kind == TP_INSN_UD;
    if (!stops && !(is_call && begins_another(text, next)))
        reach(flow, address, next, &state);
}

static void drain(struct assembler_flow *flow) {
    while (flow->count)
        follow_one(flow, flow->work[--flow->count]);
}

static void begin_at(struct assembler_flow *flow, uint64_t address) {
    struct orc_text *text = flow->text;
    if (!is_followed(text, address) || has_mark(text, address, MARK_BEGIN) || has_mark(text, address, MARK_HINT))
        return;
    set_states(text, address, 1, &called_state);
    set_mark(text, address, MARK_BEGIN);
    add_work(flow, address);
}

static void begin_at_hints(struct assembler_flow *flow) {
    for (uint64_t at = flow->text->start; at < flow->text->end; at++)
        if (has_mark(flow->text, at, MARK_HINT)) {
            set_mark(flow->text, at, MARK_BEGIN);
            add_work(flow, at);
        }
}

enum { WITH_SIZE, NOT_JUMPED_TO, THE_REST };

static bool is_of(const struct orc_text *text, const struct kernel_symbol *function, int kind) {
    if (!lies_in_text(text, function->address) || strncmp(function->name, "..@", 3) == 0)
        return false;
    if (kind == WITH_SIZE)
        return function->size != 0;
    return kind == THE_REST || !has_mark(text, function->address, MARK_JUMPED);
}

static void begin_at_functions(struct assembler_flow *flow, int kind) {
    const struct kernel *kernel = flow->text->kernel;
    for (uint32_t i = 0; i < kernel->function_count; i++)
        if (is_of(flow->text, &kernel->functions[i], kind)) {
            begin_at(flow, kernel->functions[i].address);
            drain(flow);
        }
}

/* Of what hasn't been followed yet, in a row. */
static void mark_jumps_of(struct orc_text *text, const struct kernel_section *section) {
    struct tp_insn insn;
    for (uint64_t at = 0; at < section->size; at += insn.length) {
        uint64_t address = section->address + at;
        if (!decode_at(section->bytes + at, section->size - at, &insn))
            insn.length = 1;
        else if (is_followed(text, address) && !has_state(text, address) && insn.kind == TP_INSN_JMP_RELATIVE) {
            uint64_t target = tp_insn_target(&insn, section->bytes + at, address);
            if (lies_in_text(text, target))
                set_mark(text, target, MARK_JUMPED);
        }
    }
}

static void mark_jumps(struct orc_text *text) {
    const struct kernel *kernel = text->kernel;
    for (uint32_t i = 0; i < kernel->section_count; i++)
        if (is_executable(&kernel->sections[i]) && kernel->sections[i].bytes &&
            lies_in_text(text, kernel->sections[i].address))
            mark_jumps_of(text, &kernel->sections[i]);
}

/* What is followed may call more. */
static void begin_at_called(struct assembler_flow *flow) {
    bool again = true;
    while (again) {
        again = false;
        for (uint64_t at = flow->text->start; at < flow->text->end; at++) {
            if (!has_mark(flow->text, at, MARK_CALLED) || has_mark(flow->text, at, MARK_BEGIN))
                continue;
            begin_at(flow, at);
            again = again || flow->count;
            drain(flow);
        }
    }
}

void follow_assembler(struct orc_text *text, bool has_frames) {
    struct assembler_flow flow = {.text = text, .room = 1024};
    flow.work = allocate(flow.room, sizeof *flow.work);
    begin_at_hints(&flow);
    drain(&flow);
    if (!has_frames)
        return;
    begin_at_functions(&flow, WITH_SIZE);
    begin_at_called(&flow);
    mark_jumps(text);
    begin_at_functions(&flow, NOT_JUMPED_TO);
    begin_at_called(&flow);
    begin_at_functions(&flow, THE_REST);
    begin_at_called(&flow);
}
