/* SPDX-License-Identifier: MIT */
#include "offender.h"

#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "smp.h"
#include "support.h"
#include "user_programs.h"
#include "user_space.h"

enum {
    CANARIES = 64,
    SEED = 0x12,
    MSR_GS_BASE = 0xc0000101,
    FLAG_TF = 1 << 8,
    FLAG_DF = 1 << 10,
    FLAG_NT = 1 << 14,
};
static const uint64_t canary = 0x5ca1ab1e0ddba11;

struct process offender;
void (*change_frame)(struct tp_regs *regs);

static struct process survivor, good;
static syscall_handler answer_before;
static volatile unsigned wrong_states;

static uint64_t read_gs_base(void) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_GS_BASE));
    return low | (uint64_t)high << 32;
}

void look_at_kernel(void) {
    uint64_t flags;
    char here;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
    uintptr_t depth = this_cpu()->stack_top - (uintptr_t)&here;
    if (flags & (FLAG_TF | FLAG_DF | FLAG_NT) || !interrupts_are_masked() ||
        this_cpu() != &cpus[cpu_index()] || depth > 8192)
        wrong_states++;
}

unsigned take_wrong_states(void) {
    unsigned taken = wrong_states;
    wrong_states = 0;
    return taken;
}

/* int 0x80 has its number in rax only. */
static uint64_t number_of(const struct tp_regs *regs) {
    return regs->vector == TP_VECTOR_SYSCALL ? regs->error_code : regs->rax;
}

static void answer(struct tp_regs *regs) {
    look_at_kernel();
    switch (number_of(regs)) {
    case CALL_RAISE:
        raise_event();
        break;
    case CALL_CHANGE:
        change_frame(regs);
        break;
    default:
        answer_programs(regs);
    }
}

bool open_trials(void) {
    if (!start_library(&alias_port))
        return false;
    answer_before = set_syscall_handler(answer);
    wrong_calls = wrong_states = 0;
    return true;
}

void close_trials(void) {
    set_syscall_handler(answer_before);
    EXPECT_EQUAL(wrong_calls, 0);
    EXPECT_EQUAL(take_wrong_states(), 0);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

void try_in_both_forms(void (*body)(void)) {
    REQUIRE(open_trials());
    body();
    if (EXPECT_OK(tp_apply()))
        body();
    close_trials();
}

static bool has_exited(const struct process *process, uint64_t result) {
    bool right = EXPECT_EQUAL(process->state, PROCESS_EXITED);
    return EXPECT_EQUAL(process->result, result) && right;
}

static bool has_ended(const struct process *process, struct end expected) {
    bool right = EXPECT_EQUAL(process->state, expected.state);
    if (!expected.or_result || process->result != expected.or_result)
        right &= EXPECT_EQUAL(process->result, expected.result);
    if (expected.state == PROCESS_KILLED)
        right &= EXPECT_EQUAL(process->regs.error_code, expected.error_code);
    return right;
}

static bool run_beside_survivor(const uint8_t *program, uint64_t argument, uint64_t given,
                                struct end expected) {
    make_process(&offender, "offender", program, argument);
    make_process(&survivor, "survivor", program_takes_turns, SEED);
    data_of(&offender)->given = given;
    run_processes((struct process *const[]){&offender, &survivor}, 2);
    bool right = has_ended(&offender, expected);
    right &= has_exited(&survivor, SEED);
    right &= EXPECT_EQUAL(data_of(&survivor)->rounds, PROGRAM_ROUNDS);
    release_process(&survivor);
    return right;
}

static bool run_good_one(void) {
    make_process(&good, "good", program_calls, SEED);
    run_processes((struct process *const[]){&good}, 1);
    bool right = has_exited(&good, PROGRAM_ROUNDS * (3 + 5 + 7 + 11));
    release_process(&good);
    return right;
}

/* The stack for entries from user mode begins below this frame: the canaries are what lies above it. */
bool try_offender(const char *name, const uint8_t *program, uint64_t argument, uint64_t given,
                  struct end expected) {
    volatile uint64_t canaries[CANARIES];
    uint64_t tables = loaded_tables();
    uintptr_t stack = this_cpu()->stack_top;
    bool masked = interrupts_are_masked(), right;

    for (unsigned i = 0; i < CANARIES; i++)
        canaries[i] = canary ^ i;
    right = run_beside_survivor(program, argument, given, expected);
    right &= run_good_one();
    release_process(&offender); /* last: its data stays until somebody takes the space */
    for (unsigned i = 0; i < CANARIES; i++)
        right &= canaries[i] == (canary ^ i);
    if (world == WORLD_NATIVE)
        right &= EXPECT_EQUAL(read_gs_base(), (uintptr_t)&cpus[cpu_index()]);
    right &= EXPECT(this_cpu() == &cpus[cpu_index()]);
    right &= EXPECT_EQUAL(loaded_tables(), tables);
    right &= EXPECT_EQUAL(this_cpu()->stack_top, stack);
    right &= EXPECT_EQUAL(interrupts_are_masked(), masked);
    if (!EXPECT(right))
        print_format("# that was: %s\n", name);
    return right;
}
