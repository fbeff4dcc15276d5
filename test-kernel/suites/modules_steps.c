/* SPDX-License-Identifier: MIT */
/*
 * modules_steps: walks at every instruction of a module's functions, in every form that their sites hold. Native world.
 *
 *   stepped, the caller that a walk finds is who called; the walk is reliable and ends where the kernel was entered; inside
 *     sites too, between the push and the pop of inline forms that the kernel has registered and the module knows nothing of
 *   negative control: by a table without the union the walks are wrong there, and nowhere else
 */
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "live_sites.h"
#include "loaded_module.h"
#include "platform.h"
#include "stacks.h"
#include "step_forms.h"
#include "support.h"
#include "unwind_table.h"

/* Who has called the module: known from its first instruction on. */
static struct {
    uintptr_t function, return_to, stack; /* the stack once it has returned */
    bool ends;
} call;

static struct {
    unsigned steps, in_sites, wrong, wrong_in_sites;
    uintptr_t first_wrong;
} report;

static bool is_in_module(uintptr_t ip) {
    return ip >= module.image.text_start && ip < module.image.text_end;
}

static bool walk_is_right(const struct tp_regs *regs) {
    struct tp_unwind frame;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    while (is_in_module(frame.ip)) /* it may have called a target of its own */
        if (!tp_unwind_next(&frame))
            return false;
    if (frame.ip != call.return_to || frame.sp != call.stack)
        return false;
    while (tp_unwind_next(&frame)) {
    }
    return frame.reliable && frame.end == TP_UNWIND_OUTERMOST;
}

static void judge_step(const struct tp_regs *regs) {
    struct tp_site_info site;
    bool inside = tp_describe_site(regs->rip, &site) && site.address != regs->rip;
    report.steps++;
    report.in_sites += inside;
    if (walk_is_right(regs))
        return;
    report.wrong_in_sites += inside;
    if (report.wrong++ == 0)
        report.first_wrong = regs->rip;
}

static bool handle_step(struct tp_regs *regs) {
    if (regs->rip == call.function) {
        call.return_to = *(const uintptr_t *)regs->rsp;
        call.stack = regs->rsp + sizeof(uintptr_t);
    }
    if (is_in_module(regs->rip))
        judge_step(regs);
    if (call.ends)
        regs->rflags &= ~(uint64_t)STEP_FLAG;
    return true;
}

/* Flags are set in here, and not by a function that returns. */
static inline __attribute__((always_inline)) void begin_steps(const void *function) {
    call.function = (uintptr_t)function;
    call.ends = false;
    set_step_flag();
}

static inline __attribute__((always_inline)) void end_steps(void) {
    call.ends = true;
    __asm__ volatile("nop; nop" : : : "memory");
}

#define STEP(function, ...)                                                                                  \
    do {                                                                                                     \
        begin_steps((const void *)(function));                                                               \
        (function)(__VA_ARGS__);                                                                             \
        end_steps();                                                                                         \
    } while (0)

static void step_calls(void) {
    long note = 50;
    STEP(calls->value_in_middle, 5);
    STEP(calls->value_last, 5);
    STEP(calls->value_called, 5);
    STEP(calls->value_jumped, 5);
    STEP(calls->value_if_zero, 5, 0);
    STEP(calls->value_if_zero, 5, 1);
    STEP(calls->note_in_middle, 50, 3);
    STEP(calls->note_last, &note, 3);
    STEP(calls->branch);
    STEP(calls->alternative);
}

typedef long value_target(long);

/* As linked; by calls; and in forms of one instruction and of several. */
static void step_all_forms(void) {
    value_target *const targets[] = {kernel_plus_one, calls->plus_seven, (value_target *)(void (*)(void))live_stack,
                                     (value_target *)(void (*)(void))tp_native_save_fl,
                                     (value_target *)(void (*)(void))tp_return0};
    exception_handler handler = set_exception_handler(VECTOR_DEBUG, handle_step);
    for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++) {
        EXPECT_OK(tp_static_call_update(kernel_value, targets[i]));
        EXPECT_OK(tp_static_call_update(kernel_note, i % 2 ? kernel_more : NULL));
        step_calls();
    }
    set_exception_handler(VECTOR_DEBUG, handler);
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    EXPECT_OK(tp_static_call_update(kernel_note, NULL));
}

/* ---- The module's table ---- */

/* Before the module is applied, and afterwards. */
static void step_with(struct tp_unwind_table *table) {
    report.steps = report.in_sites = report.wrong = report.wrong_in_sites = 0;
    REQUIRE_OK(tp_unwind_add(table));
    step_all_forms();
    EXPECT_OK(tp_unwind_remove(table));
    print_format("# %u steps, %u inside sites; wrong %u, inside sites %u\n", report.steps, report.in_sites, report.wrong,
                 report.wrong_in_sites);
    if (report.wrong)
        print_format("# the first wrong one at +%lx\n", report.first_wrong - module.image.text_start);
}

static void step_module(void) {
    REQUIRE(start_applied());
    REQUIRE(load_into(0));
    REQUIRE(module.has_table);
    REQUIRE_OK(tp_image_add(&module.image));
    step_with(&module.table);
    EXPECT_EQUAL(report.in_sites, 0); /* by trampolines */
    EXPECT_EQUAL(report.wrong, 0);
    REQUIRE_OK(tp_apply());
    step_with(&module.table);
    EXPECT(report.in_sites >= 4);
    EXPECT_EQUAL(report.wrong, 0);
    unsigned steps = report.steps;
    struct tp_unwind_table narrowed;
    REQUIRE(narrow_any_table(&module.table, &narrowed));
    step_with(&narrowed);
    EXPECT_EQUAL(report.steps, steps);
    EXPECT(report.wrong >= 2); /* behind `push` and `pushf` in assembler; in C too, if frames are counted from rsp */
    EXPECT_EQUAL(report.wrong_in_sites, report.wrong);
    EXPECT(report.wrong < report.in_sites);
    remove_module();
}

static void steps_through(void) {
    if (world == WORLD_XEN_PV)
        SKIP("a PV guest's single steps end at each hypercall");
    REQUIRE_MODULE();
    REQUIRE_TABLE();
    step_module();
    forget_table();
    end_module();
}

KTAP_SUITE(modules_steps, {"at every instruction of a module, with and without the union", steps_through});
