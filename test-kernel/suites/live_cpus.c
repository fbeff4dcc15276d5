/* SPDX-License-Identifier: MIT */
/*
 * live_cpus: CPUs that come late, and lock prefixes that follow how many there are. Listed before the other live
 * suites: a CPU that runs isn't stopped again.
 *
 *   a CPU comes up while the others are under load, with text changed before and after: its first visit is right
 *   lock prefixes: gone while one CPU runs, back before the second one starts, and not to be had away while others run;
 *     with prefixes, sums by all CPUs are exact
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "live_load.h"
#include "platform.h"
#include "smp.h"
#include "support.h"

typedef unsigned long target(void);

#define EACH_CALL {LIVE_ONE, LIVE_TWO, LIVE_THREE}
static const struct live_place places[] = {
    {visit_trampoline, EACH_CALL},
    {visit_call_store, EACH_CALL},
    {visit_call_line, EACH_CALL},
    {visit_tail, EACH_CALL},
};

static enum tp_status move_call(unsigned state) {
    static target *const targets[] = {live_one, live_two, live_three};
    return tp_static_call_update(live_call, targets[state]);
}

static const struct live_storm load = {
    .name = "late CPUs", .places = places, .count = 4, .states = 3, .move = move_call, .burst = 10};

static void move_some(unsigned moves) {
    while (moves-- > 0) {
        EXPECT_OK(move_load());
        EXPECT(await_visits());
    }
}

static void bring_up_one_by_one(void) {
    unsigned count = cpu_count();
    start_load(&load);
    move_some(7);
    while (start_cpus(count + 1) > count) {
        load_cpu(count++);
        move_some(7);
    }
    struct live_result result = stop_load();
    EXPECT_EQUAL(result.wrong, 0);
    EXPECT_EQUAL(result.damaged, 0);
    EXPECT(result.visits > 0);
    EXPECT(count > 1);
    print_format("# %u CPUs, %u moves, %lu visits\n", count, result.rounds, result.visits);
    EXPECT_OK(tp_static_call_update(live_call, live_one));
}

static void comes_late(void) {
    if (cpu_count() > 1)
        SKIP("all CPUs run already");
    if (open_live(&(struct live_setup){.options = live_defaults}))
        bring_up_one_by_one();
    close_live();
    if (cpu_count() == 1)
        SKIP("there is one CPU");
}

/* ---- Lock prefixes ---- */

uint64_t lock_nasm_add(uint64_t *cell, uint64_t amount);

static uint8_t lock_byte(void) {
    return *(const volatile uint8_t *)SITE_OF(lock_nasm_add, 0).address;
}

enum { ADDITIONS = 20000 };
static uint64_t sum;

static void add_often(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < ADDITIONS; i++)
        lock_nasm_add(&sum, 1);
}

static void expect_exact_sum(void) {
    sum = 0;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        run_on(cpu, add_often, NULL);
    add_often(NULL);
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wait_for(cpu);
    EXPECT_EQUAL(sum, (uint64_t)ADDITIONS * cpu_count());
}

/* The others are idle meanwhile: as far as the text goes, they are down. */
static void go_down_and_up(void) {
    EXPECT_OK(tp_cpus_running(false));
    EXPECT_OK(tp_set_cpu_count(1));
    EXPECT_OK(tp_apply());
    EXPECT_EQUAL(lock_byte(), 0x3e);
    EXPECT_STATUS(tp_cpus_running(true), TP_ERR_NOT_APPLIED);
    EXPECT_OK(tp_set_cpu_count(cpu_count()));
    EXPECT_OK(tp_apply());
    EXPECT_EQUAL(lock_byte(), 0xf0);
    EXPECT_OK(tp_cpus_running(true));
}

static void follow_cpus(void) {
    EXPECT_EQUAL(lock_byte(), 0xf0);
    expect_exact_sum();
    EXPECT_STATUS(tp_set_cpu_count(1), TP_ERR_CPUS_RUNNING);
    EXPECT_OK(tp_apply());
    EXPECT_EQUAL(lock_byte(), 0xf0);
    for (unsigned i = 0; i < 5; i++) {
        go_down_and_up();
        expect_exact_sum();
    }
}

static void locks_for_many(void) {
    REQUIRE(start_applied());
    EXPECT_EQUAL(lock_byte(), 0x3e);
    EXPECT_STATUS(tp_cpus_running(true), TP_ERR_NOT_APPLIED);
    EXPECT_OK(tp_revert());
    EXPECT_OK(tp_finish());
    run_live_plainly(follow_cpus);
}

KTAP_SUITE(live_cpus, {"a CPU that comes late", comes_late}, {"lock prefixes follow the CPUs", locks_for_many});
