/* SPDX-License-Identifier: MIT */
/*
 * user_cpus: programs in user mode on all CPUs at once, with the text pristine and then applied. Apart from `user`
 * because a CPU that runs isn't stopped again.
 *
 *   two programs a CPU in turns by each CPU's own timer: registers, data and gs are each one's own
 *   programs that end, are killed and are made anew on all CPUs: no space is lost, or another's
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "smp.h"
#include "support.h"
#include "user_programs.h"

enum { HERTZ = 500, TURNS = 20, LIVES = 40 };

struct pair {
    struct process one, two;
    unsigned turns, wrong;
} __attribute__((aligned(64)));

static struct pair pairs[MAXIMUM_CPUS];

static struct pair *own_pair(void) { return &pairs[cpu_index()]; }

static uint64_t seed_of(unsigned cpu, unsigned which) { return (cpu + 1) * 4 + which; }

static void make_pair(struct pair *pair, const uint8_t *program, unsigned cpu) {
    make_process(&pair->one, "one", program, seed_of(cpu, 0));
    make_process(&pair->two, "two", program, seed_of(cpu, 1));
}

static void release_pair(struct pair *pair) {
    release_process(&pair->one);
    release_process(&pair->two);
}

static void run_pair(struct pair *pair) {
    run_processes((struct process *const[]){&pair->one, &pair->two}, 2);
}

static bool has_exited(const struct process *process, uint64_t result) {
    return process->state == PROCESS_EXITED && process->result == result;
}

static bool is_killed(const struct process *process, uint64_t vector) {
    return process->state == PROCESS_KILLED && process->result == vector;
}

static void check(struct pair *pair, bool right) {
    if (!right)
        pair->wrong++;
}

static void have_exited(struct pair *pair, unsigned cpu) {
    check(pair, has_exited(&pair->one, seed_of(cpu, 0)));
    check(pair, has_exited(&pair->two, seed_of(cpu, 1)));
}

/* ---- By timers ---- */

static void take_turns(struct tp_regs *regs) {
    struct pair *pair = own_pair();
    if (!is_from_user(regs))
        return;
    if (++pair->turns >= TURNS)
        data_of(&pair->one)->stop = data_of(&pair->two)->stop = 1;
    switch_process(regs);
}

static void spin_in_turns(void *unused) {
    struct pair *pair = own_pair();
    unsigned cpu = cpu_index();
    (void)unused;
    make_pair(pair, program_spins_with_gs, cpu);
    start_cpu_timer(HERTZ);
    run_pair(pair);
    stop_cpu_timer();
    have_exited(pair, cpu);
    check(pair, data_of(&pair->one)->rounds > 0 && data_of(&pair->two)->rounds > 0);
    check(pair, pair->turns >= TURNS && this_cpu() == &cpus[cpu]);
    release_pair(pair);
}

/* ---- By calls and deaths ---- */

static void live_and_die(void *unused) {
    struct pair *pair = own_pair();
    unsigned cpu = cpu_index();
    (void)unused;
    for (unsigned life = 0; life < LIVES; life++) {
        make_pair(pair, program_uses_gs, cpu);
        run_pair(pair);
        have_exited(pair, cpu);
        release_pair(pair);
    }
    make_pair(pair, program_takes_turns, cpu);
    pair->one.regs.rip = user_address(program_reads_kernel);
    run_pair(pair);
    check(pair, is_killed(&pair->one, VECTOR_PAGE_FAULT));
    check(pair, has_exited(&pair->two, seed_of(cpu, 1)));
    check(pair, data_of(&pair->two)->rounds == PROGRAM_ROUNDS);
    release_pair(pair);
}

/* ---- On all CPUs ---- */

static void run_everywhere(void (*work)(void *)) {
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        pairs[cpu].turns = pairs[cpu].wrong = 0;
    unmask_interrupts();
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        run_on(cpu, work, NULL);
    work(NULL);
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wait_for(cpu);
    mask_interrupts();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        EXPECT_EQUAL(pairs[cpu].wrong, 0);
    EXPECT_EQUAL(wrong_calls, 0);
}

static void run_in_both_forms(void (*work)(void *)) {
    REQUIRE(start_cpus(MAXIMUM_CPUS) > 1);
    REQUIRE(start_library(&alias_port));
    set_syscall_handler(answer_programs);
    exception_handler before = set_exception_handler(VECTOR_INVALID_OPCODE, skip_invalid);
    wrong_calls = 0;
    timer_hook = take_turns;
    run_everywhere(work);
    if (EXPECT_OK(tp_apply()))
        run_everywhere(work);
    timer_hook = NULL;
    set_exception_handler(VECTOR_INVALID_OPCODE, before);
    set_syscall_handler(NULL);
}

static void turns_by_timers(void) { run_in_both_forms(spin_in_turns); }

static void lives_and_deaths(void) { run_in_both_forms(live_and_die); }

KTAP_SUITE(user_cpus, {"turns by each CPU's timer", turns_by_timers},
           {"programs come and go", lives_and_deaths});
