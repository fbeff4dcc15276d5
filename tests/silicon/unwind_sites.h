/* SPDX-License-Identifier: MIT */
/*
 * Code with sites of every kind, in C (unwind_code.c) and in assembler (unwind_sites.asm), whose inline forms push and
 * pop; and what its sites call. All may be executed at any privilege level.
 */
#ifndef UNWIND_SITES_H
#define UNWIND_SITES_H

#include <textpatch/feature.h>
#include <textpatch/static_call.h>
#include <textpatch/static_key.h>

/* The slots' order is known to unwind_sites.asm, and so are the features. */
struct unwind_ops {
    unsigned long (*save)(void);
    void (*restore)(unsigned long flags);
    unsigned long (*pass)(unsigned long value);
    unsigned long (*tail)(unsigned long value);
};
extern struct unwind_ops unwind_ops;

#define UNWIND_PUSH_ONE TP_FEATURE_KERNEL(24)
#define UNWIND_PUSH_TWO TP_FEATURE_KERNEL(25)

/* With inline forms: pushf; pop %rax — push %rdi; popf — push %rdi; pop %rax. */
unsigned long save_flags(void);
void restore_flags(unsigned long flags);
unsigned long pass_by_stack(unsigned long value);
/* The same without; and one that calls others before it returns its argument. All keep all registers but rax. */
unsigned long save_flags_far(void);
void restore_flags_far(unsigned long flags);
unsigned long pass_far(unsigned long value);

TP_DECLARE_STATIC_CALL(unwind_call, pass_far);
TP_DECLARE_STATIC_KEY_FALSE(unwind_key);

/* Whether all targets return their argument, which tp_nop_function and tp_return0 don't. */
extern bool unwind_targets_pass;
/* All sites, once. False: one of them did something else than its state says. */
bool use_sites(void);
/* Those alone that hold pushes and pops once they have been applied. */
bool use_pushing_sites(void);

/* In unwind_sites.asm. The conditional ones return 9 where the condition doesn't hold. */
unsigned long asm_save(void), asm_save_wide(void);
void asm_restore(unsigned long flags);
unsigned long asm_pass(unsigned long value), asm_tail(unsigned long value);
unsigned long asm_call(unsigned long value), asm_tail_call(unsigned long value);
unsigned long asm_call_if_zero(unsigned long value, unsigned long flag);
unsigned long asm_branch(void);
unsigned long asm_alternative(unsigned long value), asm_alternative_two(unsigned long value);

/* Runs the function on another stack, up to whose end nobody called. */
void run_on_stack(void (*run)(void), uintptr_t top);

#endif
