/* SPDX-License-Identifier: MIT */
#include "unwind_sites.h"

#include <textpatch/alternative.h>
#include <textpatch/op.h>

struct unwind_ops unwind_ops = {save_flags, restore_flags, pass_by_stack, pass_far};
TP_OPS(unwind) {
    TP_OP(unwind_ops.save);
    TP_OP(unwind_ops.restore);
    TP_OP(unwind_ops.pass);
    TP_OP(unwind_ops.tail);
}

TP_DEFINE_STATIC_CALL(unwind_call, pass_far);
TP_DEFINE_STATIC_KEY_FALSE(unwind_key);

/* A flag that no arithmetic changes, and user mode may: ID. */
enum { ID_FLAG = 1 << 21, NOT_TAKEN = 9, DEPTH = 4 };

bool unwind_targets_pass = true;
static unsigned failures;

static void expect(bool good) {
    failures += !good;
}

static void expect_passed(unsigned long value, unsigned long given) {
    expect(value == given || !unwind_targets_pass);
}

__attribute__((noinline)) static void use_flags(void) {
    const unsigned long flags = TP_CALLEE_SAVE_CALL(unwind_ops.save);
    TP_CALLEE_SAVE_CALL_VOID(unwind_ops.restore, flags | ID_FLAG);
    const unsigned long set = TP_WIDE_CALLEE_SAVE_CALL(9, unwind_ops.save);
    TP_CALLEE_SAVE_CALL_VOID(unwind_ops.restore, flags);
    expect(set & ID_FLAG);
    asm_restore(asm_save() | ID_FLAG);
    expect(asm_save_wide() & ID_FLAG);
    asm_restore(flags);
}

__attribute__((noinline)) static void use_alternative(unsigned long value) {
    unsigned long passed;
    __asm__ volatile(TP_ALTERNATIVE("mov %%rdi, %%rax", "push %%rdi\n\tpop %%rax", UNWIND_PUSH_ONE)
                     : "=a"(passed), "+r"(tp_stack)
                     : "D"(value));
    expect(passed == value);
    expect(asm_alternative(value) == value);
    expect(asm_alternative_two(value) == value);
}

/* Frames of several sizes between the sites. */
__attribute__((noinline)) static void use_deeper(unsigned depth) {
    volatile unsigned long room[DEPTH * 3];
    room[depth] = depth;
    expect_passed(TP_CALL(unwind_ops.pass, room[depth]), depth);
    expect_passed(tp_static_call(unwind_call)(room[depth]), depth);
    if (tp_static_branch_unlikely(unwind_key))
        expect_passed(pass_far(room[depth]), depth);
    if (depth + 1 < DEPTH)
        use_deeper(depth + 1);
    expect(room[depth] == depth);
}

bool use_pushing_sites(void) {
    failures = 0;
    use_flags();
    use_alternative(5);
    expect_passed(asm_pass(6), 6);
    expect_passed(asm_call(7), 7);
    return failures == 0;
}

bool use_sites(void) {
    const bool good = use_pushing_sites();
    unsigned long (*volatile trampoline)(unsigned long) = tp_static_call(unwind_call);
    use_deeper(0);
    expect_passed(asm_tail(10), 10);
    expect_passed(asm_tail_call(11), 11);
    expect_passed(asm_call_if_zero(12, 0), 12);
    expect(asm_call_if_zero(13, 1) == NOT_TAKEN);
    expect_passed(trampoline(14), 14);
    expect(asm_branch() != 0);
    return good && failures == 0;
}
