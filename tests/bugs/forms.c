/* SPDX-License-Identifier: MIT */
/*
 * What sites hold, and how they come to.
 *
 *   9   inline and called by turns
 *   10  NOPs of one byte, made one long NOP while a context stands among them
 *   25  a function that changes the site which called it, and returns
 *   30  an argument with something in the bits that don't count
 *   31  a call that becomes nothing: one NOP
 *   33  a call that becomes something shorter
 */
#include "bugs.h"

#include "serialize.h"

/* ---- 9 ---- */

static void change_to(uintptr_t function, unsigned value) {
    must(tp_key_update(&op_many_cell, function));
    require(op_many() == value, "9: the site returns %u, not %u", op_many(), value);
}

void bug_9(void) {
    begin(&by_any);
    for (unsigned i = 0; i < 2; i++) {
        change_to((uintptr_t)value_5, 5);
        change_to((uintptr_t)value_2, 2);
        change_to((uintptr_t)value_6, 6);
        change_to((uintptr_t)value_1, 1);
    }
    end();
}

/* ---- 10 ---- */

static uintptr_t parked;
static unsigned stops;

/* One other CPU, which first stands among the NOPs and then behind them. */
static enum tp_stop stop_parked(bool (*may_proceed)(uintptr_t), void (*write)(void *), void *argument,
                                unsigned *silent) {
    (void)silent;
    stops++;
    if (!may_proceed(parked)) {
        parked = 0;
        return TP_STOP_BUSY;
    }
    write(argument);
    return TP_STOP_DONE;
}

void bug_10(void) {
    struct made made;
    bug_port.stop_cpus = stop_parked;
    begin_alone(&by_any);
    make_image(&made, 1);
    make_nops(&made, 64, 6);
    must(tp_image_add(&made.image));
    must(tp_cpus_running(true));
    parked = made.text + 67;
    must(tp_apply());
    require(*(const uint8_t *)(made.text + 65) != 0x90, "10: the NOPs are as before");
    require(stops == 2, "10: the NOPs were exchanged under a context that stood among them");
    end();
}

/* ---- 25 ---- */

static unsigned change_caller(void) {
    must(tp_key_update(&op_across_cell, (uintptr_t)value_5));
    return 25;
}

void bug_25(void) {
    begin(&by_any);
    must(tp_key_update(&op_across_cell, (uintptr_t)change_caller));
    require(op_across() == 25, "25: a return into the middle of the new form");
    require(op_across() == 5, "25: not changed");
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    end();
}

/* ---- 30 ---- */

/* false in the low byte: CPUID, which leaves its number of leaves; SERIALIZE leaves rax alone. */
void bug_30(void) {
    uint64_t rax = ~0ull, rdi = 0xabcdef00;
    __asm__ volatile("call tp_serialize" : "+a"(rax), "+D"(rdi), "+r"(tp_stack) : : "rcx", "rdx", "memory", "cc");
    require(rax != ~0ull, "30: upper bits of a bool count");
}

/* ---- 31 ---- */

static unsigned int3s, others;

static void count_classes(const struct tp_trace *step) {
    if (step->site == (uintptr_t)call_across_site) {
        int3s += step->step == TP_STEP_INT3;
        others += step->step == TP_STEP_STOPPED || step->step == TP_STEP_STORE;
    }
}

void bug_31(void) {
    begin(&by_trap);
    bug_port.trace = count_classes;
    must(tp_key_update(&tp_static_call_call_across, (uintptr_t)tp_nop_function));
    require(!memcmp(call_across_site, "\x0f\x1f\x44\0\0", 5), "31: not one NOP");
    must(tp_key_update(&tp_static_call_call_across, (uintptr_t)value_1));
    require(int3s == 2 && others == 0, "31: the site had an inside");
    end();
}

/* ---- 33 ---- */

static void shorten(void) {
    static const uint8_t expected[] = {0x6a, 5, 0x58, 0x0f, 0x1f, 0x00};
    enum tp_status status = tp_key_update(&op_across_cell, (uintptr_t)value_5);
    require(!memcmp(op_across_site, expected, sizeof expected), "33: something is left of the longer form");
    must(status);
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
}

static void see_each_site(const struct tp_trace *step) {
    (void)step;
}

/* By words, and byte by byte, which is what a trace hook is shown. */
void bug_33(void) {
    begin(&by_trap);
    shorten();
    bug_port.trace = see_each_site;
    shorten();
    end();
}
