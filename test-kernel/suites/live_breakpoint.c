/* SPDX-License-Identifier: MIT */
/*
 * live_breakpoint: what CPUs find while first bytes are int3, by each #BP entry, with and without a stack of its own.
 *
 *   at each step CPU 0 itself executes the sites: the old state before the int3, from then on what the cell means
 *   all sixteen jcc under all flags while their first byte is an int3; targets, none, RET0 (bug 26)
 *   a foreign int3 is handed on whole: apart from sites, at a site in no batch, at another key's site in one (bug 2)
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "support.h"

static const struct live_setup by_trap = {.options = {.least_class = TP_CLASS_TRAP,
                                                      .least_assurance = TP_ASSURANCE_VENDOR}};

/* ---- Between the steps ---- */

static const struct {
    live_visitor *visit;
    uint64_t before, after;
} between[] = {
    {visit_op_store, LIVE_ONE, LIVE_TWO},        {visit_op_quadword, LIVE_ONE, LIVE_TWO},
    {visit_op_line, LIVE_ONE, LIVE_TWO},         {visit_op_page, LIVE_ONE, LIVE_TWO},
    {visit_op_wide, LIVE_ONE, LIVE_TWO},         {visit_call_store, LIVE_ONE, LIVE_TWO},
    {visit_call_line, LIVE_ONE, LIVE_TWO},       {visit_trampoline, LIVE_ONE, LIVE_TWO},
    {visit_tail, LIVE_ONE, LIVE_TWO},            {visit_taken, LIVE_ONE, LIVE_TWO},
    {visit_not_taken, LIVE_FELL, LIVE_FELL},     {visit_key_store, LIVE_FELL, LIVE_JUMPED},
    {visit_key_line, LIVE_FELL, LIVE_JUMPED},    {visit_key_short, LIVE_FELL, LIVE_JUMPED},
    {visit_key_short_line, LIVE_FELL, LIVE_JUMPED}, {visit_key_inverse, LIVE_JUMPED, LIVE_FELL},
    {visit_key_inverse_line, LIVE_JUMPED, LIVE_FELL},
};
enum { BETWEEN = sizeof between / sizeof *between };

static bool goes_to_new;
static unsigned looks;

/* Until all int3 bytes stand, some sites are old and some new. */
static void look_between(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_INT3)
        return;
    bool is_new = (trace->step > TP_STEP_INT3) == goes_to_new;
    for (unsigned i = 0; i < BETWEEN; i++) {
        for (unsigned skew = 0; skew <= 8; skew += 8) {
            struct live_visit visit = {.skew = skew};
            EXPECT_EQUAL(between[i].visit(&visit), is_new ? between[i].after : between[i].before);
            EXPECT_EQUAL(visit.damage, 0);
            looks++;
        }
    }
}

static void move_between(bool to_new) {
    goes_to_new = to_new;
    REQUIRE_OK(tp_batch_begin());
    EXPECT_OK(tp_batch_set(&live_ops.plain, (uintptr_t)(to_new ? live_two : live_one)));
    EXPECT_OK(tp_batch_set(&tp_static_call_live_call, (uintptr_t)(to_new ? live_two : live_one)));
    EXPECT_OK(tp_batch_set(&live_key, to_new));
    EXPECT_OK(tp_batch_commit());
}

static void step_and_look(void) {
    looks = 0;
    live_step_hook = look_between;
    move_between(true);
    move_between(false);
    live_step_hook = NULL;
    EXPECT(looks > 2 * 2 * 17 * BETWEEN);
    EXPECT_EQUAL(live_counts.foreign, 0);
}

static void means_the_cell(void) {
    run_live(&by_trap, step_and_look);
    if (world == WORLD_XEN_PV)
        return;
    struct live_setup setup = by_trap;
    setup.own_stack = true;
    run_live(&setup, step_and_look);
    setup.entry = tp_breakpoint_entry_copied;
    run_live(&setup, step_and_look);
    setup.own_stack = false;
    run_live(&setup, step_and_look);
}

/* ---- All conditions ---- */

unsigned long call_nasm_first(void), call_nasm_second(void), call_site_plain(void), call_site_tail(void);
unsigned long call_site_conditional(unsigned condition);
TP_DECLARE_STATIC_CALL(call_site, call_nasm_first);

static unsigned long expected_value;
static unsigned conditions_seen;

static void try_conditions(const struct tp_trace *trace) {
    if (trace->step != TP_STEP_SYNC_INT3 && trace->step != TP_STEP_SYNC_TAIL && trace->step != TP_STEP_END)
        return;
    conditions_seen++;
    EXPECT_EQUAL(call_site_plain(), expected_value);
    EXPECT_EQUAL(call_site_tail(), expected_value);
    for (unsigned condition = 0; condition < 16; condition++) {
        EXPECT_EQUAL(call_site_conditional(condition), expected_value);
        EXPECT_EQUAL(call_site_conditional(condition | 16), 7);
    }
}

static void call_all_targets(void) {
    live_step_hook = try_conditions;
    expected_value = 42; /* has an inline form */
    EXPECT_OK(tp_static_call_update(call_site, call_nasm_second));
    expected_value = 0;
    EXPECT_OK(tp_static_call_update_ret0(call_site));
    expected_value = 9; /* what rax held */
    EXPECT_OK(tp_static_call_update(call_site, NULL));
    expected_value = 0;
    EXPECT_OK(tp_static_call_update_ret0(call_site));
    expected_value = 41;
    EXPECT_OK(tp_static_call_update(call_site, call_nasm_first));
    expected_value = 9;
    EXPECT_OK(tp_static_call_update(call_site, NULL));
    expected_value = 41;
    EXPECT_OK(tp_static_call_update(call_site, call_nasm_first));
    EXPECT_EQUAL(conditions_seen, 7 * 3);
}

static void knows_all_conditions(void) {
    conditions_seen = 0;
    run_live(&by_trap, call_all_targets);
}

/* ---- Foreign int3s ---- */

static uintptr_t foreign_at;

static void keep_foreign(struct tp_regs *regs) {
    foreign_at = regs->rip - 1;
}

/* What a debugger does for a breakpoint: the byte that was there, and once more. */
static uint8_t replaced_byte;

static void put_back(struct tp_regs *regs) {
    keep_foreign(regs);
    poke_text(regs->rip - 1, &replaced_byte, 1);
    tp_breakpoint_go_to(regs, regs->rip - 1);
}

static void set_breakpoint(uintptr_t address) {
    static const uint8_t int3 = 0xcc;
    replaced_byte = *(const volatile uint8_t *)address;
    poke_text(address, &int3, 1);
    live_foreign_hook = put_back;
}

static void expect_foreign(live_visitor *visitor, uint64_t value, uintptr_t address) {
    for (unsigned skew = 0; skew <= 8; skew += 8) {
        struct live_visit visit = {.skew = skew};
        unsigned before = live_counts.foreign;
        set_breakpoint(address);
        EXPECT_EQUAL(visitor(&visit), value);
        EXPECT_EQUAL(visit.damage, 0);
        EXPECT_EQUAL(live_counts.foreign, before + 1);
        EXPECT_EQUAL(foreign_at, address);
    }
}

static void expect_foreign_in_batch(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_SYNC_INT3 || trace->step == TP_STEP_SYNC_TAIL)
        expect_foreign(visit_op_line, LIVE_ONE, SITE_OF(visit_op_line, 0).address);
}

static void break_everywhere(void) {
    struct live_visit visit = {0};
    live_foreign_hook = keep_foreign;
    EXPECT_EQUAL(visit_int3(&visit), LIVE_NONE); /* passed over */
    EXPECT_EQUAL(visit.damage, 0);
    EXPECT_EQUAL(live_counts.foreign, 1);
    expect_foreign(visit_op_line, LIVE_ONE, (uintptr_t)visit_op_line);
    expect_foreign(visit_op_line, LIVE_ONE, SITE_OF(visit_op_line, 0).address);
    expect_foreign(visit_key_line, LIVE_FELL, SITE_OF(visit_key_line, 0).address);
    live_step_hook = expect_foreign_in_batch; /* of another key */
    EXPECT_OK(tp_op_update(live_ops.companion, live_two));
    EXPECT_OK(tp_op_update(live_ops.companion, live_one));
    EXPECT_EQUAL(live_counts.foreign, 1 + 2 * (3 + 4));
}

static void hands_on(void) {
    run_live(&by_trap, break_everywhere);
    if (world == WORLD_XEN_PV)
        return;
    struct live_setup setup = by_trap;
    setup.entry = tp_breakpoint_entry_copied;
    run_live(&setup, break_everywhere);
    setup.own_stack = true;
    run_live(&setup, break_everywhere);
}

KTAP_SUITE(live_breakpoint, {"between the steps a site means its cell", means_the_cell},
           {"all conditions, and no target, and RET0", knows_all_conditions},
           {"a foreign int3 is handed on", hands_on});
