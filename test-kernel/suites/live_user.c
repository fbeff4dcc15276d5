/* SPDX-License-Identifier: MIT */
/*
 * live_user: the whole op table is switched again and again while programs in ring 3 make system calls and faults on all
 * CPUs (survivor.h), under ticks and NMIs: entries and exits are entered while their sites are being written.
 *
 *   own <-> counting, all sites of one instruction by int3: no register of a program is lost, after each switch the
 *   new ops are in use, those of the entry code among them, and no others
 *   a program's own int3 goes to the kernel, also while the library's stand in the text
 *   natively the same with a stack of its own for #BP, and by the entry that copies its frame
 *   an op that loses a register is noticed at once, and not any more once it is gone
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "pv_ops.h"
#include "smp.h"
#include "survivor.h"

enum { OPS = sizeof(struct tp_ops) / sizeof(uintptr_t), ROUNDS_BETWEEN = 5, ROUNDS_LOST = 20 };
_Static_assert(OPS == 19, "live_user.asm");

/* Each counts, and goes on to the kernel's own (live_switch.c). */
extern const struct tp_ops live_counting_ops;
extern volatile uint64_t live_op_calls[OPS];
extern struct tp_ops live_own_ops;

void lose_r13_at_sysret(void);

static bool is_alone(void) {
    char suite[32];
    return command_line_value("suite", suite, sizeof suite);
}


/* ---- Switches ---- */

/* A table as what its slots hold; compilers are told that these are no integers of their own. */
typedef uintptr_t __attribute__((may_alias)) slot;

static enum tp_status note_table(const struct tp_ops *table) {
    const slot *functions = (const slot *)table;
    enum tp_status status = TP_OK;
    for (unsigned i = 0; i < OPS && status == TP_OK; i++)
        status = tp_batch_set((slot *)&pv_ops + i, functions[i]);
    return status;
}

static enum tp_status switch_to(const struct tp_ops *table) {
    enum tp_status status = tp_batch_begin();
    if (status == TP_OK)
        status = note_table(table);
    return status == TP_OK ? tp_batch_commit() : status;
}

/* Programs have been in and out of user mode on every CPU, on this one by the new text alone. */
static bool pass_rounds(void) {
    run_survivor(ROUNDS_BETWEEN);
    return EXPECT(await_survivors(ROUNDS_BETWEEN));
}

static uint64_t count_op(unsigned offset) {
    return live_op_calls[offset / sizeof(uintptr_t)];
}

static uint64_t count_all_ops(void) {
    uint64_t all = 0;
    for (unsigned i = 0; i < OPS; i++)
        all += live_op_calls[i];
    return all;
}

/* Each program on its own enters user mode by iret, if not by sysret. */
static bool expect_counting(void) {
    uint64_t swapgs = count_op(TP_OPS_SWAPGS), iret = count_op(TP_OPS_IRET);
    return pass_rounds() && EXPECT(count_op(TP_OPS_SWAPGS) - swapgs >= ROUNDS_BETWEEN) &&
           EXPECT(count_op(TP_OPS_IRET) > iret);
}

/* A CPU may have been interrupted where it was about to count, and has done so after the first rounds. */
static bool expect_no_counting(void) {
    if (!pass_rounds())
        return false;
    uint64_t before = count_all_ops();
    return pass_rounds() && EXPECT_EQUAL(count_all_ops(), before);
}

static bool switch_and_pass(bool counting) {
    if (!EXPECT_OK(switch_to(counting ? &live_counting_ops : &live_own_ops)))
        return false;
    return counting ? expect_counting() : expect_no_counting();
}

/* ---- int3s of programs, and of the library ---- */

static volatile bool int3s_stand; /* in the text */
static unsigned int3s_meanwhile;

static void follow_steps(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_INT3)
        int3s_stand = true;
    else if (trace->step == TP_STEP_SYNC_TAIL)
        int3s_stand = false; /* first bytes come next */
}

static void mend_and_count(struct tp_regs *regs) {
    if (int3s_stand)
        __atomic_add_fetch(&int3s_meanwhile, 1, __ATOMIC_RELAXED);
    mend_survivor(regs);
}

/* ---- Load ---- */

static void start(void) {
    int3s_stand = false;
    int3s_meanwhile = 0;
    live_step_hook = follow_steps;
    live_foreign_hook = mend_and_count;
    open_survivors(survivor_everything);
    start_survivors(UINT64_MAX, false);
}

static struct survivor_sum stop(void) {
    stop_survivors();
    return close_survivors();
}

static void print_switches(unsigned switches, uint64_t nanoseconds) {
    const unsigned *steps = live_counts.steps;
    unsigned ends = steps[TP_STEP_END];
    print_format("# %u switches of %lu us; sites a switch: %u by trap, %u by store, %u stopped; %u stops, %u more found "
                 "a CPU inside; int3s of programs %u, while others stood in the text %u\n",
                 switches, nanoseconds / 1000 / switches, steps[TP_STEP_INT3] / ends, steps[TP_STEP_STORE] / ends,
                 steps[TP_STEP_STOPPED] / ends, live_counts.stops, live_counts.busy, live_counts.foreign,
                 int3s_meanwhile);
}

static void print_ops(void) {
    print_format("# counted: swapgs %lu, iret %lu, usergs_sysret64 %lu, all ops %lu\n", count_op(TP_OPS_SWAPGS),
                 count_op(TP_OPS_IRET), count_op(TP_OPS_USERGS_SYSRET64), count_all_ops());
}

/* Ends with the kernel's own. */
static void switch_often(unsigned wanted) {
    unsigned done = 0;
    for (unsigned i = 0; i < OPS; i++)
        live_op_calls[i] = 0;
    start();
    uint64_t begin = read_nanoseconds();
    while (done < wanted && switch_and_pass(done % 2 == 0))
        done++;
    uint64_t nanoseconds = read_nanoseconds() - begin;
    struct survivor_sum sum = stop();
    EXPECT_EQUAL(done, wanted);
    if (done)
        print_switches(done, nanoseconds);
    print_ops();
    print_survivors("programs", &sum);
    EXPECT(count_op(TP_OPS_USERGS_SYSRET64) > 0);
    EXPECT_EQUAL(sum.wrong, 0);
    EXPECT_EQUAL(sum.wrong_frames, 0);
    EXPECT_EQUAL(sum.lost, 0);
    EXPECT_EQUAL(live_counts.foreign, sum.done[WAY_INT3]);
    EXPECT(int3s_meanwhile > 0 || !is_alone());
    EXPECT(sum.nmis > 0 && sum.interrupted > 0);
}

static void switch_under_programs(void) {
    unsigned wanted = world == WORLD_XEN_PV ? 60 : 200;
    switch_often(is_alone() ? wanted : 10);
}

static void switch_some_times(void) {
    switch_often(is_alone() ? 40 : 6);
}

/* Nothing by a store: QEMU's TCG may see one by halves (live_load.h), and programs can't be told to wait. */
static struct live_setup by_trap(void (*entry)(void), bool own_stack) {
    return (struct live_setup){
        .entry = entry,
        .own_stack = own_stack,
        .options = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR},
    };
}

static void with_own_ops(void (*entry)(void), bool own_stack, void (*test)(void)) {
    struct live_setup setup = by_trap(entry, own_stack);
    live_own_ops = pv_ops;
    run_live(&setup, test);
}

static void switches(void) {
    with_own_ops(NULL, false, switch_under_programs);
}

static void switches_with_own_stack(void) {
    if (world == WORLD_XEN_PV)
        SKIP("Xen gives #BP no stack of its own");
    with_own_ops(tp_breakpoint_entry, true, switch_some_times);
    with_own_ops(tp_breakpoint_entry_copied, true, switch_some_times);
}

static void switches_by_copies(void) {
    if (world == WORLD_XEN_PV)
        SKIP("there is one entry for Xen");
    with_own_ops(tp_breakpoint_entry_copied, false, switch_some_times);
}

/* ---- What must be noticed ---- */

static uint64_t count_wrong(void) {
    return add_up_survivors().wrong;
}

static bool lose_register(struct tp_ops *ops) {
    uint64_t before = count_wrong();
    ops->cpu.usergs_sysret64 = lose_r13_at_sysret;
    EXPECT_OK(switch_to(ops));
    run_survivor(ROUNDS_LOST);
    return EXPECT(await_survivors(ROUNDS_LOST)) && EXPECT(count_wrong() >= before + cpu_count());
}

static void lose_and_find(void) {
    struct tp_ops losing = live_own_ops;
    unsigned rounds = is_alone() ? 5 : 2;
    start();
    for (unsigned i = 0; i < rounds && pass_rounds() && lose_register(&losing); i++) {
        EXPECT_OK(switch_to(&live_own_ops));
        pass_rounds(); /* one round may have been under way */
        uint64_t wrong = count_wrong();
        pass_rounds();
        EXPECT_EQUAL(count_wrong(), wrong);
    }
    struct survivor_sum sum = stop();
    print_format("# control an op loses a register, %u times: %lu of %lu wrong\n", rounds, sum.wrong, sum.rounds);
    EXPECT(sum.wrong > 0);
    EXPECT(sum.wrong_of[WAY_LAZY] > 0 && sum.wrong_of[WAY_COMPLETE] > 0);
    EXPECT_EQUAL(sum.wrong, sum.wrong_of[WAY_LAZY] + sum.wrong_of[WAY_COMPLETE]);
    EXPECT_EQUAL(sum.lost, 0);
}

static void loss_is_noticed(void) {
    with_own_ops(NULL, false, lose_and_find);
}

KTAP_SUITE(live_user, {"the whole table, under programs", switches},
           {"#BP with a stack of its own", switches_with_own_stack}, {"#BP by a copied frame", switches_by_copies},
           {"an op that loses a register is noticed", loss_is_noticed});
