/* SPDX-License-Identifier: MIT */
/*
 * Assembler functions: followed from their starts and from hints, instruction by instruction.
 *
 * How it works
 *   Where it begins: hints, symbols of the type function, what is called from anywhere, by sites too. Where a site is,
 *   every form that it may hold is followed. A state reaches the next instruction and the targets of branches, and ends
 *   at returns and indirect jumps, and where .eh_frame speaks. What nothing leads to stays TP_ORC_UNDEFINED: a mere label
 *   may be anything. So does what one way leads to with a stack that isn't known, whatever other ways say. If two ways
 *   bring two known states to one place, that is an error: a hint must say which holds there; one that no way agrees with
 *   is an error, too.
 *
 * Edge cases
 *   - A call may not return. So it doesn't lead to what begins behind it as a function or by a hint, or is called; whether
 *     a label there is called, is known when all else has been followed.
 *   - A call of the next instruction pushes a word that stays.
 */
#include "flow_form.h"
#include "report.h"

struct edge {
    uint64_t from, to;
    struct orc_state state;
};

struct edges {
    struct edge *all;
    size_t count, room;
};

struct addresses {
    uint64_t *all;
    size_t count, room;
};

struct assembler_flow {
    struct orc_text *text;
    struct addresses work;
    struct addresses called;   /* by sites, and by what has been followed */
    struct edges behind_calls; /* to labels that may be functions */
    struct edges doubts;       /* to hints that say otherwise */
};

static bool is_followed(const struct orc_text *text, uint64_t address) {
    return lies_in_text(text, address) && !has_mark(text, address, MARK_FRAME) && !has_mark(text, address, MARK_FIXED);
}

static void add_address(struct addresses *list, uint64_t address) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1024;
        list->all = grow(list->all, list->count, room, sizeof *list->all);
        list->room = room;
    }
    list->all[list->count++] = address;
}

static void add_work(struct assembler_flow *flow, uint64_t address) {
    add_address(&flow->work, address);
}

static void note_called(struct assembler_flow *flow, uint64_t address) {
    if (!lies_in_text(flow->text, address) || has_mark(flow->text, address, MARK_CALLED))
        return;
    set_mark(flow->text, address, MARK_CALLED);
    add_address(&flow->called, address);
}

static void forget_bp(struct orc_state *state) {
    state->registers = (uint8_t)((state->registers & TP_ORC_BASE) | TP_ORC_BP_UNKNOWN);
    state->bp_offset = 0;
}

/* What both know; false if they don't agree. A walk that isn't sure of rbp is not what a join should fail for. */
static bool join(struct orc_state *known, const struct orc_state *other) {
    struct orc_state left = plain_state(known), right = plain_state(other);
    bool is_below = known->bp_is_below == other->bp_is_below, is_kept = known->bp_is_kept && other->bp_is_kept;
    if (!same_state(&left, &right)) {
        forget_bp(&left);
        forget_bp(&right);
        if (!same_state(&left, &right))
            return false;
        *known = left;
        is_kept = false;
    }
    known->bp_is_below = is_below ? other->bp_is_below : 0;
    known->bp_is_kept = is_kept;
    return true;
}

static void complain_of(const struct orc_text *text, uint64_t from, uint64_t to, const struct orc_state *known,
                        const struct orc_state *state) {
    const char *place = describe_address(text->kernel, from);
    complain("%s: from here %s is reached with %s, otherwise with %s: a hint must say which holds (textpatch/hints.inc)",
             place, describe_address(text->kernel, to), describe_state(state), describe_state(known));
}

static void note_edge(struct edges *edges, uint64_t from, uint64_t to, const struct orc_state *state) {
    if (edges->count == edges->room) {
        size_t room = edges->room ? 2 * edges->room : 64;
        edges->all = grow(edges->all, edges->count, room, sizeof *edges->all);
        edges->room = room;
    }
    edges->all[edges->count++] = (struct edge){from, to, *state};
}

/* Whether a hint is right can be said of what is counted from rsp to a return address. */
static void compare_hint(struct assembler_flow *flow, uint64_t from, uint64_t to, const struct orc_state *state) {
    struct orc_state told = state_at(flow->text, to);
    if (!is_call_at_rsp(&told) || !is_call_at_rsp(state))
        return;
    if (told.sp_offset == state->sp_offset)
        set_mark(flow->text, to, MARK_AGREED);
    else
        note_edge(&flow->doubts, from, to, state);
}

static void complain_of_hints(const struct assembler_flow *flow) {
    const struct orc_text *text = flow->text;
    for (size_t i = 0; i < flow->doubts.count; i++) {
        const struct edge *edge = &flow->doubts.all[i];
        struct orc_state told = state_at(text, edge->to);
        if (has_mark(text, edge->to, MARK_AGREED))
            continue;
        set_mark(text, edge->to, MARK_AGREED); /* once is enough */
        const char *place = describe_address(text->kernel, edge->to);
        complain("%s: the hint here says %s, but from %s on it is %s, and nothing that leads here agrees with the hint", place,
                 describe_state(&told), describe_address(text->kernel, edge->from), describe_state(&edge->state));
    }
}

static void reach(struct assembler_flow *flow, uint64_t from, uint64_t to, const struct orc_state *state) {
    struct orc_text *text = flow->text;
    if (!is_followed(text, to))
        return;
    if (has_mark(text, to, MARK_HINT)) {
        compare_hint(flow, from, to, state);
        return;
    }
    if (!has_mark(text, to, MARK_BEGIN)) {
        set_states(text, to, 1, state);
        set_mark(text, to, MARK_BEGIN);
        add_work(flow, to);
        return;
    }
    struct orc_state known = state_at(text, to), both = known;
    if (known.type == TP_ORC_UNDEFINED)
        return;
    if (state->type == TP_ORC_UNDEFINED) {
        set_states(text, to, 1, state);
        add_work(flow, to);
    } else if (!join(&both, state))
        complain_of(text, from, to, &known, state);
    else if (!same_state(&both, &known)) {
        set_states(text, to, 1, &both);
        add_work(flow, to);
    }
}

static const struct kernel_symbol *label_at(const struct kernel *kernel, uint64_t address) {
    uint32_t low = 0, high = kernel->symbol_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kernel->symbols[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < kernel->symbol_count && kernel->symbols[low].address == address ? &kernel->symbols[low] : NULL;
}

static bool begins_another(const struct orc_text *text, uint64_t address) {
    const struct kernel_symbol *label = label_at(text->kernel, address); /* functions come first */
    return has_mark(text, address, MARK_HINT) || has_mark(text, address, MARK_CALLED) ||
           (label && label->type == STT_FUNC);
}

static void reach_behind_call(struct assembler_flow *flow, uint64_t from, uint64_t to, const struct orc_state *state) {
    if (!is_followed(flow->text, to) || begins_another(flow->text, to))
        return;
    if (label_at(flow->text->kernel, to))
        note_edge(&flow->behind_calls, from, to, state);
    else
        reach(flow, from, to, state);
}

struct followed_site {
    struct assembler_flow *flow;
    const struct site_forms *site;
};

/* The original is followed as what stands in the text, too. */
static void leave_behind(void *argument, const struct form *form, unsigned offset, const struct orc_state *state) {
    const struct followed_site *at = argument;
    (void)form;
    if (offset == at->site->length)
        reach(at->flow, at->site->address, at->site->address + offset, state);
}

/* A direct jump of an op or a static call goes to any function: not to be followed. */
static void leave_by_branch(void *argument, const struct form *form, uint64_t target, const struct orc_state *state) {
    const struct followed_site *at = argument;
    if (form->kind != TP_FORM_DIRECT)
        reach(at->flow, at->site->address, target, state);
}

static void follow_site(struct assembler_flow *flow, const struct site_forms *site) {
    struct followed_site at = {flow, site};
    const struct form_listener listener = {.argument = &at, .stand = leave_behind, .leave = leave_by_branch};
    const struct orc_state state = state_at(flow->text, site->address);
    for (uint32_t i = 0; i < site->count; i++)
        follow_form(site, &site->forms[i], &state, &listener);
}

static void follow_one(struct assembler_flow *flow, uint64_t address) {
    struct orc_text *text = flow->text;
    uint64_t size;
    const uint8_t *bytes = code_at(text, address, &size);
    struct tp_insn insn;
    if (!bytes || !decode_code(bytes, size, address, &insn))
        return;
    struct orc_state state = state_at(text, address);
    for (uint64_t byte = address; byte < address + insn.length; byte++)
        if (is_followed(text, byte) && !(byte > address && has_mark(text, byte, MARK_BEGIN)))
            set_states(text, byte, 1, &state);
    uint64_t target = tp_insn_target(&insn, bytes, address), next = address + insn.length;
    if (insn.kind == TP_INSN_CALL_RELATIVE)
        note_called(flow, target);
    if (is_branch(&insn))
        reach(flow, address, target, &state);
    const struct site_forms *site = site_at(text, address);
    if (site)
        follow_site(flow, site);
    step_state(&state, &insn, bytes);
    if (is_call(&insn))
        reach_behind_call(flow, address, next, &state);
    else if (!(insn.flags & TP_INSN_ENDS_FLOW) && insn.kind != TP_INSN_UD)
        reach(flow, address, next, &state);
}

static void drain(struct assembler_flow *flow) {
    while (flow->work.count)
        follow_one(flow, flow->work.all[--flow->work.count]);
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

static void begin_at_functions(struct assembler_flow *flow) {
    const struct kernel *kernel = flow->text->kernel;
    for (uint32_t i = 0; i < kernel->function_count; i++)
        if (lies_in_text(flow->text, kernel->functions[i].address) && kernel->functions[i].type == STT_FUNC)
            begin_at(flow, kernel->functions[i].address);
}

/* What is called through sites alone. */
static void note_targets(struct assembler_flow *flow) {
    const struct orc_text *text = flow->text;
    for (uint32_t i = 0; i < text->site_count; i++)
        for (uint32_t j = 0; j < text->sites[i].count; j++) {
            const struct form *form = &text->sites[i].forms[j];
            if (form->target && !form->has_stand_in)
                note_called(flow, form->target);
        }
}

/* What is followed may call more. */
static void follow_called(struct assembler_flow *flow) {
    drain(flow);
    while (flow->called.count) {
        begin_at(flow, flow->called.all[--flow->called.count]);
        drain(flow);
    }
}

/* By what .eh_frame speaks of (flow_frames.c). */
static void begin_at_called(struct assembler_flow *flow) {
    for (uint64_t at = flow->text->start; at < flow->text->end; at++)
        if (has_mark(flow->text, at, MARK_CALLED))
            begin_at(flow, at);
}

/* One by one: what one leads to may call the next one's label. */
static void follow_behind_calls(struct assembler_flow *flow, bool has_frames) {
    for (size_t i = 0; i < flow->behind_calls.count; i++) {
        const struct edge edge = flow->behind_calls.all[i];
        if (begins_another(flow->text, edge.to))
            continue;
        reach(flow, edge.from, edge.to, &edge.state);
        if (has_frames)
            follow_called(flow);
        else
            drain(flow);
    }
}

void follow_assembler(struct orc_text *text, bool has_frames) {
    struct assembler_flow flow = {.text = text};
    begin_at_hints(&flow);
    if (has_frames) {
        note_targets(&flow);
        begin_at_functions(&flow);
        drain(&flow);
        begin_at_called(&flow);
        follow_called(&flow);
    }
    drain(&flow);
    follow_behind_calls(&flow, has_frames);
    complain_of_hints(&flow);
    if (has_frames)
        check_flow(text);
}
