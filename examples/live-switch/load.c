/* SPDX-License-Identifier: MIT */
#include "load.h"

#include "platform.h"
#include "smp.h"

enum { TIMER_HERTZ = 500, ROUNDS_AWAKE = 4, WAITS_BY_SLEEP = 8, CROWD_CALLS = 16 };

/* The work and the interrupts of a CPU count each for themselves: they come in the middle of one another. */
struct caller {
    struct load_counts counts;
    unsigned last_state;
    struct traced_calls *traced;
};

static struct load {
    struct traced_calls traced;
    struct caller work, timer;
    volatile unsigned long cr2;
    uint64_t random;
} __attribute__((aligned(64))) loads[MAXIMUM_CPUS];

/* Of the switches, which are numbered from 1. While both are the same no switch is under way. */
static volatile unsigned begun, done;
static volatile bool stopping, crowded;

enum backend_kind backend_after(unsigned switches) { return switches % 2 ? TRACED_BACKEND : PLAIN_BACKEND; }

void note_switch_begun(void) { begun++; }

void note_switch_done(void) { done = begun; }

/* ---- One call ---- */

struct call {
    unsigned op, done_before;
    uint64_t traced_before;
};

static inline struct call open_call(const struct caller *own, unsigned op) {
    return (struct call){op, done, own->traced->of[op]};
}

static void judge_backend(struct caller *own, unsigned state, uint64_t traced) {
    bool is_traced = backend_after(state) == TRACED_BACKEND;
    own->counts.traced += is_traced;
    own->counts.plain += !is_traced;
    own->counts.wrong_backend += traced != is_traced;
    own->counts.states += state != own->last_state;
    own->last_state = state;
}

static void close_call(struct caller *own, const struct call *call, bool as_it_should_be) {
    uint64_t traced = own->traced->of[call->op] - call->traced_before;
    own->counts.calls++;
    own->counts.wrong_effect += !as_it_should_be;
    if (call->done_before == begun) {
        judge_backend(own, call->done_before, traced);
    } else {
        own->counts.during++;
        own->counts.wrong_backend += traced > 1;
    }
}

/* ---- Each op, at its one site, with a look at what it did ---- */

/* A call, and a condition that holds after it. The offset is that of the slot in the table. */
#define CHECK(own, offset, statement, condition)                                                             \
    do {                                                                                                     \
        struct call checked = open_call(own, (offset) / sizeof(uintptr_t));                                  \
        statement;                                                                                           \
        close_call(own, &checked, condition);                                                                \
    } while (0)

#define ONE_SITE static __attribute__((noinline))

ONE_SITE unsigned long check_save_fl(struct caller *own, bool masked) {
    unsigned long flags;
    CHECK(own, TP_OPS_SAVE_FL, flags = save_fl(), !(flags & FLAGS_IF) == masked);
    return flags;
}

static unsigned long check_save_fl_across_pages(struct caller *own, bool masked) {
    unsigned long flags;
    CHECK(own, TP_OPS_SAVE_FL, flags = save_fl_across_pages(), !(flags & FLAGS_IF) == masked);
    return flags;
}

ONE_SITE void check_restore_fl(struct caller *own, unsigned long flags, bool masked) {
    CHECK(own, TP_OPS_RESTORE_FL, restore_fl(flags), interrupts_are_masked() == masked);
}

ONE_SITE void check_irq_disable(struct caller *own) {
    CHECK(own, TP_OPS_IRQ_DISABLE, irq_disable(), interrupts_are_masked());
}

ONE_SITE void check_irq_enable(struct caller *own) {
    CHECK(own, TP_OPS_IRQ_ENABLE, irq_enable(), !interrupts_are_masked());
}

/*
 * Masked, and with an interrupt on its way, so that it wakes up at once. A kernel whose idle CPUs sleep in this op
 * natively would be stopped behind the hlt, in the middle of the site, again and again.
 */
ONE_SITE void check_safe_halt(struct caller *own) {
    CHECK(own, TP_OPS_SAFE_HALT, safe_halt(), !interrupts_are_masked() && !event_is_pending());
}

ONE_SITE void check_read_cr2(struct caller *own, unsigned long cr2) {
    unsigned long value;
    CHECK(own, TP_OPS_READ_CR2, value = read_cr2(), value == cr2);
}

/* Not through the op: the instruction itself, which Xen emulates for a PV guest. */
static unsigned long read_cr3_register(void) {
    unsigned long value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

ONE_SITE void check_read_cr3(struct caller *own) {
    unsigned long value;
    CHECK(own, TP_OPS_READ_CR3, value = read_cr3(), value == read_cr3_register());
}

ONE_SITE void check_make_pte(struct caller *own, unsigned long value) {
    unsigned long entry;
    CHECK(own, TP_OPS_MAKE_PTE, entry = make_pte(value), entry == value);
}

ONE_SITE void check_pte_val(struct caller *own, unsigned long entry) {
    unsigned long value;
    CHECK(own, TP_OPS_PTE_VAL, value = pte_val(entry), value == entry);
}

ONE_SITE void check_unlock(struct caller *own) {
    volatile uint8_t lock = 1;
    CHECK(own, TP_OPS_UNLOCK, lock_release((void *)&lock), lock == 0);
}

/* A wait and a kick have no effect that one CPU could see. */
ONE_SITE void check_wait(struct caller *own) { CHECK(own, TP_OPS_WAIT, lock_wait(), true); }
ONE_SITE void check_kick(struct caller *own) { CHECK(own, TP_OPS_KICK, lock_kick(0), true); }

/* ---- All of them ---- */

/* Interrupts are masked. A page fault would change it, and there is none. */
static void set_cr2(struct load *load, unsigned long value) {
    load->cr2 = value;
    if (world == WORLD_XEN_PV)
        this_cpu()->vcpu_info.arch.cr2 = value;
    else
        __asm__ volatile("mov %0, %%cr2" : : "r"(value));
}

static unsigned long draw(struct load *load) {
    load->random = load->random * 6364136223846793005 + 1442695040888963407;
    return load->random >> 20;
}

/* From unmasked to masked and back, by each of the two ways. */
static void call_all_ops(struct load *load) {
    struct caller *own = &load->work;
    unsigned long value = draw(load);
    unsigned long unmasked = check_save_fl(own, false);
    check_irq_disable(own);
    unsigned long masked = check_save_fl_across_pages(own, true);
    set_cr2(load, value);
    check_read_cr2(own, value);
    check_restore_fl(own, unmasked, false);
    check_restore_fl(own, masked, true);
    check_irq_enable(own);
    check_read_cr3(own);
    check_make_pte(own, value);
    check_pte_val(own, value);
    check_unlock(own);
    check_wait(own);
    check_kick(own);
}

/* ---- Interrupts ---- */

static void call_ops_in_interrupt(struct caller *own, unsigned long cr2) {
    unsigned long flags = check_save_fl(own, true);
    check_restore_fl(own, flags, true);
    check_read_cr2(own, cr2);
    check_make_pte(own, flags);
}

/* What was interrupted may be a call that is being checked: it finds its counts as it left them. */
static void call_ops_by_timer(struct tp_regs *regs) {
    struct load *own = &loads[cpu_index()];
    const struct traced_calls interrupted = own->traced;
    own->timer.counts.interrupts++;
    own->timer.counts.interrupts_inside += !tp_preempt_ok(regs->rip);
    call_ops_in_interrupt(&own->timer, own->cr2);
    for (unsigned op = 0; op < OPS; op++) {
        own->timer.counts.counted += own->traced.of[op] - interrupted.of[op];
        own->traced.of[op] = interrupted.of[op];
    }
}

/* ---- Work ---- */

static void begin_work(struct load *own) {
    *own = (struct load){.random = cpu_index(), .work.traced = &own->traced, .timer.traced = &own->traced};
    trace_into(&own->traced);
    mask_interrupts();
    set_cr2(own, 0);
    unmask_interrupts();
    start_cpu_timer(TIMER_HERTZ);
}

static void sleep_by_op(struct load *own) {
    mask_interrupts();
    raise_event();
    check_safe_halt(&own->work);
}

/* Ops in whose middle interrupts come, and little else: most of them aren't looked at. */
static void crowd_into_sites(struct load *own) {
    unsigned long unmasked = check_save_fl_across_pages(&own->work, false);
    for (unsigned i = 0; i < CROWD_CALLS; i++)
        restore_fl(save_fl_across_pages());
    check_restore_fl(&own->work, unmasked, false);
    own->work.counts.calls += 2 * CROWD_CALLS;
    own->work.counts.during += 2 * CROWD_CALLS;
}

static void work(void *argument) {
    struct load *own = argument;
    begin_work(own);
    while (crowded && !stopping)
        crowd_into_sites(own);
    while (!stopping) {
        for (unsigned round = draw(own) % ROUNDS_AWAKE; round > 0 && !stopping; round--)
            call_all_ops(own);
        if (draw(own) % WAITS_BY_SLEEP == 0)
            sleep_by_op(own);
        wait_for_interrupt(); /* sleeping CPUs answer at once, where an emulator has fewer than it emulates */
    }
    stop_cpu_timer();
}

void start_load(bool crowd) {
    stopping = false;
    crowded = crowd;
    begin_work(&loads[0]);
    timer_hook = call_ops_by_timer;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        run_on(cpu, work, &loads[cpu]);
}

void work_once(void) { call_all_ops(&loads[0]); }

void stop_load(void) {
    stopping = true;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wait_for(cpu);
    stop_cpu_timer();
    timer_hook = NULL;
}

struct load_counts count_load(unsigned cpu) {
    struct load_counts sum = loads[cpu].work.counts;
    for (unsigned op = 0; op < OPS; op++)
        sum.counted += loads[cpu].traced.of[op];
    add_counts(&sum, &loads[cpu].timer.counts);
    return sum;
}

void add_counts(struct load_counts *sum, const struct load_counts *counts) {
    sum->calls += counts->calls;
    sum->plain += counts->plain;
    sum->traced += counts->traced;
    sum->during += counts->during;
    sum->counted += counts->counted;
    sum->wrong_effect += counts->wrong_effect;
    sum->wrong_backend += counts->wrong_backend;
    sum->states += counts->states;
    sum->interrupts += counts->interrupts;
    sum->interrupts_inside += counts->interrupts_inside;
}
