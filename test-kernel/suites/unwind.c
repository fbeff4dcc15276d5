/* SPDX-License-Identifier: MIT */
/*
 * unwind: walks in both worlds. What single steps can show is in unwind_steps.c and unwind_entries.c.
 *
 *   the linked table is one, and its first walk ends where the kernel was entered
 *   a walk from a timer's interrupt, wherever it comes, ends where the kernel was entered
 *   garbage on the stack, and none at all: lost
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "stacks.h"
#include "support.h"
#include "unwind_table.h"

enum { HERTZ = 1000, WALKS = 50 };

static void walk_home(void) {
    REQUIRE_TABLE();
    struct tp_unwind frame;
    unsigned depth = 0;
    EXPECT(kernel_table.text_start == (uintptr_t)text_start);
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    EXPECT(frame.ip > (uintptr_t)walk_home);
    while (tp_unwind_next(&frame))
        depth++;
    EXPECT_EQUAL(frame.end, TP_UNWIND_OUTERMOST);
    EXPECT(frame.reliable);
    EXPECT(depth >= 2); /* kernel_main() and who called it */
    forget_table();
}

/* ---- From interrupts ---- */

static volatile unsigned walks, lost;
static uintptr_t lost_at;

static void walk_from_tick(struct tp_regs *regs) {
    struct tp_unwind frame;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame)) {
    }
    walks++;
    if (frame.end == TP_UNWIND_OUTERMOST && frame.reliable)
        return;
    lost++;
    lost_at = regs->rip;
}

/* The tick's own entry is on the way, too. */
static void walk_through_tick(struct tp_regs *regs) {
    struct tp_unwind frame;
    bool passed = false;
    walk_from_tick(regs);
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame))
        passed |= frame.regs == regs && frame.ip == regs->rip && frame.sp == regs->rsp && !frame.behind;
    if (!passed || frame.end != TP_UNWIND_OUTERMOST || !frame.reliable) {
        lost++;
        lost_at = frame.ip;
    }
}

static void walk_from_ticks(void) {
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    walks = lost = 0;
    timer_hook = walk_through_tick;
    start_timer(HERTZ);
    for (unsigned patience = 100000; walks < WALKS && patience > 0; patience--) {
        unmask_interrupts();
        for (unsigned i = 0; i < 100; i++)
            run_flags();
        mask_interrupts();
    }
    stop_timer();
    timer_hook = NULL;
    EXPECT(walks >= WALKS);
    if (!EXPECT_EQUAL(lost, 0))
        print_format("# the last one at %lx\n", lost_at);
    forget_table();
}

/* ---- Garbage ---- */

static bool find_no_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)sp, (void)stack, (void)argument;
    return false;
}

static void walk_garbage(void) {
    REQUIRE_TABLE();
    static uint64_t garbage[64];
    struct tp_unwind frame;
    struct tp_regs regs = {.rip = (uintptr_t)walk_garbage, .rsp = (uintptr_t)garbage, .cs = 8};
    for (unsigned i = 0; i < 64; i++)
        garbage[i] = i * 0x0123456789abcdef;
    tp_unwind_start(&frame, &regs, find_kernel_stack, NULL);
    EXPECT(!tp_unwind_next(&frame));
    EXPECT_EQUAL(frame.end, TP_UNWIND_LOST);
    tp_unwind_here(&frame, find_no_stack, NULL);
    EXPECT(!tp_unwind_next(&frame));
    EXPECT_EQUAL(frame.end, TP_UNWIND_LOST);
    forget_table();
}

KTAP_SUITE(unwind, {"a walk from here ends where the kernel was entered", walk_home},
           {"from a timer's interrupt", walk_from_ticks},
           {"garbage", walk_garbage});
