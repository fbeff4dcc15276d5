/* SPDX-License-Identifier: MIT */
/*
 * unwind: walks in both worlds. What single steps can show is in unwind_steps.c and unwind_entries.c.
 *
 *   the linked table is one, and its first walk ends where the kernel was entered
 *   walks from a timer's interrupts, from the registers and through the interrupt's entry, end with the case's callers
 *   the same on a stack of its own, from which they go on to the one before; negative control: a stack that nobody knows
 *   negative control: without the union those inside sites are wrong, if ticks come there (`any-instruction`), and no others
 *   walks in the handler of a #BP, through each of its entries
 *   garbage on the stack, and none at all: lost
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "ktap.h"
#include "live_load.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "stacks.h"
#include "support.h"
#include "unwind_table.h"

enum { HERTZ = 1000, WALKS = 50, WALKS_IN_SITES = 20, WALKS_WRONG = 3 };

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

enum { HOME = 16, FRAMES = 32 };

struct shown {
    uintptr_t ip, sp;
};

/* Who called the case: each walk ends so. */
static struct shown home[HOME];
static unsigned home_count;

static struct {
    unsigned all, in_sites, wrong, wrong_in_sites;
    uintptr_t wrong_at;
} walks;

static void forget_walks(void) {
    walks.all = walks.in_sites = walks.wrong = walks.wrong_in_sites = 0;
}

static inline __attribute__((always_inline)) void note_home(void) {
    struct tp_unwind frame;
    home_count = 0;
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame) && home_count < HOME)
        home[home_count++] = (struct shown){frame.ip, frame.sp};
}

static bool ends_at_home(const struct shown *shown, unsigned count) {
    if (count < home_count)
        return false;
    shown += count - home_count;
    for (unsigned i = 0; i < home_count; i++)
        if (shown[i].ip != home[i].ip || shown[i].sp != home[i].sp)
            return false;
    return true;
}

/* The rest of a walk; `through`: the registers that it must come by. */
static bool is_right(struct tp_unwind *frame, const struct tp_regs *through) {
    struct shown shown[FRAMES];
    unsigned count = 0;
    bool passed = !through;
    while (tp_unwind_next(frame) && count < FRAMES) {
        shown[count++] = (struct shown){frame->ip, frame->sp};
        passed |= through && frame->regs == through && frame->ip == through->rip && frame->sp == through->rsp;
    }
    return passed && frame->end == TP_UNWIND_OUTERMOST && frame->reliable && ends_at_home(shown, count);
}

static bool is_inside_site(uintptr_t ip) {
    struct tp_site_info site;
    return tp_describe_site(ip, &site) && site.address != ip;
}

/* One from the registers, and one from here, through the entry of the interrupt or exception. */
static void walk_twice(struct tp_regs *regs) {
    struct tp_unwind frame, from_here;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    tp_unwind_here(&from_here, find_kernel_stack, NULL);
    const bool by_registers = is_right(&frame, NULL), from_handler = is_right(&from_here, regs);
    const bool right = by_registers && from_handler, inside = is_inside_site(regs->rip);
    walks.all++;
    walks.in_sites += inside;
    walks.wrong += !right;
    walks.wrong_in_sites += !right && inside;
    if (!right)
        walks.wrong_at = regs->rip;
}

/* An emulator that lets interrupts come between blocks only never lets one come inside a site. */
static bool has_enough(unsigned wrong) {
    if (walks.all < WALKS)
        return false;
    return !command_line_has("any-instruction") || (walks.in_sites >= WALKS_IN_SITES && walks.wrong_in_sites >= wrong);
}

static void run_sites(void) {
    run_flags();
    for (unsigned long word = 0; word < 10; word++)
        EXPECT_EQUAL(nasm_pass_word(word), word);
}

static unsigned wrong_wanted;

static void wait_for_ticks(void) {
    for (unsigned patience = 200000; !has_enough(wrong_wanted) && patience > 0; patience--) {
        unmask_interrupts();
        for (unsigned i = 0; i < 100; i++)
            run_sites();
        mask_interrupts();
    }
}

void call_on_stack(void (*function)(void), uintptr_t top);

/* On a stack of its own, unless that is NULL. */
static void tick(unsigned wrong, const struct tp_stack *stack) {
    note_home();
    forget_walks();
    wrong_wanted = wrong;
    timer_hook = walk_twice;
    start_timer(HERTZ);
    if (stack)
        call_on_stack(wait_for_ticks, stack->end);
    else
        wait_for_ticks();
    stop_timer();
    timer_hook = NULL;
    print_format("# %u walks from ticks, %u of them inside sites; wrong: %u, inside sites %u\n", walks.all, walks.in_sites,
                 walks.wrong, walks.wrong_in_sites);
    EXPECT(has_enough(wrong));
}

static void walk_from_ticks(void) {
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    tick(0, NULL);
    if (!EXPECT_EQUAL(walks.wrong, 0))
        print_format("# the last one at %lx\n", walks.wrong_at);
    forget_table();
}

/* As kernels have one for interrupts: from it walks go on to the one before. */
static void walk_from_another_stack(void) {
    static uint8_t bytes[16 * 1024] __attribute__((aligned(16)));
    const struct tp_stack stack = {(uintptr_t)bytes, (uintptr_t)bytes + sizeof bytes};
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    add_own_stack(stack.start, stack.end);
    tick(0, &stack);
    EXPECT_EQUAL(walks.wrong, 0);
    add_own_stack(0, 0);
    tick(0, &stack);
    EXPECT_EQUAL(walks.wrong, walks.all);
    forget_table();
}

/* In sites, each entry says what the site's first does. */
static void walk_without_union(void) {
    if (!command_line_has("any-instruction"))
        SKIP("ticks come between the emulator's blocks only, unless the command line says any-instruction");
    REQUIRE_TABLE();
    REQUIRE(start_applied());
    struct tp_unwind_table narrowed;
    forget_table();
    REQUIRE(narrow_table(&narrowed));
    REQUIRE_OK(tp_unwind_add(&narrowed));
    tick(WALKS_WRONG, NULL);
    EXPECT_OK(tp_unwind_remove(&narrowed));
    EXPECT_EQUAL(walks.wrong, walks.wrong_in_sites);
}

/* ---- From #BP ---- */

static struct live_setup setup = {.options = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR}};

static void walk_from_breakpoints(void) {
    struct live_visit visit = {0};
    note_home();
    forget_walks();
    live_foreign_hook = walk_twice;
    EXPECT_EQUAL(visit_int3(&visit), LIVE_NONE);
    live_foreign_hook = NULL;
    EXPECT_EQUAL(walks.all, 1);
    EXPECT_EQUAL(walks.wrong, 0);
}

static void walk_from_each_breakpoint(void) {
    REQUIRE_TABLE();
    run_live(&setup, walk_from_breakpoints);
    if (world == WORLD_NATIVE) {
        setup.own_stack = true;
        run_live(&setup, walk_from_breakpoints);
        setup.entry = tp_breakpoint_entry_copied;
        run_live(&setup, walk_from_breakpoints);
        setup = (struct live_setup){.options = setup.options};
    }
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
           {"from a timer's interrupts", walk_from_ticks},
           {"from ticks on another stack", walk_from_another_stack},
           {"without the union", walk_without_union},
           {"from #BP's handler", walk_from_each_breakpoint},
           {"garbage", walk_garbage});
