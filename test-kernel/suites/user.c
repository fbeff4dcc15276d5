/* SPDX-License-Identifier: MIT */
/*
 * user: programs in user mode, each case with the text pristine and then applied.
 *
 *   a program ends with its result, and the kernel's stack, page tables and interrupt mask are as they were
 *   the argument, data and the stack are there, and zero once more for the next one
 *   address spaces: the same addresses are other pages, and have the rights that they should, also for the kernel
 *   two in turns by a system call, and by the timer: registers and data are each one's own
 *   a child has the parent's registers and a copy of its data
 *   syscall and int 0x80, of both kinds: sums are right, registers are kept, interrupts are masked
 *   without anyone who answers, who calls is killed
 *   what isn't a program's kills it with the right vector and error code, and the other one goes on
 *   a frame that can't be returned to, because its code, stack or address is none, kills the program
 *   gs is a program's own across calls, faults that are mended, and turns
 *   all spaces at once, which only works if every case has given back its own
 */
#include <textpatch/textpatch.h>

#include "backend.h"
#include "ktap.h"
#include "page.h"
#include "platform.h"
#include "support.h"
#include "user_programs.h"
#include "user_space.h"

enum { SEED_ONE = 0x51, SEED_TWO = 0x12, HERTZ = 1000, TURNS = 30 };

static struct process one, two;
struct process *forked;
void (*lead_astray)(struct tp_regs *regs);
volatile unsigned wrong_calls;

static void in_both_forms(void (*body)(void)) {
    REQUIRE(start_library(&alias_port));
    syscall_handler before = set_syscall_handler(answer_programs);
    wrong_calls = 0;
    body();
    if (EXPECT_OK(tp_apply()))
        body();
    EXPECT_EQUAL(wrong_calls, 0);
    EXPECT_EQUAL(count_differences(NULL), 0);
    set_syscall_handler(before);
}

/* int 0x80 has its number in rax only. */
static uint64_t number_of(const struct tp_regs *regs) {
    return regs->vector == TP_VECTOR_SYSCALL ? regs->error_code : regs->rax;
}

void answer_programs(struct tp_regs *regs) {
    struct process *process = current_process();
    if (!interrupts_are_masked() || !is_from_user(regs) || !process || process->state != PROCESS_RUNNING)
        wrong_calls++;
    switch (number_of(regs)) {
    case CALL_ADD:
    case CALL_ADD_COMPLETE:
        regs->rax = regs->rdi + regs->rsi;
        break;
    case CALL_SET_GS:
        set_process_gs_base(regs->rdi);
        break;
    case CALL_SWITCH:
        switch_process(regs);
        break;
    case CALL_FORK:
        fork_process(regs, forked, "child");
        break;
    case CALL_GO:
        lead_astray(regs);
        break;
    case CALL_EXIT:
        exit_process(regs, regs->rdi);
        break;
    default:
        wrong_calls++;
        kill_process(regs, "a number that nobody has");
    }
}

bool skip_invalid(struct tp_regs *regs) {
    if (is_from_user(regs))
        regs->rip += 2;
    return is_from_user(regs);
}

static void run(struct process *first, struct process *second) {
    run_processes((struct process *const[]){first, second}, second ? 2 : 1);
}

static void has_exited(const struct process *process, uint64_t result) {
    EXPECT_EQUAL(process->state, PROCESS_EXITED);
    EXPECT_EQUAL(process->result, result);
}

/* ---- One program ---- */

static void run_one(const uint8_t *program, uint64_t argument) {
    make_process(&one, "one", program, argument);
    EXPECT_EQUAL(one.state, PROCESS_READY);
    run(&one, NULL);
    release_process(&one);
}

static void return_a_result(void) {
    uint64_t tables = loaded_tables();
    uintptr_t stack = this_cpu()->stack_top;
    for (unsigned unmasked = 0; unmasked < 2; unmasked++) {
        if (unmasked)
            unmask_interrupts();
        EXPECT(!current_process());
        run_one(program_returns, 20 + unmasked);
        has_exited(&one, 2 * (20 + unmasked) + 1);
        EXPECT(!current_process());
        EXPECT_EQUAL(interrupts_are_masked(), !unmasked);
        mask_interrupts();
    }
    EXPECT_EQUAL(loaded_tables(), tables);
    EXPECT_EQUAL(this_cpu()->stack_top, stack);
}

static void bring_arguments(void) {
    for (unsigned round = 0; round < 2; round++) {
        make_process(&one, "one", program_works, SEED_ONE);
        volatile struct program_data *data = data_of(&one);
        EXPECT_EQUAL(data->taken, 0);
        EXPECT_EQUAL(data->stack, 0);
        data->given = 14;
        run(&one, NULL);
        has_exited(&one, SEED_ONE + 14);
        EXPECT_EQUAL(data->seed, SEED_ONE);
        EXPECT_EQUAL(data->taken, 42);
        EXPECT_EQUAL(data->stack, USER_STACK_TOP);
        EXPECT_EQUAL(*(uint64_t *)(one.data + USER_DATA_SIZE - 8), SEED_ONE);
        release_process(&one);
    }
}

/* ---- Address spaces ---- */

static uint64_t rights_at(const struct process *process, uint64_t address) {
    return user_page_entry(process->space, address) &
           (PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_NOEXECUTE);
}

static void look_through(const struct process *process, uint64_t seed) {
    const volatile uint64_t *text = (const volatile uint64_t *)user_address(program_returns);
    load_space(process->space);
    EXPECT_EQUAL(*(const volatile uint64_t *)USER_DATA, seed);
    EXPECT_EQUAL(*text, *(const uint64_t *)program_returns);
    EXPECT(try_write_byte((void *)(USER_DATA + 8), (uint8_t)seed));
    EXPECT(!try_write_byte((void *)user_address(program_returns), 0));
    EXPECT(!try_write_byte((void *)(USER_DATA - 1), 0));
    EXPECT(!try_write_byte((void *)USER_STACK_TOP, 0));
    EXPECT(user_label(user_address(program_works)) == program_works);
    EXPECT_EQUAL(rights_at(process, USER_DATA), PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_NOEXECUTE);
    EXPECT_EQUAL(rights_at(process, USER_TEXT), PAGE_PRESENT | PAGE_USER);
    EXPECT_EQUAL(rights_at(process, USER_STACK_TOP), 0);
    EXPECT_EQUAL(user_page_entry(process->space, USER_DATA) << 12 >> 24,
                 backend->frame_of((uintptr_t)process->data));
}

static void part_spaces(void) {
    uint64_t tables = loaded_tables();
    make_process(&one, "one", program_returns, 0);
    make_process(&two, "two", program_returns, 0);
    EXPECT(one.space != two.space);
    data_of(&one)->seed = SEED_ONE;
    data_of(&two)->seed = SEED_TWO;
    look_through(&one, SEED_ONE);
    look_through(&two, SEED_TWO);
    load_tables(tables);
    EXPECT_EQUAL(data_of(&one)->rounds, SEED_ONE);
    EXPECT_EQUAL(data_of(&two)->rounds, SEED_TWO);
    EXPECT(!try_write_byte((void *)USER_DATA, 0));
    release_process(&one);
    release_process(&two);
}

/* ---- Two programs ---- */

static void make_both(const uint8_t *program) {
    make_process(&one, "one", program, SEED_ONE);
    make_process(&two, "two", program, SEED_TWO);
}

static void release_both(void) {
    release_process(&one);
    release_process(&two);
}

static void have_both_exited(uint64_t rounds) {
    has_exited(&one, SEED_ONE);
    has_exited(&two, SEED_TWO);
    EXPECT_EQUAL(data_of(&one)->rounds, rounds);
    EXPECT_EQUAL(data_of(&two)->rounds, rounds);
}

static void turn_by_calls(void) {
    make_both(program_takes_turns);
    run(&one, &two);
    have_both_exited(PROGRAM_ROUNDS);
    release_both();
}

static volatile unsigned turns;

/* Who goes on is who waited, with its own data behind the same address. */
static void take_turns(struct tp_regs *regs) {
    struct process *before = current_process();
    if (!is_from_user(regs))
        return;
    turns++;
    if (turns >= TURNS)
        data_of(&one)->stop = data_of(&two)->stop = 1;
    switch_process(regs);
    if (turns < TURNS && current_process() == before)
        wrong_calls++;
}

static void turn_by_timer(void) {
    turns = 0;
    make_both(program_spins);
    timer_hook = take_turns;
    start_timer(HERTZ);
    run(&one, &two);
    stop_timer();
    timer_hook = NULL;
    EXPECT(turns >= TURNS);
    has_exited(&one, SEED_ONE);
    has_exited(&two, SEED_TWO);
    EXPECT(data_of(&one)->rounds > 0);
    EXPECT(data_of(&two)->rounds > 0);
    release_both();
}

static void fork_one(void) {
    forked = &two;
    make_process(&one, "parent", program_forks, SEED_ONE);
    run(&one, NULL);
    has_exited(&one, 1000 + 6);
    has_exited(&two, 2000 + 7);
    EXPECT_EQUAL(data_of(&one)->given, 6);
    EXPECT_EQUAL(data_of(&two)->given, 7);
    EXPECT_EQUAL(data_of(&two)->seed, SEED_ONE);
    release_both();
}

/* ---- System calls ---- */

static void answer_calls(void) {
    run_one(program_calls, SEED_ONE);
    has_exited(&one, PROGRAM_ROUNDS * (3 + 5 + 7 + 11));
}

static bool is_killed(const struct process *process, uint64_t vector, uint64_t error_code) {
    bool state = EXPECT_EQUAL(process->state, PROCESS_KILLED), result = EXPECT_EQUAL(process->result, vector);
    bool reason = EXPECT_EQUAL(process->regs.vector, vector);
    return EXPECT_EQUAL(process->regs.error_code, error_code) && state && result && reason;
}

static void leave_calls_unanswered(void) {
    EXPECT(set_syscall_handler(NULL) == answer_programs);
    run_one(program_calls_lazily, 1);
    is_killed(&one, VECTOR_PAGE_FAULT, 0x14);
    run_one(program_calls_completely, 1);
    is_killed(&one, TP_VECTOR_SYSCALL, CALL_SWITCH);
    EXPECT(set_syscall_handler(answer_programs) == NULL);
}

/* ---- What isn't theirs ---- */

/* Error codes of page faults: 1 the page is there, 2 a write, 4 user mode, 16 a fetch. */
static const struct {
    const uint8_t *program;
    unsigned vector, error_code, xen_error_code;
} offences[] = {
    {program_divides, 0, 0, 0},
    {program_debugs, VECTOR_DEBUG, 0, 0},
    {program_breaks, VECTOR_BREAKPOINT, 0, 0},
    {program_is_invalid, VECTOR_INVALID_OPCODE, 0, 0},
    {program_halts, VECTOR_GENERAL_PROTECTION, 0, 0},
    {program_masks, VECTOR_GENERAL_PROTECTION, 0, 0},
    {program_writes_port, VECTOR_GENERAL_PROTECTION, 0, 0},
    {program_writes_msr, VECTOR_GENERAL_PROTECTION, 0, 0},
    {program_writes_cr3, VECTOR_GENERAL_PROTECTION, 0, 0},
    {program_reads_nothing, VECTOR_PAGE_FAULT, 4, 4},
    {program_writes_text, VECTOR_PAGE_FAULT, 7, 7},
    {program_runs_data, VECTOR_PAGE_FAULT, 0x15, 0x15},
    {program_reads_kernel, VECTOR_PAGE_FAULT, 5, 4},
    {program_leaves_canonical, VECTOR_GENERAL_PROTECTION, 0, 0},
};

static void commit_offence(unsigned i) {
    unsigned error_code = world == WORLD_XEN_PV ? offences[i].xen_error_code : offences[i].error_code;
    make_process(&one, "offender", offences[i].program, SEED_ONE);
    make_process(&two, "survivor", program_takes_turns, SEED_TWO);
    run(&one, &two);
    if (!is_killed(&one, offences[i].vector, error_code))
        print_format("# offence %u\n", i);
    EXPECT(is_from_user(&one.regs));
    has_exited(&two, SEED_TWO);
    EXPECT_EQUAL(data_of(&two)->rounds, PROGRAM_ROUNDS);
    release_both();
}

/* The error code tells the vector, shifted by 3; QEMU 7.2 shifts it by 4. */
static void kill_for_a_vector(void) {
    run_one(program_interrupts, SEED_ONE);
    EXPECT_EQUAL(one.state, PROCESS_KILLED);
    EXPECT_EQUAL(one.result, VECTOR_GENERAL_PROTECTION);
    EXPECT_EQUAL(one.regs.error_code & 7, 2);
    EXPECT_EQUAL(one.regs.rip, user_address(program_interrupts_at));
}

static void kill_only_the_program(void) {
    for (unsigned i = 0; i < sizeof offences / sizeof *offences; i++)
        commit_offence(i);
    kill_for_a_vector();
    run_one(program_divides, SEED_ONE);
    EXPECT_EQUAL(one.regs.rip, user_address(program_divides_at));
    EXPECT_EQUAL(one.regs.rsp, USER_STACK_TOP);
    EXPECT_EQUAL(one.regs.rax, 1);
}

/* ---- Where nobody can return to ---- */

enum { NO_CODE = 0x1033, NO_STACK = 0x1043 };
static const uint64_t beyond = USER_LAST_PAGE + PAGE_SIZE;

static void go_beyond(struct tp_regs *regs) { regs->rip = beyond; }
static void go_with_stack_beyond(struct tp_regs *regs) { regs->rsp = beyond; }
static void go_with_no_code(struct tp_regs *regs) { regs->cs = NO_CODE; }
static void go_with_no_stack(struct tp_regs *regs) { regs->ss = NO_STACK; }

static void stray(void (*way)(struct tp_regs *)) {
    lead_astray = way;
    make_process(&one, "stray", program_goes_astray, SEED_ONE);
    make_process(&two, "survivor", program_takes_turns, SEED_TWO);
    run(&one, &two);
    has_exited(&two, SEED_TWO);
    release_both();
}

/* A bad stack hurts nobody who doesn't use it. */
static void return_to_nowhere(void) {
    stray(go_beyond);
    is_killed(&one, VECTOR_GENERAL_PROTECTION, 0);
    EXPECT_EQUAL(one.regs.rip, beyond);
    stray(go_with_no_code);
    is_killed(&one, VECTOR_GENERAL_PROTECTION, NO_CODE & ~7);
    EXPECT_EQUAL(one.regs.rip, user_address(program_goes_astray_end));
    stray(go_with_no_stack);
    is_killed(&one, VECTOR_GENERAL_PROTECTION, NO_STACK & ~7);
    stray(go_with_stack_beyond);
    has_exited(&one, PROGRAM_WRONG);
    run_one(program_calls_at_end, SEED_ONE);
    is_killed(&one, VECTOR_GENERAL_PROTECTION, 0);
    EXPECT_EQUAL(one.regs.rip, beyond);
}

/* ---- GS ---- */

static void keep_gs(void) {
    exception_handler before = set_exception_handler(VECTOR_INVALID_OPCODE, skip_invalid);
    make_both(program_uses_gs);
    run(&one, &two);
    set_exception_handler(VECTOR_INVALID_OPCODE, before);
    have_both_exited(PROGRAM_ROUNDS);
    EXPECT(data_of(&one)->gs_base != data_of(&two)->gs_base);
    EXPECT_EQUAL(one.gs_base, data_of(&one)->gs_base);
    EXPECT(this_cpu() == &cpus[0]);
    release_both();
}

/* ---- All spaces ---- */

static struct process many[MAXIMUM_PROCESSES];

static void run_many(void) {
    struct process *all[MAXIMUM_PROCESSES];
    for (unsigned i = 0; i < MAXIMUM_PROCESSES; i++) {
        make_process(&many[i], "one of many", program_takes_turns, i + 1);
        all[i] = &many[i];
    }
    run_processes(all, MAXIMUM_PROCESSES);
    for (unsigned i = 0; i < MAXIMUM_PROCESSES; i++) {
        has_exited(&many[i], i + 1);
        EXPECT_EQUAL(data_of(&many[i])->rounds, PROGRAM_ROUNDS);
        release_process(&many[i]);
    }
    run_processes(all, 0);
}

#define IN_BOTH_FORMS(name, body)                                                                            \
    static void name(void) { in_both_forms(body); }
IN_BOTH_FORMS(returns_a_result, return_a_result)
IN_BOTH_FORMS(brings_arguments, bring_arguments)
IN_BOTH_FORMS(parts_spaces, part_spaces)
IN_BOTH_FORMS(turns_by_calls, turn_by_calls)
IN_BOTH_FORMS(turns_by_timer, turn_by_timer)
IN_BOTH_FORMS(forks, fork_one)
IN_BOTH_FORMS(answers_calls, answer_calls)
IN_BOTH_FORMS(leaves_calls_unanswered, leave_calls_unanswered)
IN_BOTH_FORMS(kills_only_the_program, kill_only_the_program)
IN_BOTH_FORMS(returns_to_nowhere, return_to_nowhere)
IN_BOTH_FORMS(keeps_gs, keep_gs)
IN_BOTH_FORMS(runs_many, run_many)

KTAP_SUITE(user, {"a program returns a result", returns_a_result},
           {"argument, data and stack arrive", brings_arguments}, {"address spaces are parted", parts_spaces},
           {"turns by a system call", turns_by_calls}, {"turns by the timer", turns_by_timer},
           {"a child is a copy", forks}, {"syscall and int 0x80 answer", answers_calls},
           {"calls without an answer kill", leaves_calls_unanswered},
           {"a fault kills only the program", kills_only_the_program},
           {"who can't be returned to is killed", returns_to_nowhere}, {"gs is a program's own", keeps_gs},
           {"as many as there may be", runs_many});
