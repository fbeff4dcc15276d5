/* SPDX-License-Identifier: MIT */
#include "shadow_steps.h"

#include <textpatch/engine.h>
#include <textpatch/live.h>

#include "../lib/insn/decode.h"
#include "backend.h"
#include "platform.h"

enum { FLAGS_TF = 1 << 8, FLAGS_RF = 1 << 16, DEPTH_MAX = 128, BOOT_STACK_SIZE = 64 * 1024, WORD = 8, IRET_FLAGS = 2 };

struct call {
    uintptr_t ip;
    uintptr_t sp; /* behind the address: the caller's once it has returned */
};

/* What was called since stepping began, and what had been called before; the last one is the innermost. */
static struct call calls[DEPTH_MAX], before[DEPTH_MAX];
static unsigned call_count, before_count;

/* How often an instruction has been stepped, by its offset from the text's start. */
enum { TEXT_ROOM = 1 << 20, OFTEN = 100 };
static uint8_t visits[TEXT_ROOM];

/* Intel SDM vol. 3 section 17.2.4: DR0, for all tasks; the other bits are always one. */
enum { BREAK_AT_RETURN = 1 << 1 | 1 << 10, NO_BREAKS = 1 << 10, BROKE_AT_RETURN = 1 };
static struct call awaited; /* ip: 0: stepping */

static struct shadow_report report;
static uint64_t steps_left;
static bool began, ends;
static uint8_t last_kind; /* of the instruction that has just been executed: enum tp_insn_kind */

bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)argument;
    *stack = (struct tp_stack){(uintptr_t)boot_stack_top - BOOT_STACK_SIZE, (uintptr_t)boot_stack_top};
    return sp >= stack->start && sp <= stack->end;
}

/* ---- The shadow ---- */

static void keep_calls(const struct tp_regs *regs) {
    while (call_count && calls[call_count - 1].sp <= regs->rsp)
        call_count--;
    if (last_kind != TP_INSN_CALL_RELATIVE && last_kind != TP_INSN_CALL_INDIRECT)
        return;
    if (call_count == DEPTH_MAX)
        panic("more than %u calls deep", DEPTH_MAX);
    calls[call_count++] = (struct call){*(const uintptr_t *)regs->rsp, regs->rsp + WORD};
}

/* The last instruction stored flags, the next one loads them: for the code there is no TF. */
static void hide_flag(struct tp_regs *regs) {
    struct tp_insn insn;
    uint64_t *words = (uint64_t *)regs->rsp;
    if (last_kind == TP_INSN_PUSHF)
        words[0] &= ~(uint64_t)FLAGS_TF;
    if (tp_insn_decode((const uint8_t *)regs->rip, text_end, &insn) != TP_OK)
        panic("no instruction at %lx", regs->rip);
    if (insn.kind == TP_INSN_POPF)
        words[0] |= FLAGS_TF;
    if (insn.kind == TP_INSN_IRET)
        words[IRET_FLAGS] |= FLAGS_TF;
    last_kind = insn.kind;
}

/* ---- Running on ---- */

void forget_stepped_places(void) {
    for (unsigned i = 0; i < TEXT_ROOM; i++)
        visits[i] = 0;
}

static bool is_often_stepped(uintptr_t ip) {
    uintptr_t offset = ip - (uintptr_t)text_start;
    if (offset >= TEXT_ROOM)
        panic("shadow_steps.c counts in %u bytes of text", TEXT_ROOM);
    report.places += visits[offset] == 0;
    if (visits[offset] == OFTEN)
        return true;
    visits[offset]++;
    return false;
}

static void set_break(uintptr_t address, uint64_t control) {
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7; mov %2, %%dr6"
                     : : "r"(address), "r"(control), "r"(0xffff0ff0ull) : "memory");
}

static bool broke_at_return(void) {
    uint64_t status;
    __asm__ volatile("mov %%dr6, %0" : "=r"(status) : : "memory");
    return awaited.ip && status & BROKE_AT_RETURN;
}

static void run_on(struct tp_regs *regs) {
    awaited = calls[call_count - 1];
    set_break(awaited.ip, BREAK_AT_RETURN);
    regs->rflags &= ~(uint64_t)FLAGS_TF;
    report.left_alone++;
}

/* It comes in front of the instruction; a deeper call of the same function may come there first. */
static bool is_back(struct tp_regs *regs) {
    if (regs->rsp < awaited.sp) {
        regs->rflags |= FLAGS_RF;
        return false;
    }
    awaited.ip = 0;
    set_break(0, NO_BREAKS);
    last_kind = TP_INSN_OTHER;
    regs->rflags |= FLAGS_TF;
    return true;
}

/* ---- The walk ---- */

static void note_fault(const char *fault, const struct tp_regs *regs, unsigned depth, uintptr_t found,
                       uintptr_t expected) {
    struct tp_site_info site;
    report.wrong++;
    report.wrong_in_sites += tp_describe_site(regs->rip, &site) && site.address != regs->rip;
    if (report.first_fault)
        return;
    report.first_fault = fault;
    report.at = regs->rip;
    report.depth = depth;
    report.found = found;
    report.expected = expected;
}

static const struct call *call_at(unsigned depth) {
    if (depth < call_count)
        return &calls[call_count - 1 - depth];
    depth -= call_count;
    return depth < before_count ? &before[before_count - 1 - depth] : NULL;
}

static void compare(const struct tp_regs *regs) {
    struct tp_unwind frame;
    unsigned depth = 0;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame)) {
        report.frames++;
        if (!frame.behind)
            continue;
        const struct call *call = call_at(depth);
        if (!call || frame.ip != call->ip || frame.sp != call->sp) {
            bool same = call && frame.ip == call->ip;
            note_fault(same ? "sp" : "ip", regs, depth, same ? frame.sp : frame.ip,
                       !call ? 0 : same ? call->sp : call->ip);
            return;
        }
        depth++;
    }
    if (depth != call_count + before_count || frame.end != TP_UNWIND_OUTERMOST || !frame.reliable)
        note_fault(frame.reliable ? "end" : "not reliable", regs, depth, frame.end, TP_UNWIND_OUTERMOST);
    if (depth > report.deepest)
        report.deepest = depth;
}

/* ---- Steps ---- */

/* The first walk has nothing to be compared with but its end. */
static void begin(const struct tp_regs *regs) {
    struct tp_unwind frame;
    struct call found[DEPTH_MAX];
    unsigned count = 0;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame) && count < DEPTH_MAX)
        found[count++] = (struct call){frame.ip, frame.sp};
    if (frame.end != TP_UNWIND_OUTERMOST || !frame.reliable)
        note_fault("the first walk's end", regs, count, frame.end, TP_UNWIND_OUTERMOST);
    before_count = count;
    for (unsigned i = 0; i < count; i++)
        before[i] = found[count - 1 - i];
    call_count = 0;
    began = true;
}

static bool handle_step(struct tp_regs *regs) {
    struct tp_site_info site;
    if (broke_at_return() && !is_back(regs))
        return true;
    if (!began)
        begin(regs);
    keep_calls(regs);
    compare(regs);
    report.steps++;
    report.in_sites += tp_describe_site(regs->rip, &site) && site.address != regs->rip;
    hide_flag(regs);
    if (ends || --steps_left == 0)
        regs->rflags &= ~(uint64_t)FLAGS_TF;
    else if (is_often_stepped(regs->rip) && call_count)
        run_on(regs);
    return true;
}

/* In its caller, whose frame is where it begins. */
static inline __attribute__((always_inline)) void set_flag(void) {
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq; nop" : : "i"(FLAGS_TF) : "memory", "cc");
}

struct shadow_report step_with_shadow(void (*run)(void), uint64_t limit) {
    report = (struct shadow_report){.steps = 0};
    steps_left = limit;
    began = ends = false;
    last_kind = TP_INSN_OTHER;
    exception_handler handler = set_exception_handler(VECTOR_DEBUG, handle_step);
    set_flag();
    run();
    ends = true;
    __asm__ volatile("nop; nop" : : : "memory");
    set_exception_handler(VECTOR_DEBUG, handler);
    return report;
}
