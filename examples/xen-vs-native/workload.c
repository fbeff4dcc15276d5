/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <textpatch/engine.h>

#include "counting.h"
#include "own_ops.h"
#include "platform.h"
#include "show.h"

enum { FLAGS_ALWAYS = 1 << 1, PATIENCE = 1000000 };

/*
 * One call and a look at what it did, by the platform's own means, never by another op. Interrupts are masked
 * before and after. `round` varies what is asked for.
 */
static bool call_irq_disable(unsigned round) {
    (void)round;
    unmask_interrupts();
    irq_disable();
    bool masked = interrupts_are_masked();
    mask_interrupts();
    return masked;
}

static bool call_irq_enable(unsigned round) {
    (void)round;
    irq_enable();
    bool masked = interrupts_are_masked();
    mask_interrupts();
    return !masked;
}

static bool call_save_fl(unsigned round) {
    unsigned wanted = round % 2 ? FLAGS_IF : 0;
    if (wanted)
        unmask_interrupts();
    unsigned flags = save_fl() & FLAGS_IF;
    mask_interrupts();
    return flags == wanted;
}

static bool call_restore_fl(unsigned round) {
    bool unmask = round % 2;
    if (!unmask)
        unmask_interrupts();
    restore_fl(unmask ? FLAGS_ALWAYS | FLAGS_IF : FLAGS_ALWAYS);
    bool masked = interrupts_are_masked();
    mask_interrupts();
    return masked == !unmask;
}

/* Wakes up only if the event that is pending is delivered, and then it has been counted. */
static bool call_safe_halt(unsigned round) {
    (void)round;
    uint64_t before = event_count;
    raise_event();
    safe_halt();
    mask_interrupts();
    return event_count == before + 1;
}

static bool call_wbinvd(unsigned round) {
    (void)round;
    wbinvd();
    return true;
}

/* Text is read-only: a store there faults and leaves its address for the op to find. */
static bool call_read_cr2(unsigned round) {
    uint8_t *address = (uint8_t *)text_start + round;
    return !try_write_byte(address, 0) && read_cr2() == (uintptr_t)address;
}

/* Not through the op: the instruction itself, which Xen emulates for a PV guest. */
static unsigned long read_cr3_register(void) {
    unsigned long value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static bool call_read_cr3(unsigned round) {
    (void)round;
    return read_cr3() == read_cr3_register();
}

static bool call_write_cr3(unsigned round) {
    (void)round;
    unsigned long value = read_cr3_register();
    write_cr3(value);
    return read_cr3_register() == value;
}

static bool call_make_pte(unsigned round) {
    unsigned long value = 0x8000000000000063 + ((unsigned long)round << 12);
    return make_pte(value) == value;
}

static bool call_unlock(unsigned round) {
    uint8_t lock = (uint8_t)(round | 1);
    lock_release(&lock);
    return lock == 0;
}

static bool call_wait(unsigned round) {
    (void)round;
    lock_wait();
    return true;
}

static bool call_kick(unsigned round) {
    lock_kick(round);
    return true;
}

static bool call_weigh(unsigned round) {
    return weigh(round, 1, 2, 3, 4, 5) == round + 2ul * 1 + 3 * 2 + 4 * 3 + 5 * 4 + 6 * 5;
}

/* The same call and nothing else, over and over, for the clock. Each of these is one more site. */
#define REPEAT(op, call)                                                                                     \
    static void repeat_##op(unsigned times) {                                                                \
        while (times--)                                                                                      \
            call;                                                                                            \
    }
REPEAT(irq_disable, irq_disable())
REPEAT(irq_enable, irq_enable())
REPEAT(save_fl, (void)save_fl())
REPEAT(restore_fl, restore_fl(FLAGS_ALWAYS))
REPEAT(wbinvd, wbinvd())
REPEAT(read_cr2, (void)read_cr2())
REPEAT(make_pte, (void)make_pte(times))
REPEAT(unlock, lock_release(&(uint8_t){1}))
REPEAT(wait, lock_wait())
REPEAT(kick, lock_kick(0))
REPEAT(weigh, (void)weigh(times, 1, 2, 3, 4, 5))

enum effect { IS_SEEN, IS_NOT_SEEN };

static const struct op {
    const char *name;
    const void *slot;
    bool (*call)(unsigned round);
    void (*repeat)(unsigned times); /* NULL: not timed */
    unsigned rounds, times;
    enum effect effect;
} ops[] = {
    {"irq_disable", &pv_ops.irq.irq_disable, call_irq_disable, repeat_irq_disable, 1000, 20000, IS_SEEN},
    {"irq_enable", &pv_ops.irq.irq_enable, call_irq_enable, repeat_irq_enable, 1000, 20000, IS_SEEN},
    {"save_fl", &pv_ops.irq.save_fl, call_save_fl, repeat_save_fl, 1000, 20000, IS_SEEN},
    {"restore_fl", &pv_ops.irq.restore_fl, call_restore_fl, repeat_restore_fl, 1000, 20000, IS_SEEN},
    {"safe_halt", &pv_ops.irq.safe_halt, call_safe_halt, NULL, 50, 0, IS_SEEN},
    {"wbinvd", &pv_ops.cpu.wbinvd, call_wbinvd, repeat_wbinvd, 100, 500, IS_NOT_SEEN},
    {"read_cr2", &pv_ops.mmu.read_cr2, call_read_cr2, repeat_read_cr2, 1000, 20000, IS_SEEN},
    {"read_cr3", &pv_ops.mmu.read_cr3, call_read_cr3, NULL, 1000, 0, IS_SEEN},
    {"write_cr3", &pv_ops.mmu.write_cr3, call_write_cr3, NULL, 100, 0, IS_SEEN},
    {"make_pte", &pv_ops.mmu.make_pte, call_make_pte, repeat_make_pte, 1000, 20000, IS_SEEN},
    {"unlock", &pv_ops.lock.unlock, call_unlock, repeat_unlock, 1000, 20000, IS_SEEN},
    {"wait", &pv_ops.lock.wait, call_wait, repeat_wait, 100, 500, IS_NOT_SEEN},
    {"kick", &pv_ops.lock.kick, call_kick, repeat_kick, 1000, 20000, IS_NOT_SEEN},
    {"weigh", &own_ops.weigh, call_weigh, repeat_weigh, 1000, 20000, IS_SEEN},
};
enum { OPS = sizeof ops / sizeof *ops };

static struct tally {
    unsigned long calls, effects, through_table;
    unsigned long tenths; /* of a cycle, a call */
} tallies[OPS][2];

static uint64_t read_clock(void) {
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return low | (uint64_t)high << 32;
}

static void count_op(const struct op *op, struct tally *tally) {
    for (unsigned round = 0; round < op->rounds; round++) {
        tally->effects += op->call(round);
        tally->calls++;
    }
}

/* The best of several runs: the machine below does other things too. */
static void time_op(const struct op *op, struct tally *tally) {
    uint64_t best = UINT64_MAX;
    for (unsigned run = 0; run < 5; run++) {
        uint64_t start = read_clock();
        op->repeat(op->times);
        uint64_t cycles = read_clock() - start;
        if (cycles < best)
            best = cycles;
    }
    mask_interrupts();
    tally->tenths = best * 10 / op->times;
}

void run_workload(bool patched) {
    count_table_calls(&own_ops.weigh);
    for (unsigned i = 0; i < OPS; i++)
        count_op(&ops[i], &tallies[i][patched]);
    stop_counting();
    for (unsigned i = 0; i < OPS; i++) {
        tallies[i][patched].through_table = table_calls(ops[i].slot);
        if (ops[i].repeat)
            time_op(&ops[i], &tallies[i][patched]);
    }
}

static void print_pair(bool shown, unsigned long before, unsigned long after) {
    if (shown)
        print_format("   %7lu %7lu", before, after);
    else
        print_format("   %7s %7s", "-", "-");
}

static void print_op(const struct op *op, const struct tally *before, const struct tally *after) {
    print_format("  %-12s", op->name);
    print_pair(true, before->calls, after->calls);
    print_pair(op->effect == IS_SEEN, before->effects, after->effects);
    print_pair(true, before->through_table, after->through_table);
    if (op->repeat)
        print_format("   %7lu.%lu %7lu.%lu", before->tenths / 10, before->tenths % 10, after->tenths / 10,
                     after->tenths % 10);
    else
        print_format("   %9s %9s", "-", "-");
    end_line(before->effects == before->calls && after->effects == after->calls &&
                 before->through_table == before->calls && after->through_table == 0,
             op->name);
}

void print_workload(void) {
    print_format("  %-12s   %15s   %15s   %15s   %19s\n", "", "calls", "took effect", "read the table",
                 "cycles, emulated");
    print_format("  %-12s", "op");
    for (unsigned column = 0; column < 3; column++)
        print_format("   %7s %7s", "before", "after");
    print_format("   %9s %9s\n", "before", "after");
    for (unsigned i = 0; i < OPS; i++)
        print_op(&ops[i], &tallies[i][false], &tallies[i][true]);
    print_format("  before: unpatched sites; after: patched ones; -: nothing to be seen, or not timed.\n"
                 "  Cycles are those of an emulated CPU: they say little about a real one.\n");
}
