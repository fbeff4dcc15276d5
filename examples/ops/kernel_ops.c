/* SPDX-License-Identifier: MIT */
#include "kernel_ops.h"

#include "effects.h"
#include "platform.h"

enum { ROUNDS = 20, FLAGS_ALWAYS = 1 << 1, HERTZ = 100, TICKS_SLEPT_THROUGH = 10 };

/* ---- Interrupts: the flag or the mask is looked at by the platform's own means ---- */

static void call_irq_disable(void) {
    unmask_interrupts();
    irq_disable();
    see(OP(irq.irq_disable), interrupts_are_masked());
}

static void call_irq_enable(void) {
    irq_enable();
    see(OP(irq.irq_enable), !interrupts_are_masked());
    mask_interrupts();
}

static void call_save_fl(void) {
    unsigned long masked = save_fl() & FLAGS_IF;
    unmask_interrupts();
    unsigned long unmasked = save_fl() & FLAGS_IF;
    mask_interrupts();
    see(OP(irq.save_fl), masked == 0 && unmasked == FLAGS_IF);
}

static void call_restore_fl(void) {
    restore_fl(FLAGS_ALWAYS | FLAGS_IF);
    bool unmasked = !interrupts_are_masked();
    restore_fl(FLAGS_ALWAYS);
    see(OP(irq.restore_fl), unmasked && interrupts_are_masked());
}

/* ---- A lock that is held by somebody whom an interrupt lets go on ---- */

static uint8_t lock;

static void release_lock(struct tp_regs *regs) {
    (void)regs;
    lock_release(&lock);
    see(OP(lock.unlock), lock == 0);
    lock_kick(0);
}

static bool try_lock(void) { return !__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE); }

/* Masked until it has waited once, so that it waits as often in each form of the text. */
static void call_lock_ops(void) {
    uint64_t before = event_count;
    bool first = try_lock();
    event_hook = release_lock;
    raise_event();
    bool second = try_lock();
    lock_wait();
    bool third = try_lock();
    unmask_interrupts();
    while (event_count == before)
        __asm__ volatile("pause");
    mask_interrupts();
    event_hook = NULL;
    bool handed_over = first && !second && !third && try_lock();
    see(OP(lock.wait), handed_over);
    see(OP(lock.kick), handed_over);
    lock_release(&lock);
    see(OP(lock.unlock), lock == 0);
}

/* ---- The cache: nothing is to be seen but that all is still there ---- */

static void call_wbinvd(unsigned round) {
    static volatile unsigned word;
    word = round;
    wbinvd();
    see(OP(cpu.wbinvd), word == round);
}

void run_kernel_ops(void) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        call_irq_disable();
        call_irq_enable();
        call_save_fl();
        call_restore_fl();
        call_lock_ops();
        call_wbinvd(round);
    }
}

/* ---- Sleep ---- */

static void call_safe_halt(void) {
    uint64_t before = timer_ticks;
    safe_halt();
    see(OP(irq.safe_halt), timer_ticks > before && !interrupts_are_masked());
    mask_interrupts();
}

/* A tick between the two is no loss: there is another one. */
static void call_halt(void) {
    uint64_t before = timer_ticks;
    unmask_interrupts();
    halt();
    see(OP(irq.halt), timer_ticks > before && !interrupts_are_masked());
    mask_interrupts();
}

void run_sleeping_ops(void) {
    start_timer(HERTZ);
    for (unsigned i = 0; i < TICKS_SLEPT_THROUGH; i++) {
        call_safe_halt();
        call_halt();
    }
    stop_timer();
}
