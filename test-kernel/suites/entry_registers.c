/* SPDX-License-Identifier: MIT */
/*
 * entry_registers: user mode's registers survive every way into the kernel and out of it (survivor.h), on all CPUs, under
 * ticks at 1 kHz and NMIs, with hooks of the entry code off, in C and in NASM.
 *
 *   while the entry code's sites are as the linker left them; patched; reverted: 100,000 system calls in all three
 *   each hook finds its frame, and every entry from user mode has one exit and one hook before it goes there
 *   a frame that is replaced as a whole, as a return from a signal's handler does
 *   a child goes on from a copy of the frame, of which rax alone differs
 *   what must be noticed: a hook that writes the saved slots, a hook that loses a register of a lazy call, a handler that
 *   changes a slot, hooks at the wrong places
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "smp.h"
#include "support.h"
#include "survivor.h"

enum { ROUNDS_A_CONTROL = 2000, FLAGS_UNMASKED = 1 << 9 };

static bool is_alone(void) {
    char suite[32];
    return command_line_value("suite", suite, sizeof suite);
}

/* Of all CPUs together. Each of the three forms has six runs or more, and six rounds in ten make a system call. Where all
 * suites run in one boot, it is the build that is tried. */
static unsigned rounds_a_run(void) {
    return is_alone() ? 10000 : 1000;
}

/* ---- Hooks that check ---- */

enum place { INSIDE, LEAVING, IN_USER };

/* Each CPU's own: where it is. */
static struct watch {
    enum place place;
    const struct tp_regs *open; /* what has interrupted the kernel while it was unmasked */
    uint64_t entries, exits, leaves; /* from and to user mode */
    uint64_t calls, wrong;           /* of all hooks */
} __attribute__((aligned(64))) watches[MAXIMUM_CPUS];

static bool is_users_frame(const struct tp_regs *regs) {
    return (uintptr_t)(regs + 1) == this_cpu()->stack_top && current_process() && regs->rflags & FLAGS_UNMASKED &&
           user_label(regs->rip) && regs->cs & 3 && regs->ss & 3;
}

/* rsp: at the hook's first instruction. */
static bool is_called_well(const struct tp_regs *regs, uintptr_t rsp) {
    return (rsp & 15) == 8 && interrupts_are_masked() && (!is_from_user(regs) || is_users_frame(regs));
}

/* Whether it was where it should have been. */
static bool move_on(struct watch *watch, enum place from, enum place to) {
    bool right = watch->place == from;
    watch->place = to;
    return right;
}

static bool open_interrupt(struct watch *watch, const struct tp_regs *regs) {
    bool right = !watch->open;
    if (regs->rflags & FLAGS_UNMASKED)
        watch->open = regs;
    return right || !(regs->rflags & FLAGS_UNMASKED);
}

static bool close_interrupt(struct watch *watch, const struct tp_regs *regs) {
    bool right = watch->open == regs;
    watch->open = NULL;
    return right;
}

void check_entry(struct tp_regs *regs, uintptr_t rsp);
void check_exit(struct tp_regs *regs, uintptr_t rsp);
void check_leave(struct tp_regs *regs, uintptr_t rsp);

__attribute__((used)) void check_entry(struct tp_regs *regs, uintptr_t rsp) {
    struct watch *watch = &watches[cpu_index()];
    bool right = is_called_well(regs, rsp);
    watch->calls++;
    watch->entries += is_from_user(regs);
    right &= is_from_user(regs) ? move_on(watch, IN_USER, INSIDE) : open_interrupt(watch, regs);
    watch->wrong += !right;
}

__attribute__((used)) void check_exit(struct tp_regs *regs, uintptr_t rsp) {
    struct watch *watch = &watches[cpu_index()];
    bool right = is_called_well(regs, rsp) && regs->rflags & FLAGS_UNMASKED;
    watch->calls++;
    watch->exits += is_from_user(regs);
    right &= is_from_user(regs) ? move_on(watch, INSIDE, LEAVING) : close_interrupt(watch, regs);
    watch->wrong += !right;
}

__attribute__((used)) void check_leave(struct tp_regs *regs, uintptr_t rsp) {
    struct watch *watch = &watches[cpu_index()];
    bool right = is_called_well(regs, rsp) && is_from_user(regs);
    watch->calls++;
    watch->leaves++;
    right &= move_on(watch, LEAVING, IN_USER);
    watch->wrong += !right;
}

/* In C; in NASM they are entry_registers.asm's. */
static void trash_registers(void) {
    __asm__ volatile("movq $-1, %%rax; movq %%rax, %%rcx; movq %%rax, %%rdx; movq %%rax, %%rsi; movq %%rax, %%rdi\n\t"
                     "movq %%rax, %%r8; movq %%rax, %%r9; movq %%rax, %%r10; movq %%rax, %%r11"
                     : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
}

/* The frame begins with the caller's rbp, and above that is where rsp was. */
#define OWN_RSP ((uintptr_t)__builtin_frame_address(0) + 8)

static void enter_in_c(struct tp_regs *regs) {
    check_entry(regs, OWN_RSP);
    trash_registers();
}

static void exit_in_c(struct tp_regs *regs) {
    check_exit(regs, OWN_RSP);
    trash_registers();
}

static void leave_in_c(struct tp_regs *regs) {
    check_leave(regs, OWN_RSP);
    trash_registers();
}

entry_hook trash_at_entry, trash_at_exit, trash_at_leave, write_saved_slots, lose_r12_of_lazy_calls;

struct hooks {
    const char *name;
    entry_hook *enter, *exit, *leave;
};

static const struct hooks no_hooks = {"no hooks", NULL, NULL, NULL};
static const struct hooks c_hooks = {"hooks in C", enter_in_c, exit_in_c, leave_in_c};
static const struct hooks nasm_hooks = {"hooks in NASM", trash_at_entry, trash_at_exit, trash_at_leave};

/* ---- Changes that no other CPU may see half of ---- */

/* The boot writer is to find the others asleep, with no interrupt on its way: what was has come when they end being
 * mute. To stay so would take time, where each change of a mapping waits for all who are awake. */
static void settle_others(void) {
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++) {
        set_mute(cpu, true);
        set_mute(cpu, false);
    }
}

static void use_hooks(const struct hooks *hooks) {
    settle_others();
    EXPECT_OK(tp_static_call_update(trace_entry, hooks->enter));
    EXPECT_OK(tp_static_call_update(trace_exit, hooks->exit));
    exit_hook = hooks->leave;
    for (unsigned cpu = 0; cpu < MAXIMUM_CPUS; cpu++)
        watches[cpu] = (struct watch){.place = INSIDE};
}

static bool change_text(enum tp_status (*change)(void)) {
    settle_others();
    return EXPECT_OK(change());
}

/* ---- Runs ---- */

static unsigned count_programs(bool flooded) {
    return cpu_count() - flooded;
}

static struct survivor_sum run(const uint8_t *ways, unsigned rounds, bool flooded) {
    open_survivors(ways);
    unmask_interrupts();
    run_survivors(rounds / count_programs(flooded), flooded);
    mask_interrupts();
    return close_survivors();
}

static void expect_survival(const struct survivor_sum *sum, unsigned rounds) {
    EXPECT(sum->rounds + cpu_count() >= rounds);
    EXPECT_EQUAL(sum->wrong, 0);
    EXPECT_EQUAL(sum->wrong_frames, 0);
    EXPECT_EQUAL(sum->lost, 0);
    EXPECT(sum->frames > 0 && sum->nmis > 0);
}

/* The first way to user mode is that of a program's begin, the last entry that of its end. */
static void judge_hooks(const struct hooks *hooks) {
    struct watch all = {0};
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        all.entries += watches[cpu].entries;
        all.exits += watches[cpu].exits;
        all.leaves += watches[cpu].leaves;
        all.wrong += watches[cpu].wrong;
    }
    EXPECT_EQUAL(all.wrong, 0);
    EXPECT_EQUAL(all.entries, all.exits);
    EXPECT_EQUAL(all.exits, all.leaves);
    EXPECT_EQUAL(all.entries > 0, hooks->enter != NULL);
    print_format("# %s: %lu entries, %lu exits from and to user mode; wrong %lu\n", hooks->name, all.entries, all.exits,
                 all.wrong);
}

/* What several runs have come to. */
static struct {
    uint64_t begin, runs, calls, int3s, faults, interrupted, ticks;
} done;

static void run_with(const struct hooks *hooks, bool flooded) {
    use_hooks(hooks);
    struct survivor_sum sum = run(survivor_everything, rounds_a_run(), flooded);
    print_survivors(flooded ? "one CPU sends NMIs" : "all CPUs run", &sum);
    expect_survival(&sum, rounds_a_run());
    judge_hooks(hooks);
    use_hooks(&no_hooks);
    done.runs++;
    done.interrupted += sum.interrupted;
    done.ticks += sum.ticks;
    done.calls += count_calls(&sum);
    done.int3s += sum.done[WAY_INT3];
    done.faults += sum.done[WAY_INVALID] + sum.done[WAY_FAULT] + sum.done[WAY_DIVIDE];
}

/* How soon a tick comes, or an NMI while a program runs, is up to the machine. A fast one has time for more. */
static bool is_enough(void) {
    enum { RUNS = 6, PATIENCE = 60 };
    uint64_t least_time = is_alone() ? 2000000000 : 0;
    if (done.runs < RUNS)
        return false;
    return done.runs >= PATIENCE ||
           (done.interrupted > 0 && done.ticks > 0 && read_nanoseconds() - done.begin > least_time);
}

static void run_all_hooks(void) {
    static const struct hooks *const all[] = {&no_hooks, &c_hooks, &nasm_hooks};
    enum { HOOKS = sizeof all / sizeof *all };
    done.begin = read_nanoseconds();
    done.runs = done.calls = done.int3s = done.faults = done.interrupted = done.ticks = 0;
    while (!is_enough())
        run_with(all[done.runs / 2 % HOOKS], done.runs % 2);
    EXPECT(done.calls > done.runs * rounds_a_run() * 5 / 9);
    EXPECT(done.int3s > done.runs * rounds_a_run() / 32);
    EXPECT(done.faults > done.runs * rounds_a_run() / 8);
    EXPECT(done.interrupted > 0 && done.ticks > 0);
    print_format("# in this form: %lu syscalls, %lu int3s, %lu faults\n", done.calls, done.int3s, done.faults);
}

static bool start(void) {
    return EXPECT(start_cpus(MAXIMUM_CPUS) > 1) && start_library(&alias_port);
}

static void survive_unpatched(void) {
    REQUIRE(start());
    run_all_hooks();
    EXPECT(text_is_pristine());
}

static void survive_patched(void) {
    REQUIRE(start());
    REQUIRE(change_text(tp_apply));
    run_all_hooks();
    EXPECT_EQUAL(count_differences(NULL), 0);
    change_text(tp_revert);
}

static void survive_reverted(void) {
    REQUIRE(start());
    REQUIRE(change_text(tp_apply));
    REQUIRE(change_text(tp_revert));
    run_all_hooks();
    EXPECT(text_is_pristine());
}

/* ---- Frames that others make ---- */

static const uint8_t mostly_replaced[WAYS_DRAWN] = {
    WAY_REPLACE, WAY_REPLACE, WAY_REPLACE, WAY_REPLACE, WAY_REPLACE, WAY_REPLACE, WAY_REPLACE, WAY_REPLACE,
    WAY_REPLACE, WAY_REPLACE, WAY_LAZY,    WAY_LAZY,    WAY_LAZY,    WAY_INT3,    WAY_FAULT,   WAY_SPIN,
};
static const uint8_t mostly_forked[WAYS_DRAWN] = {
    WAY_FORK, WAY_FORK, WAY_FORK, WAY_FORK, WAY_FORK, WAY_FORK,     WAY_FORK, WAY_FORK,
    WAY_FORK, WAY_FORK, WAY_LAZY, WAY_LAZY, WAY_LAZY, WAY_COMPLETE, WAY_INT3, WAY_SPIN,
};

static struct survivor_sum survive_both_forms(const char *name, const uint8_t *ways, unsigned rounds) {
    struct survivor_sum sum = {0};
    if (!start())
        return sum;
    use_hooks(&nasm_hooks);
    sum = run(ways, rounds, true);
    print_survivors(name, &sum);
    expect_survival(&sum, rounds);
    if (!change_text(tp_apply))
        return sum;
    sum = run(ways, rounds, false);
    print_survivors(name, &sum);
    expect_survival(&sum, rounds);
    judge_hooks(&nasm_hooks);
    use_hooks(&no_hooks);
    change_text(tp_revert);
    return sum;
}

static void replace_frames(void) {
    struct survivor_sum sum = survive_both_forms("replaced frames", mostly_replaced, rounds_a_run() / 2);
    EXPECT(sum.done[WAY_REPLACE] > rounds_a_run() / 4);
}

static void fork_children(void) {
    struct survivor_sum sum = survive_both_forms("children", mostly_forked, rounds_a_run() / 5);
    EXPECT(sum.children > rounds_a_run() / 10);
    EXPECT_EQUAL(sum.done[WAY_FORK], 2 * sum.children);
    print_format("# %lu children\n", sum.children);
}

/* ---- What must be noticed ---- */

static struct survivor_sum run_control(const char *name, const struct hooks *hooks) {
    use_hooks(hooks);
    struct survivor_sum sum = run(survivor_everything, ROUNDS_A_CONTROL, false);
    use_hooks(&no_hooks);
    print_format("# control %s: %lu of %lu wrong\n", name, sum.wrong, sum.rounds);
    EXPECT(sum.wrong > 0);
    EXPECT_EQUAL(sum.lost, 0);
    return sum;
}

static void expect_all_wrong(const struct survivor_sum *sum, enum survivor_way way) {
    EXPECT(sum->done[way] > 0);
    EXPECT_EQUAL(sum->wrong_of[way], sum->done[way]);
}

static void write_slots(void) {
    const struct hooks hooks = {NULL, NULL, NULL, write_saved_slots};
    struct survivor_sum sum = run_control("a hook writes the saved slots", &hooks);
    for (unsigned way = WAY_COMPLETE; way <= WAY_DIVIDE; way++)
        expect_all_wrong(&sum, way);
    EXPECT(sum.wrong_of[WAY_LAZY] < sum.done[WAY_LAZY] / 2);
}

static void lose_register(void) {
    const struct hooks hooks = {NULL, lose_r12_of_lazy_calls, NULL, NULL};
    struct survivor_sum sum = run_control("a hook loses a register of a lazy call", &hooks);
    expect_all_wrong(&sum, WAY_LAZY);
    EXPECT_EQUAL(sum.wrong, sum.wrong_of[WAY_LAZY]);
}

static void change_slot(void) {
    survivors_lose_r9 = true;
    struct survivor_sum sum = run_control("a handler changes a slot", &no_hooks);
    survivors_lose_r9 = false;
    expect_all_wrong(&sum, WAY_FAULT);
    EXPECT_EQUAL(sum.wrong, sum.wrong_of[WAY_FAULT]);
}

/* What is wrong is the order of the hooks, and registers are right. */
static void exchange_hooks(void) {
    const struct hooks hooks = {NULL, trash_at_exit, trash_at_entry, trash_at_leave};
    uint64_t wrong = 0, all = 0;
    use_hooks(&hooks);
    struct survivor_sum sum = run(survivor_everything, ROUNDS_A_CONTROL, false);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        wrong += watches[cpu].wrong;
        all += watches[cpu].calls;
    }
    use_hooks(&no_hooks);
    print_format("# control hooks are exchanged: %lu of %lu wrong\n", wrong, all);
    EXPECT(wrong > sum.rounds);
    EXPECT_EQUAL(sum.wrong, 0);
}

static void notice_faults(void) {
    write_slots();
    lose_register();
    change_slot();
    exchange_hooks();
}

static void faults_are_noticed(void) {
    REQUIRE(start());
    notice_faults();
    REQUIRE(change_text(tp_apply));
    notice_faults();
    change_text(tp_revert);
}

KTAP_SUITE(entry_registers, {"registers survive, unpatched", survive_unpatched},
           {"registers survive, patched", survive_patched}, {"registers survive, reverted", survive_reverted},
           {"replaced frames arrive whole", replace_frames}, {"children are copies but for rax", fork_children},
           {"faults of hooks and handlers are noticed", faults_are_noticed});
