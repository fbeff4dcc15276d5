/* SPDX-License-Identifier: MIT */
/*
 * What #BP does, and when.
 *
 *   2   the kernel's own handler, for int3s that nobody claims, executes the site that is being changed
 *   3   held up between the text and the record, while its batch ends
 *   4   held up at the tables, while its batch ends
 *   5   with all of the program's data read-only
 *   8   27  29   the site executed after each step, by the thread that patches
 *   26  all conditions under all flags, against the CPU's own answer
 */
#include "bugs.h"

#include "commit/breakpoint.h"

#include <link.h>
#include <sys/mman.h>

extern uint8_t foreign_site[];

/* ---- 2 ---- */

static unsigned depth, foreigners;

static void trap_into_kernel(uintptr_t address) {
    struct tp_regs regs = trap_at(address);
    tp_breakpoint_dispatch(&regs);
}

static bool has_int3(const uint8_t *site) {
    return *(const volatile uint8_t *)site == 0xcc;
}

static void take_unclaimed(struct tp_regs *regs) {
    require(depth++ == 0, "2: the kernel's handler holds the site that it was called for");
    require(regs->rip == (uintptr_t)foreign_site + 1, "2: the kernel's handler was called for a site");
    foreigners++;
    if (has_int3(op_across_site))
        trap_into_kernel((uintptr_t)op_across_site);
    depth--;
}

static void meet_foreigner(const struct tp_trace *step) {
    (void)step;
    trap_into_kernel((uintptr_t)foreign_site);
    if (has_int3(op_across_site))
        trap_into_kernel((uintptr_t)op_across_site);
}

void bug_2(void) {
    bug_port.breakpoint = take_unclaimed;
    begin(&by_trap);
    bug_port.trace = meet_foreigner;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_2));
    require(foreigners >= 8, "2: the kernel's handler was not called");
    end();
    op_across_cell = (uintptr_t)value_1;
}

/* ---- 3, 4 ---- */

static struct made made;
static uintptr_t made_site;

static void begin_with_made(void) {
    begin(&by_trap);
    make_image(&made, 0);
    made_site = (uintptr_t)make_op(&made, 61) + 4;
    must(tp_image_add(&made.image));
    must(tp_apply());
}

static void end_the_batch(void) {
    protect_tables(&made, true);
    go_on();
}

/* The text has just been read; the record is about to be. */
static void hold_up_again(void) {
    protect_text(&made, true);
    protect_tables(&made, false);
    on_fault = end_the_batch;
}

void bug_3(void) {
    begin_with_made();
    get_stuck(made_cell(&made), (uintptr_t)value_2);
    struct tp_regs regs = trap_at(made_site);
    protect_text(&made, false);
    on_fault = hold_up_again;
    enum tp_breakpoint answer = tp_handle_breakpoint(&regs);
    require(!on_fault, "3: the record was not read behind the text");
    require(answer == TP_BREAKPOINT_RESUME, "3: an int3 that was read in time is taken for a stranger's");
    require(regs.rip == made_site, "3: not sent back to the site");
    end();
}

void bug_4(void) {
    begin_with_made();
    get_stuck(made_cell(&made), (uintptr_t)value_2);
    struct tp_regs regs = trap_at(made_site);
    protect_tables(&made, false);
    on_fault = end_the_batch;
    enum tp_breakpoint answer = tp_handle_breakpoint(&regs);
    require(answer == TP_BREAKPOINT_RESUME, "4: an int3 of a batch that has ended is taken for a stranger's");
    require(regs.rip == made_site, "4: not sent back to the site");
    end();
}

/* ---- 5 ---- */

struct stretch {
    uintptr_t start, end;
};

/* The program comes first in the list of objects. */
static int find_data(struct dl_phdr_info *info, size_t size, void *found) {
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_flags & PF_W)
            *(struct stretch *)found = (struct stretch){
                header->p_vaddr & ~4095ul, (header->p_vaddr + header->p_memsz + 4095) & ~4095ul};
    }
    return 1;
}

void bug_5(void) {
    struct stretch data;
    dl_iterate_phdr(find_data, &data);
    begin(&by_trap);
    get_stuck(&op_across_cell, (uintptr_t)value_2);
    uint64_t stack[2];
    struct tp_regs regs = trap_at((uintptr_t)op_across_site);
    regs.rsp = (uintptr_t)&stack[1];
    mprotect((void *)data.start, data.end - data.start, PROT_READ);
    enum tp_breakpoint answer = tp_handle_breakpoint(&regs);
    mprotect((void *)data.start, data.end - data.start, PROT_READ | PROT_WRITE);
    require(answer == TP_BREAKPOINT_RESUME && regs.rip == (uintptr_t)value_2, "5: not emulated");
    go_on();
    end();
    op_across_cell = (uintptr_t)value_1;
}

/* ---- 8, 27, 29 ---- */

static unsigned old_value, new_value;

static void execute(const struct tp_trace *step) {
    unsigned value = op_across();
    require(value == old_value || value == new_value, "after \"%s\" the site returns %u, not %u or %u",
            tp_step_text(step->step), value, old_value, new_value);
}

static void execute_at_each_step(void) {
    begin(&by_trap);
    bug_port.trace = execute;
    old_value = 1, new_value = 2;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_2));
    require(silicon_seen.traps >= 4, "the site was not executed while its int3 stood");
    old_value = 2, new_value = 1;
    must(tp_key_update(&op_across_cell, (uintptr_t)value_1));
    end();
}

void bug_8(void) {
    execute_at_each_step();
}

void bug_27(void) {
    execute_at_each_step();
}

void bug_29(void) {
    execute_at_each_step();
}

/* ---- 26 ---- */

#define EACH_CONDITION(X)                                                                                      \
    X(0, "o") X(1, "no") X(2, "b") X(3, "ae") X(4, "e") X(5, "ne") X(6, "be") X(7, "a") X(8, "s") X(9, "ns")     \
    X(10, "p") X(11, "np") X(12, "l") X(13, "ge") X(14, "le") X(15, "g")
#define DECLARE_SITE(n, name) extern uint8_t jumps_##n##_site[];
EACH_CONDITION(DECLARE_SITE)
static uint8_t *const jump_sites[] = {
#define SITE(n, name) jumps_##n##_site,
    EACH_CONDITION(SITE)};

static bool holds_on_cpu(unsigned condition, uint64_t flags) {
    uint8_t holds = 0;
    switch (condition) {
#define ASK(n, name)                                                                                           \
    case n:                                                                                                    \
        __asm__ volatile("push %1\n\tpopfq\n\tset" name " %0" : "=q"(holds), "+r"(flags), "+r"(tp_stack) : : "cc");  \
        break;
        EACH_CONDITION(ASK)
    }
    return holds;
}

void bug_26(void) {
    begin(&by_trap);
    get_stuck(&tp_static_call_jumps, (uintptr_t)value_2);
    for (unsigned condition = 0; condition < 16; condition++)
        for (unsigned n = 0; n < 64; n++) {
            struct tp_regs regs = trap_at((uintptr_t)jump_sites[condition]);
            /* CF, PF, AF; ZF, SF; OF */
            regs.rflags |= (n & 1) | (n & 2) << 1 | (n & 4) << 2 | (n & 0x18) << 3 | (n & 0x20) << 6;
            require(tp_handle_breakpoint(&regs) == TP_BREAKPOINT_RESUME, "26: not emulated");
            bool taken = regs.rip == (uintptr_t)value_2;
            require(taken || regs.rip == (uintptr_t)jump_sites[condition] + 6, "26: neither here nor there");
            require(taken == holds_on_cpu(condition, regs.rflags), "26: condition %u under flags %#lx is wrong",
                    condition, (long)regs.rflags);
        }
    go_on();
    end();
    tp_static_call_jumps = (uintptr_t)value_1;
}
