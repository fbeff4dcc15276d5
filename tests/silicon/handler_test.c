/* SPDX-License-Identifier: MIT */
/*
 * What #BP does at an int3: the library's, a stale one, and somebody else's.
 *
 * Cases
 *   foreign_is_handed_on      a debugger's int3 outside all sites: the registers as they were, the byte as it was,
 *                             before, between and in the middle of batches
 *   foreign_in_a_site         one behind a site's first byte, and one on a site that no batch is changing
 *   stale_resumes             the site is patched by now: back to its first byte, whatever the registers are
 *   outside                   addresses next to sites, and far away from all: foreign, nothing touched
 *   conditions                the sixteen jcc of a static call under all flags, asked for and executed, at each step
 *   calls_push                the return address is the site's end; nothing else on the stack changes
 *   every_step                call, jmp, ret, nop, static keys: executed by this thread after each step of each batch
 *   preempt                   tp_preempt_ok() for each byte of sites and around
 */
#include "harness.h"

#include <textpatch/unwind.h>

static const struct tp_live_options no_stores = {.least_class = TP_CLASS_TRAP,
                                                 .least_assurance = TP_ASSURANCE_VENDOR};

/* Failures inside hooks, where cmocka must not jump away. */
static unsigned long looked, failed;

static void look(bool good) {
    looked++;
    failed += !good;
}

static void check_looks(void) {
    unsigned long all = looked, bad = failed;
    looked = failed = 0;
    assert_true(all > 0);
    assert_int_equal(bad, 0);
}

static struct tp_regs some_regs(uintptr_t rip) {
    union {
        uint64_t all[TP_REGS_SIZE / 8];
        struct tp_regs regs;
    } made;
    for (unsigned i = 0; i < TP_REGS_SIZE / 8; i++)
        made.all[i] = UINT64_C(0x0101010101010101) * (i + 1);
    made.regs.rip = rip;
    made.regs.rflags = 0x202;
    return made.regs;
}

/* ---- Foreign ---- */

static bool take_foreign(struct tp_regs *regs) {
    look(regs->rip == (uintptr_t)foreign_site + 1 && regs->rax == 7);
    return true;
}

static void run_foreign(const struct tp_trace *step) {
    (void)step;
    look(foreign() == 7);
    look(*(volatile uint8_t *)foreign_site == 0xcc);
}

static void foreign_is_handed_on(void **state) {
    (void)state;
    start_library(&no_stores);
    silicon_control.foreign = take_foreign;
    run_foreign(NULL);
    silicon_port.trace = run_foreign;
    for (unsigned i = 0; i < 4; i++)
        must(tp_key_update(&op_across_cell, (uintptr_t)(i % 2 ? value_1 : value_2)));
    silicon_port.trace = NULL;
    run_foreign(NULL);
    assert_true(silicon_seen.foreign > 20);
    assert_int_equal(tp_audit(NULL, NULL), TP_OK);
    stop_library();
    check_looks();
}

static void is_foreign(uintptr_t rip) {
    struct tp_regs regs = some_regs(rip), before = regs;
    look(tp_handle_breakpoint(&regs) == TP_BREAKPOINT_FOREIGN && memcmp(&regs, &before, sizeof regs) == 0);
}

static void look_from_other_batch(const struct tp_trace *step) {
    (void)step;
    is_foreign((uintptr_t)op_whole_site + 1);
    is_foreign((uintptr_t)op_whole_site + 3);
}

static void foreign_in_a_site(void **state) {
    (void)state;
    start_library(&no_stores);
    uint8_t *alias = silicon_alias((uintptr_t)op_whole_site, 6), saved[6];
    memcpy(saved, alias, sizeof saved);
    alias[0] = alias[2] = 0xcc;
    look_from_other_batch(NULL);
    silicon_port.trace = look_from_other_batch;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_2));
    silicon_port.trace = NULL;
    look(alias[0] == 0xcc && alias[2] == 0xcc);
    /* A batch that would change the site finds bytes that it doesn't know. */
    must_answer(TP_ERR_UNEXPECTED_BYTES, tp_key_update(&op_whole_cell, (uintptr_t)value_2));
    look(alias[0] == 0xcc && alias[2] == 0xcc && op_whole_cell == (uintptr_t)value_1);
    memcpy(alias, saved, sizeof saved);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    stop_library();
    check_looks();
}

static void stale_resumes(void **state) {
    (void)state;
    const uint8_t *const sites[] = {op_whole_site, op_across_site, key_long_site, key_short_site, call_whole_site,
                                    op_jump_whole_site};
    start_library(&no_stores);
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++) {
        struct tp_regs regs = some_regs((uintptr_t)sites[i] + 1), wanted = regs;
        wanted.rip--;
        wanted.error_code = TP_BREAKPOINT_MOVED;
        look(tp_handle_breakpoint(&regs) == TP_BREAKPOINT_RESUME);
        look(memcmp(&regs, &wanted, sizeof regs) == 0);
    }
    stop_library();
    check_looks();
}

static void outside(void **state) {
    (void)state;
    start_library(&no_stores);
    const uintptr_t places[] = {0,
                                1,
                                (uintptr_t)op_whole_site,
                                (uintptr_t)op_whole_site + 2,
                                (uintptr_t)op_whole_end + 1,
                                program.text_start,
                                program.text_start + 1,
                                program.text_end,
                                program.text_end + 1,
                                (uintptr_t)&places,
                                UINTPTR_MAX};
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        is_foreign(places[i]);
    stop_library();
    check_looks();
}

/* ---- Conditions ---- */

#define EACH_CONDITION(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DECLARE(n)                                                                                             \
    unsigned jumps_##n(uint64_t flags);                                                                        \
    extern uint8_t jumps_##n##_site[], jumps_##n##_end[];
EACH_CONDITION(DECLARE)
static unsigned (*const jumps[])(uint64_t) = {
#define FUNCTION(n) jumps_##n,
    EACH_CONDITION(FUNCTION)};
static uint8_t *const jump_sites[] = {
#define SITE(n) jumps_##n##_site,
    EACH_CONDITION(SITE)};

/* All settings of CF, PF, AF, ZF, SF and OF. */
static uint64_t flags_of(unsigned n) {
    static const uint64_t flags[] = {0x1, 0x4, 0x10, 0x40, 0x80, 0x800};
    uint64_t result = 0x202;
    for (unsigned i = 0; i < 6; i++)
        result |= n >> i & 1 ? flags[i] : 0;
    return result;
}

/* Intel SDM vol. 2, Jcc: the CPU itself is asked, where no site is. */
#define HOLDS(n, name)                                                                                         \
    case n:                                                                                                    \
        __asm__ volatile("push %1\n\tpopfq\n\tset" name " %0" : "=r"(holds), "+r"(flags), "+r"(tp_stack) : : "cc");  \
        break;
static bool holds_on_cpu(unsigned condition, uint64_t flags) {
    uint8_t holds = 0;
    switch (condition) {
        HOLDS(0, "o") HOLDS(1, "no") HOLDS(2, "b") HOLDS(3, "ae") HOLDS(4, "e") HOLDS(5, "ne") HOLDS(6, "be")
        HOLDS(7, "a") HOLDS(8, "s") HOLDS(9, "ns") HOLDS(10, "p") HOLDS(11, "np") HOLDS(12, "l") HOLDS(13, "ge")
        HOLDS(14, "le") HOLDS(15, "g")
    }
    return holds;
}

static void execute_jumps(unsigned condition, uint64_t flags) {
    unsigned value = jumps[condition](flags);
    look(holds_on_cpu(condition, flags) ? value == 1 || value == 2 : value == 9);
}

static void ask_about_jumps(unsigned condition, uint64_t flags) {
    uintptr_t site = (uintptr_t)jump_sites[condition];
    struct tp_regs regs = some_regs(site + 1);
    regs.rflags = flags;
    struct tp_regs wanted = regs;
    bool stands = *(volatile uint8_t *)site == 0xcc;
    look(tp_handle_breakpoint(&regs) == TP_BREAKPOINT_RESUME);
    wanted.rip = regs.rip;
    wanted.error_code = TP_BREAKPOINT_MOVED;
    look(memcmp(&regs, &wanted, sizeof regs) == 0);
    if (!stands)
        look(regs.rip == site);
    else if (holds_on_cpu(condition, flags))
        look(regs.rip == (uintptr_t)value_1 || regs.rip == (uintptr_t)value_2);
    else
        look(regs.rip == site + 6);
}

/* Steps of the whole batch: the int3 bytes stand at two of them. */
static void try_conditions(const struct tp_trace *step) {
    if (step->site)
        return;
    for (unsigned condition = 0; condition < 16; condition++)
        for (unsigned n = 0; n < 64; n++) {
            ask_about_jumps(condition, flags_of(n));
            execute_jumps(condition, flags_of(n));
        }
}

static void conditions(void **state) {
    (void)state;
    start_library(&no_stores);
    silicon_port.trace = try_conditions;
    must(tp_key_update(&tp_static_call_jumps, (uintptr_t)value_2));
    must(tp_key_update(&tp_static_call_jumps, (uintptr_t)value_1));
    silicon_port.trace = NULL;
    assert_true(silicon_seen.traps >= 2 * 2 * 16 * 64);
    stop_library();
    check_looks();
}

/* ---- Calls ---- */

static void ask_about_call(const struct tp_trace *step) {
    uint64_t stack[5] = {1, 2, 3, 4, 5};
    struct tp_regs regs = some_regs((uintptr_t)op_across_site + 1);
    regs.rsp = (uintptr_t)&stack[3];
    struct tp_regs wanted = regs;
    if (step->step != TP_STEP_SYNC_INT3 && step->step != TP_STEP_SYNC_TAIL)
        return;
    look(tp_handle_breakpoint(&regs) == TP_BREAKPOINT_RESUME);
    look(regs.rip == (uintptr_t)value_2);
    wanted.error_code = tp_breakpoint_moving(&wanted);
    wanted.rip = regs.rip;
    wanted.rsp -= 8;
    look(memcmp(&regs, &wanted, sizeof regs) == 0);
    look(stack[2] == (uintptr_t)op_across_end);
    look(stack[0] == 1 && stack[1] == 2 && stack[3] == 4 && stack[4] == 5);
}

static void calls_push(void **state) {
    (void)state;
    start_library(&no_stores);
    silicon_port.trace = ask_about_call;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_2));
    silicon_port.trace = NULL;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    stop_library();
    check_looks();
}

/* ---- Every step ---- */

/* What a call of nothing leaves in rax is what was there: 40 of the library's own. */
static unsigned run_with_40(site_code *code) {
    unsigned value;
    __asm__ volatile("call *%2" : "=a"(value), "+r"(tp_stack) : "r"(code), "a"(40) : "memory", "cc");
    return value;
}

static site_code *executed;
static unsigned values[2];

static void execute(const struct tp_trace *step) {
    (void)step;
    unsigned value = run_with_40(executed);
    look(value == values[0] || value == values[1]);
}

static void change_and_execute(site_code *code, void *cell, uint64_t first, uint64_t second, unsigned a, unsigned b) {
    executed = code;
    values[0] = a;
    values[1] = b;
    must(tp_key_update(cell, first));
    unsigned long traps = silicon_seen.traps;
    silicon_port.trace = execute;
    must(tp_key_update(cell, second));
    look(run_with_40(code) == b);
    must(tp_key_update(cell, first));
    look(run_with_40(code) == a);
    silicon_port.trace = NULL;
    look(silicon_seen.traps - traps >= 6);
}

static void every_step(void **state) {
    (void)state;
    const uint64_t one = (uintptr_t)value_1, two = (uintptr_t)value_2, inlined = (uintptr_t)value_3,
                   nothing = (uintptr_t)tp_nop_function, zero = (uintptr_t)tp_return0;
    start_library(&no_stores);
    change_and_execute(op_across, &op_across_cell, one, two, 1, 2);
    change_and_execute(op_across, &op_across_cell, one, inlined, 1, 0x03030303);
    change_and_execute(op_across, &op_across_cell, one, nothing, 1, 40);
    change_and_execute(op_across, &op_across_cell, nothing, two, 40, 2);
    change_and_execute(op_jump_across, &op_jump_across_cell, one, two, 1, 2);
    change_and_execute(op_jump_across, &op_jump_across_cell, one, nothing, 1, 40);
    change_and_execute(call_across, &tp_static_call_call_across, one, two, 1, 2);
    change_and_execute(call_across, &tp_static_call_call_across, one, nothing, 1, 40);
    change_and_execute(call_across, &tp_static_call_call_across, zero, two, 0, 2);
    change_and_execute(call_jump, &tp_static_call_call_jump, one, nothing, 1, 40);
    change_and_execute(tp_static_call_trampoline_call_jump, &tp_static_call_call_jump, one, nothing, 1, 40);
    change_and_execute(key_long_across, &key_long_across_cell, 0, 1, 1, 2);
    change_and_execute(key_short_across, &key_short_across_cell, 0, 1, 1, 2);
    must(tp_key_update(&op_across_cell, one));
    must(tp_key_update(&tp_static_call_call_across, one));
    stop_library();
    check_looks();
}

static void preempt(void **state) {
    (void)state;
    start_library(NULL);
    for (const uint8_t *byte = op_whole_site - 8; byte < op_whole_end + 8; byte++)
        look(tp_preempt_ok((uintptr_t)byte) == (byte <= op_whole_site || byte >= op_whole_end));
    for (const uint8_t *byte = key_short_across_site - 8; byte < key_short_across_end + 8; byte++)
        look(tp_preempt_ok((uintptr_t)byte) == (byte <= key_short_across_site || byte >= key_short_across_end));
    look(tp_preempt_ok(0) && tp_preempt_ok(UINTPTR_MAX) && tp_preempt_ok((uintptr_t)&program));
    stop_library();
    check_looks();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_is_handed_on), cmocka_unit_test(foreign_in_a_site),
        cmocka_unit_test(stale_resumes),        cmocka_unit_test(outside),
        cmocka_unit_test(conditions),           cmocka_unit_test(calls_push),
        cmocka_unit_test(every_step),           cmocka_unit_test(preempt),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
