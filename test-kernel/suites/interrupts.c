/* SPDX-License-Identifier: MIT */
/*
 * interrupts: a timer at 1 kHz, whose handler runs sites of its own.
 *
 *   the main loop runs sites with all registers loaded: they survive, pristine and applied
 *   apply and revert, over and over, with interrupts off: handlers in between run right in either form
 *   a key and a static call that change with interrupts off: handler and main loop agree with the state every time
 *   no tick is lost or counted twice by the handler's sites
 *   a handler that changes a register of what it interrupted is noticed
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

enum { HERTZ = 1000, TICKS = 60 };

void spin_registers(uint64_t *registers, uint64_t rounds);
extern const uint8_t spin_registers_loop[], spin_registers_end[];
TP_DEFINE_STATIC_KEY_FALSE(spin_key);

TP_DEFINE_STATIC_KEY_FALSE(handler_key);
static int answer_zero(void) { return 0; }
static int answer_one(void) { return 1; }
TP_DEFINE_STATIC_CALL(handler_call, answer_zero);

static volatile int64_t state; /* what key and call are to say */
static volatile unsigned handled, wrong, in_loop;
static volatile bool clobbers;

ONE_COPY static bool handler_branch(void) { return tp_static_branch_unlikely(handler_key); }
ONE_COPY static unsigned long handler_flags(void) { return save_fl(); }
ONE_COPY static void handler_unmask_and_mask(unsigned long flags) {
    irq_disable();
    restore_fl(flags);
}
ONE_COPY static void handler_count(volatile unsigned *count) {
    __asm__ volatile(TP_LOCK_PREFIX "incl %0" : "+m"(*count) : : "cc");
}
ONE_COPY static int handler_choice(void) {
    int value;
    __asm__ volatile(TP_ALTERNATIVE("movl $1, %0", "movl $2, %0", TP_FEATURE_ALWAYS) : "=r"(value));
    return value;
}

static bool says_the_state(void) {
    return handler_branch() == (state != 0) && tp_static_call(handler_call)() == (state != 0);
}

static void handle_tick(struct tp_regs *regs) {
    unsigned long flags = handler_flags();
    int choice = handler_choice();
    handler_count(&handled);
    handler_unmask_and_mask(flags);
    if (flags & FLAGS_IF || !interrupts_are_masked() || choice < 1 || choice > 2 || !says_the_state())
        wrong++;
    if (regs->rip >= (uintptr_t)spin_registers_loop && regs->rip < (uintptr_t)spin_registers_end) {
        in_loop++;
        if (clobbers)
            regs->r12 ^= 1;
    }
}

static uint64_t first_tick;

static void start_ticking(void) {
    handled = wrong = in_loop = 0;
    first_tick = timer_ticks;
    timer_hook = handle_tick;
    start_timer(HERTZ);
}

/* Whether fewer ticks than that have been handled yet; every caller's loop ends, even if no timer comes. */
static bool awaits_tick(unsigned wanted, unsigned *patience) {
    return handled < wanted && --*patience > 0;
}

static void stop_ticking(void) {
    mask_interrupts();
    stop_timer();
    timer_hook = NULL;
    EXPECT_EQUAL(handled, timer_ticks - first_tick);
    EXPECT_EQUAL(wrong, 0);
}

static unsigned spin_once(void) {
    uint64_t before[REGISTERS], after[REGISTERS];
    unsigned changed = 0;
    for (unsigned i = 0; i < REGISTERS; i++)
        after[i] = before[i] = (i + handled + 1) * 0x9e3779b97f4a7c15;
    spin_registers(after, 2000);
    for (unsigned i = 1; i < REGISTERS; i++) /* rax is the ops' */
        changed += after[i] != before[i];
    return changed;
}

static unsigned spin(void) {
    unsigned patience = 100000, changed = 0;
    unmask_interrupts();
    while (awaits_tick(TICKS, &patience))
        changed += spin_once();
    mask_interrupts();
    EXPECT(handled >= TICKS);
    return changed;
}

static void keeps_registers(void) {
    REQUIRE(start_library(&alias_port));
    for (unsigned form = 0; form < 2; form++) {
        start_ticking();
        EXPECT_EQUAL(spin(), 0);
        EXPECT(in_loop > 0);
        stop_ticking();
        REQUIRE_OK(tp_apply());
    }
    EXPECT_EQUAL(count_differences(NULL), 0);
}

/* By the kernel's own ops, whose sites are among those that change here. */
ONE_COPY static unsigned long close_window(void) { return irq_save(); }
ONE_COPY static void open_window(unsigned long flags) { restore_fl(flags); }

static enum tp_status cycle(bool to_applied) {
    unsigned long flags = close_window();
    enum tp_status status = to_applied ? tp_apply() : tp_revert();
    open_window(flags);
    return status;
}

static void cycles_in_between(void) {
    unsigned patience = 4000, cycles = 0;
    REQUIRE(start_library(&alias_port));
    start_ticking();
    unmask_interrupts();
    while (awaits_tick(TICKS, &patience)) {
        EXPECT_OK(cycle(cycles++ % 2 == 0));
        EXPECT(!interrupts_are_masked());
        EXPECT_EQUAL(spin_once(), 0);
    }
    stop_ticking();
    EXPECT(handled >= TICKS);
    EXPECT(cycles > 20);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

static enum tp_status move_state(bool on) {
    unsigned long flags = close_window();
    state = on;
    enum tp_status status = on ? tp_static_key_enable(handler_key) : tp_static_key_disable(handler_key);
    if (status == TP_OK)
        status = tp_static_call_update(handler_call, on ? answer_one : answer_zero);
    if (status == TP_OK)
        status = on ? tp_static_key_enable(spin_key) : tp_static_key_disable(spin_key);
    open_window(flags);
    return status;
}

static void follows_the_state(void) {
    unsigned patience = 4000, moves = 0, disagreed = 0;
    REQUIRE(start_applied());
    start_ticking();
    unmask_interrupts();
    while (awaits_tick(TICKS, &patience)) {
        EXPECT_OK(move_state(moves++ % 2 == 0));
        disagreed += !says_the_state();
        disagreed += spin_once();
    }
    EXPECT_OK(move_state(false));
    stop_ticking();
    EXPECT(handled >= TICKS);
    EXPECT(moves > 20);
    EXPECT_EQUAL(disagreed, 0);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

static void notices_a_careless_handler(void) {
    REQUIRE(start_applied());
    start_ticking();
    clobbers = true;
    EXPECT(spin() > 0);
    clobbers = false;
    state = 1; /* which nothing in the text follows */
    unsigned patience = 100000, before = handled;
    unmask_interrupts();
    while (awaits_tick(before + 5, &patience))
        spin_once();
    mask_interrupts();
    EXPECT(wrong >= 5);
    state = wrong = 0;
    stop_ticking();
}

KTAP_SUITE(interrupts, {"registers survive in the main loop", keeps_registers},
           {"apply and revert between ticks", cycles_in_between}, {"handlers follow the state", follows_the_state},
           {"a careless handler is noticed", notices_a_careless_handler});
