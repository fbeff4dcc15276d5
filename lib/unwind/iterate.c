/* SPDX-License-Identifier: MIT */
/*
 * From a frame to its caller's. Reads words of the stack that the kernel's hook gave bounds of, and nothing else.
 *
 * Each way on is computed as a whole before the frame is changed, so that a walk that ends leaves its last frame as it was.
 * `frame` in the comments is what tp_orc_entry calls so: the address that a base and an offset lead to.
 */
#include "../unwind/tables.h"

enum { WORD = sizeof(uint64_t) };

/* As the CPU pushes them, and as they end a struct tp_regs. */
enum words { RIP, CS, RFLAGS, RSP, SS, WORDS };

/* The two below them: vector and error code. */
enum { VECTOR_WORDS = 2, BREAKPOINT = 3 };

/* A stack's words are whatever the kernel has put there; in unoptimised leaf functions rsp may be odd. */
typedef uint64_t stack_word __attribute__((may_alias, aligned(1)));

static bool lose(struct tp_unwind *at) {
    at->end = TP_UNWIND_LOST;
    return false;
}

/* ---- Stacks ---- */

static bool holds(const struct tp_stack *stack, uintptr_t address, uintptr_t size) {
    return address >= stack->start && address <= stack->end && size <= stack->end - address;
}

static bool ask_for_stack(const struct tp_unwind *at, uintptr_t sp, struct tp_stack *stack) {
    return at->find && at->find(sp, stack, at->argument) && stack->start <= sp && sp <= stack->end;
}

static unsigned count_visits(const struct tp_unwind *at, uintptr_t start) {
    unsigned count = 0;
    for (unsigned i = 0; i < at->entered_count; i++)
        count += at->entered[i] == start;
    return count;
}

/* `again`: it may be the stack that the walk is on, a second time. */
static bool enter_stack(struct tp_unwind *at, const struct tp_stack *stack, bool again) {
    const unsigned visits = count_visits(at, stack->start);
    const bool is_here = stack->start == at->stack.start;
    if (at->entered_count == TP_UNWIND_STACKS || visits > (again && is_here))
        return false;
    at->entered[at->entered_count++] = stack->start;
    at->stack = *stack;
    return true;
}

/*
 * The stack of a frame of `size` bytes: this one, at or above sp, or another that may be entered. Nothing is entered
 * yet.
 */
static bool find_frame(const struct tp_unwind *at, uintptr_t frame, uintptr_t size, struct tp_stack *stack) {
    *stack = at->stack;
    if (frame >= at->sp && holds(stack, frame, size))
        return true;
    return ask_for_stack(at, frame, stack) && stack->start != at->stack.start && holds(stack, frame, size);
}

/* A word that is only wanted: somewhere on this stack, above sp, or on the frame's. */
static bool read_word(const struct tp_unwind *at, const struct tp_stack *stack, uintptr_t address, uintptr_t *value) {
    if (!(address >= at->sp && holds(&at->stack, address, WORD)) && !holds(stack, address, WORD))
        return false;
    *value = *(const volatile stack_word *)address;
    return true;
}

/* ---- What an entry says ---- */

static bool read_register(const struct tp_unwind *at, unsigned base, uintptr_t *value) {
    const volatile struct tp_regs *regs = at->regs;
    if (!regs)
        return false;
    switch (base) {
    case TP_ORC_BASE_AX: *value = regs->rax; break;
    case TP_ORC_BASE_CX: *value = regs->rcx; break;
    case TP_ORC_BASE_DX: *value = regs->rdx; break;
    case TP_ORC_BASE_DI: *value = regs->rdi; break;
    case TP_ORC_BASE_SI: *value = regs->rsi; break;
    case TP_ORC_BASE_R10: *value = regs->r10; break;
    case TP_ORC_BASE_R11: *value = regs->r11; break;
    case TP_ORC_BASE_R13: *value = regs->r13; break;
    default: return false;
    }
    return true;
}

static bool read_base(const struct tp_unwind *at, unsigned base, uintptr_t *value) {
    switch (base) {
    case TP_ORC_BASE_SP:
    case TP_ORC_BASE_AT_SP:
    case TP_ORC_BASE_BEHIND_SP:
        *value = at->sp;
        return true;
    case TP_ORC_BASE_BP:
    case TP_ORC_BASE_AT_BP:
    case TP_ORC_BASE_BEHIND_BP:
        *value = at->bp;
        return at->bp_is_known;
    default:
        return read_register(at, base, value);
    }
}

static bool is_in_memory(unsigned base) {
    return base >= TP_ORC_BASE_AT_SP && base <= TP_ORC_BASE_BEHIND_BP;
}

static bool compute_frame(const struct tp_unwind *at, const struct tp_orc_entry *entry, uintptr_t *frame) {
    const unsigned base = entry->registers & TP_ORC_BASE;
    if (!read_base(at, base, frame))
        return false;
    *frame += (uintptr_t)(intptr_t)entry->sp_offset;
    if (is_in_memory(base) && !read_word(at, &at->stack, *frame, frame))
        return false;
    if (base == TP_ORC_BASE_BEHIND_SP || base == TP_ORC_BASE_BEHIND_BP)
        *frame += WORD;
    return true;
}

static bool compute_bp(const struct tp_unwind *at, const struct tp_orc_entry *entry, const struct tp_stack *stack,
                       uintptr_t frame, uintptr_t *bp) {
    const uintptr_t offset = (uintptr_t)(intptr_t)entry->bp_offset;
    *bp = at->bp;
    switch (entry->registers & TP_ORC_BP) {
    case TP_ORC_BP_SAME:
        return at->bp_is_known;
    case TP_ORC_BP_SAVED:
        return read_word(at, stack, frame + offset, bp);
    case TP_ORC_BP_AT_BP:
        return at->bp_is_known && read_word(at, stack, at->bp + offset, bp);
    case TP_ORC_BP_AT_SP:
        return read_word(at, stack, at->sp + offset, bp);
    default:
        return false;
    }
}

/* ---- The ways on ---- */

static void set_bp(struct tp_unwind *at, bool is_known, uintptr_t bp) {
    at->bp_is_known = is_known;
    at->bp = is_known ? bp : 0;
}

static bool is_users(uint64_t cs) {
    return cs & 3;
}

/* What was interrupted. Read once: while another thread's stack is walked, its frames may become others. */
struct interrupted {
    uintptr_t ip, sp, bp;
    uint64_t cs, vector, state;
};

static struct interrupted read_regs(const struct tp_regs *regs) {
    const volatile struct tp_regs *from = regs;
    return (struct interrupted){.ip = from->rip,
                                .sp = from->rsp,
                                .bp = from->rbp,
                                .cs = from->cs,
                                .vector = from->vector,
                                .state = from->error_code};
}

/* What a frame of vector 3 says of its rip: textpatch/unwind.h. */
static void take_breakpoint(struct tp_unwind *at, uint64_t state) {
    const uint64_t laid_over = (state >> 63 ^ state >> 62) & 1;
    at->behind = state == 0;
    if (state <= TP_BREAKPOINT_MOVED || laid_over != (at->sp >> 3 & 1))
        return;
    at->ip = state ^ laid_over << 62;
    at->behind = true;
}

static void take_regs(struct tp_unwind *at, const struct tp_regs *regs, const struct interrupted *interrupted) {
    at->regs = regs;
    at->ip = interrupted->ip;
    at->sp = interrupted->sp;
    at->behind = false;
    set_bp(at, true, interrupted->bp);
    if (interrupted->vector == BREAKPOINT)
        take_breakpoint(at, interrupted->state);
}

/*
 * On the stack of a frame that ends at `end`, upwards; or to another one, or once to a lower place of the same. Or to none:
 * where `syscall` enters, rsp is user mode's. The frame is right, and nothing on that stack is read.
 */
static bool go_to_stack(struct tp_unwind *at, const struct tp_stack *frames, uintptr_t end, uintptr_t sp) {
    struct tp_stack stack = *frames;
    if (frames->start != at->stack.start && !enter_stack(at, frames, false))
        return false;
    if (sp >= end && sp <= frames->end)
        return true;
    if (ask_for_stack(at, sp, &stack))
        return enter_stack(at, &stack, true);
    at->stack.start = at->stack.end = sp;
    return true;
}

static bool follow_call(struct tp_unwind *at, const struct tp_orc_entry *entry, uintptr_t frame) {
    struct tp_stack stack;
    uintptr_t ip, bp;
    if (!find_frame(at, frame - WORD, WORD, &stack) || !read_word(at, &stack, frame - WORD, &ip) || ip == 0)
        return lose(at);
    bool bp_is_known = compute_bp(at, entry, &stack, frame, &bp);
    if (stack.start != at->stack.start && !enter_stack(at, &stack, false))
        return lose(at);
    at->ip = ip;
    at->sp = frame;
    at->regs = NULL;
    at->behind = !(entry->type & TP_ORC_SIGNAL);
    set_bp(at, bp_is_known, bp);
    return true;
}

static bool follow_regs(struct tp_unwind *at, uintptr_t frame) {
    struct tp_stack stack;
    if (frame % WORD != 0 || !find_frame(at, frame, sizeof(struct tp_regs), &stack))
        return lose(at);
    const struct tp_regs *regs = (const struct tp_regs *)frame;
    const struct interrupted interrupted = read_regs(regs);
    if (is_users(interrupted.cs)) {
        at->end = TP_UNWIND_USER;
        return false;
    }
    if (!go_to_stack(at, &stack, frame + sizeof *regs, interrupted.sp))
        return lose(at);
    take_regs(at, regs, &interrupted);
    return true;
}

static bool follow_words(struct tp_unwind *at, const struct tp_orc_entry *entry, uintptr_t frame) {
    struct tp_stack stack;
    uintptr_t bp;
    const uintptr_t below = entry->type & TP_ORC_VECTOR ? VECTOR_WORDS * WORD : 0;
    if (!find_frame(at, frame - below, below + WORDS * WORD, &stack))
        return lose(at);
    const volatile stack_word *words = (const volatile stack_word *)frame;
    if (is_users(words[CS])) {
        at->end = TP_UNWIND_USER;
        return false;
    }
    const uintptr_t ip = words[RIP], sp = words[RSP];
    bool bp_is_known = compute_bp(at, entry, &stack, frame, &bp);
    if (!go_to_stack(at, &stack, frame + WORDS * WORD, sp))
        return lose(at);
    at->ip = ip;
    at->sp = sp;
    at->regs = NULL;
    at->behind = entry->type & TP_ORC_TRAP || (below && words[-VECTOR_WORDS] == BREAKPOINT);
    set_bp(at, bp_is_known, bp);
    return true;
}

/* rbp leads to the caller's rbp, and above it lies the return address, if this is how the code was compiled. */
static bool follow_frame_pointer(struct tp_unwind *at) {
    static const struct tp_orc_entry entry = {
        .sp_offset = 2 * WORD,
        .bp_offset = -2 * WORD,
        .registers = TP_ORC_BASE_BP | TP_ORC_BP_SAVED,
        .type = TP_ORC_CALL,
    };
    if (!at->bp_is_known)
        return lose(at);
    if (!follow_call(at, &entry, at->bp + 2 * WORD))
        return false;
    at->reliable = false;
    return true;
}

static bool follow(struct tp_unwind *at, const struct tp_orc_entry *entry) {
    uintptr_t frame;
    const unsigned type = entry->type & TP_ORC_TYPE;
    if (type == TP_ORC_UNDEFINED)
        return follow_frame_pointer(at);
    if (type == TP_ORC_END) {
        at->end = TP_UNWIND_OUTERMOST;
        return false;
    }
    if (!compute_frame(at, entry, &frame))
        return lose(at);
    switch (type) {
    case TP_ORC_CALL:
        return follow_call(at, entry, frame);
    case TP_ORC_REGS:
        return follow_regs(at, frame);
    default:
        return follow_words(at, entry, frame);
    }
}

bool tp_unwind_next(struct tp_unwind *at) {
    struct tp_orc_entry entry;
    if (at->end != TP_UNWIND_GOES_ON)
        return false;
    if (!tp_orc_find(tp_unwind_place(at), &entry))
        return follow_frame_pointer(at);
    return follow(at, &entry);
}

/* ---- The first frame ---- */

static void begin(struct tp_unwind *at, tp_find_stack *find, void *argument) {
    struct tp_stack stack = {0};
    at->reliable = true;
    at->end = TP_UNWIND_GOES_ON;
    at->entered_count = 0;
    at->find = find;
    at->argument = argument;
    /* None that may be read: an empty one. */
    at->stack.start = at->stack.end = at->sp;
    if (ask_for_stack(at, at->sp, &stack))
        (void)enter_stack(at, &stack, false);
}

void tp_unwind_start(struct tp_unwind *at, const struct tp_regs *regs, tp_find_stack *find, void *argument) {
    const struct interrupted interrupted = read_regs(regs);
    take_regs(at, regs, &interrupted);
    begin(at, find, argument);
    if (is_users(interrupted.cs))
        at->end = TP_UNWIND_USER;
}

void tp_unwind_start_at(struct tp_unwind *at, uintptr_t ip, uintptr_t sp, uintptr_t bp, tp_find_stack *find,
                        void *argument) {
    at->ip = ip;
    at->sp = sp;
    at->regs = NULL;
    at->behind = false;
    set_bp(at, true, bp);
    begin(at, find, argument);
}
