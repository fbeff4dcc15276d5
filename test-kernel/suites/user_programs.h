/* SPDX-License-Identifier: MIT */
/*
 * Programs for user mode (user_programs.asm), and what answers their system calls. Their argument is a seed: the
 * registers that they don't use hold numbers made of it, which they look at after whatever should keep them.
 */
#ifndef USER_PROGRAMS_H
#define USER_PROGRAMS_H

#include "user.h"

/* The numbers in user_programs.asm. Results from ended programs: PROGRAM_WRONG, or what each says. */
enum {
    CALL_ADD = 1,
    CALL_SET_GS = 2,
    CALL_EXIT = FIRST_COMPLETE_SYSCALL,
    CALL_SWITCH,
    CALL_FORK,
    CALL_ADD_COMPLETE,
    CALL_GO,
    PROGRAM_ROUNDS = 50,
    PROGRAM_WRONG = 0xbad,
};

/* At USER_DATA. */
struct program_data {
    uint64_t seed;   /* what the program was told */
    uint64_t rounds; /* that it has done */
    uint64_t stop;   /* what the kernel tells those that spin */
    uint64_t given, taken;
    uint64_t stack;   /* rsp at first */
    uint64_t gs_base; /* where `gs_value` is, once the program has asked for that */
    uint64_t gs_value;
};

static inline volatile struct program_data *data_of(const struct process *process) {
    return (volatile struct program_data *)process->data;
}

/* seed * 2 + 1, at once */
extern const uint8_t program_returns[];
/* given + seed; taken = given * 3 */
extern const uint8_t program_works[];
/* PROGRAM_ROUNDS times, CALL_SWITCH; seed */
extern const uint8_t program_takes_turns[];
/* Spins until stop, without a call; seed */
extern const uint8_t program_spins[];
/* PROGRAM_ROUNDS times, syscalls and int 0x80 of both kinds; their sum */
extern const uint8_t program_calls[];
/* PROGRAM_ROUNDS times, what might change gs: calls, ud2, which somebody is to skip; seed */
extern const uint8_t program_uses_gs[];
/* Spins as program_spins, with gs */
extern const uint8_t program_spins_with_gs[];
/* given + 1000 in the parent, given + 2000 in the child, after each has added 1 or 2 to its own */
extern const uint8_t program_forks[];
/* What isn't theirs. Each ends as PROGRAM_WRONG if it is let through. */
extern const uint8_t program_divides[], program_debugs[], program_breaks[], program_is_invalid[],
    program_halts[], program_masks[], program_writes_port[], program_writes_msr[], program_writes_cr3[],
    program_interrupts[], program_reads_nothing[], program_writes_text[], program_runs_data[],
    program_reads_kernel[], program_leaves_canonical[], program_goes_astray[], program_calls_at_end[],
    program_calls_lazily[], program_calls_completely[];
/* Where they do it: after what leads there. */
extern const uint8_t program_divides_at[], program_interrupts_at[], program_goes_astray_end[];

/* Answers the calls above. CALL_FORK makes *forked, CALL_ADD adds rdi to rsi, CALL_GO calls lead_astray(). */
void answer_programs(struct tp_regs *regs);
extern struct process *forked;
extern void (*lead_astray)(struct tp_regs *regs);
/* Calls that found interrupts unmasked, or another process than they should. */
extern volatile unsigned wrong_calls;
/* An exception handler: skips ud2 in user mode. */
bool skip_invalid(struct tp_regs *regs);

#endif
