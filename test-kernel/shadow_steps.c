/* SPDX-License-Identifier: MIT */
#include "shadow_steps.h"

#include <textpatch/engine.h>
#include <textpatch/record.h>

#include "native.h"

enum { FLAGS_RF = 1 << 16, IRET_FLAGS = 2 };

/* How often an instruction has been stepped, by its offset from the text's start. */
enum { TEXT_ROOM = 1 << 19 };
static uint16_t visits[TEXT_ROOM];
unsigned steps_of_a_place = 100;

/* Intel SDM vol. 3 section 17.2.4: DR0 and DR1, for all tasks; the other bits are always one. */
enum {
    BREAK_AT_RETURN = 1 << 1,
    BREAK_AT_ENTRY = 1 << 3,
    BREAK_ALWAYS_ONE = 1 << 10,
    BROKE_AT_RETURN = 1 << 0,
};
static uintptr_t return_to, return_stack; /* 0: stepping */
static uintptr_t entry, int3_at;          /* of #BP, which is next, and by what; else 0 */

static struct steps_report report;
static uint64_t steps_left;
static bool began, ends;

/* ---- Sums ---- */

void add_steps_report(struct steps_report *sum, const struct steps_report *more) {
    add_shadow_report(&sum->shadow, &more->shadow);
    sum->steps += more->steps;
    sum->places += more->places;
    sum->in_sites += more->in_sites;
    for (unsigned i = 0; i < STEP_FORMS; i++)
        sum->at_sites[i] += more->at_sites[i];
    sum->in_trampolines += more->in_trampolines;
    sum->breakpoints += more->breakpoints;
    sum->left_alone += more->left_alone;
}

void print_steps_report(const struct steps_report *from) {
    const struct shadow_report *shadow = &from->shadow;
    print_format("# %lu steps of %lu instructions, %lu functions ran on; %lu walks, %lu frames, %u deep\n", from->steps,
                 from->places, from->left_alone, shadow->walks, shadow->frames, shadow->deepest);
    print_format("# %lu steps inside sites, %lu in trampolines; %lu #BP, %lu walks in their handlers, %lu moves\n",
                 from->in_sites, from->in_trampolines, from->breakpoints, shadow->in_handlers, shadow->moves);
    for (unsigned i = 0; i < STEP_FORMS; i++)
        print_format("# steps at sites that held %s: %lu\n", step_form_text(i), from->at_sites[i]);
}

/* ---- Which sites, and what they held ---- */

enum { SITES_ROOM = 1024, KINDS = 16 };

static struct stepped_site {
    uintptr_t address;
    uint16_t forms; /* 1 << enum tp_form_kind */
    uint8_t kind;
} stepped_sites[SITES_ROOM];
static unsigned stepped_count;

static struct stepped_site *find_stepped(const struct tp_site_info *site) {
    for (unsigned i = 0; i < stepped_count; i++)
        if (stepped_sites[i].address == site->address && stepped_sites[i].kind == site->kind)
            return &stepped_sites[i];
    if (stepped_count == SITES_ROOM)
        panic("shadow_steps.c knows %u sites", SITES_ROOM);
    stepped_sites[stepped_count] = (struct stepped_site){.address = site->address, .kind = site->kind};
    return &stepped_sites[stepped_count++];
}

unsigned stepped_forms(unsigned kind) {
    unsigned forms = 0;
    for (unsigned i = 0; i < stepped_count; i++)
        if (stepped_sites[i].kind == kind)
            forms |= stepped_sites[i].forms;
    return forms;
}

static unsigned count_stepped(unsigned kind, unsigned forms) {
    unsigned count = 0;
    for (unsigned i = 0; i < stepped_count; i++)
        count += stepped_sites[i].kind == kind && stepped_sites[i].forms & forms;
    return count;
}

void print_stepped_sites(void) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (!count_stepped(kind, UINT16_MAX))
            continue;
        print_format("# %s: %u sites were stepped", tp_kind_text(kind), count_stepped(kind, UINT16_MAX));
        for (unsigned form = 0; form < KINDS; form++)
            if (count_stepped(kind, 1u << form))
                print_format(", %u with %s", count_stepped(kind, 1u << form), tp_form_text(form));
        print_format("\n");
    }
}

/* ---- What is stepped ---- */

static void count_step(const struct tp_regs *regs) {
    struct tp_site_info site;
    report.steps++;
    if (!tp_describe_site(regs->rip, &site))
        return;
    report.in_trampolines += site.kind == TP_KIND_TRAMPOLINE;
    if (site.address != regs->rip) {
        report.in_sites++;
        return;
    }
    report.at_sites[step_form_at(regs)]++;
    find_stepped(&site)->forms |= (uint16_t)(1u << site.form);
}

/* iret loads them, too. */
static void hide_flag(const struct tp_regs *regs, enum tp_insn_kind last) {
    uint64_t *words = (uint64_t *)regs->rsp;
    hide_step_flag(regs, last);
    if (foreseen_kind() == TP_INSN_IRET)
        words[IRET_FLAGS] |= STEP_FLAG;
}

void forget_stepped_places(void) {
    for (unsigned i = 0; i < TEXT_ROOM; i++)
        visits[i] = 0;
    stepped_count = 0;
}

static bool is_often_stepped(uintptr_t ip) {
    uintptr_t offset = ip - (uintptr_t)text_start;
    if (offset >= TEXT_ROOM)
        panic("shadow_steps.c counts in %u bytes of text", TEXT_ROOM);
    report.places += visits[offset] == 0;
    if (visits[offset] == steps_of_a_place)
        return true;
    visits[offset]++;
    return false;
}

/* ---- Breakpoint registers ---- */

static void write_breaks(uint64_t control) {
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr7; mov %3, %%dr6"
                     : : "r"(return_to), "r"(entry), "r"(control), "r"(0xffff0ff0ull) : "memory");
}

/* None while #DB's handler runs: #DB has one stack. */
static void clear_breaks(void) {
    if (return_to || entry)
        write_breaks(BREAK_ALWAYS_ONE);
}

static void set_breaks(void) {
    if (return_to || entry)
        write_breaks(BREAK_ALWAYS_ONE | (return_to ? BREAK_AT_RETURN : 0) | (entry ? BREAK_AT_ENTRY : 0));
}

static bool broke_at_return(void) {
    uint64_t status;
    __asm__ volatile("mov %%dr6, %0" : "=r"(status) : : "memory");
    return return_to && status & BROKE_AT_RETURN;
}

/* What no call has led to, an entry's first instructions, is stepped each time. */
static void run_on(struct tp_regs *regs) {
    if (!innermost_call(&return_to, &return_stack))
        return;
    regs->rflags &= ~(uint64_t)STEP_FLAG;
    report.left_alone++;
}

/* It comes in front of the instruction; a deeper call of the same function may come there first. */
static bool is_back(struct tp_regs *regs) {
    if (regs->rsp < return_stack) {
        regs->rflags |= FLAGS_RF;
        return false;
    }
    return_to = 0;
    foresee_nothing();
    return true;
}

static void await_breakpoint(const struct tp_regs *regs) {
    int3_at = regs->rip;
    entry = foreseen_kind() == TP_INSN_INT3 ? native_entry_of(VECTOR_BREAKPOINT) : 0;
}

/* Something else may have come first, and that may have met an int3. */
static bool is_another_breakpoint(struct tp_regs *regs) {
    if (regs->rip != entry || *(const uintptr_t *)regs->rsp == int3_at + 1)
        return false;
    regs->rflags |= FLAGS_RF;
    return true;
}

/* ---- Steps ---- */

static void follow(struct tp_regs *regs) {
    if (!began)
        begin_shadow(regs->rip, regs->rsp, regs->rbp);
    else if (entry && regs->rip == entry)
        shadow_entry(regs, 0, true);
    else
        shadow_step(regs);
    report.breakpoints += began && entry && regs->rip == entry;
    began = true;
}

static void take_step(struct tp_regs *regs) {
    enum tp_insn_kind last = foreseen_kind();
    bool entered = entry && regs->rip == entry;
    follow(regs);
    foresee(regs);
    hide_flag(regs, entered ? TP_INSN_OTHER : last);
    compare_walk(regs);
    compare_walk_from_here(regs);
    count_step(regs);
    await_breakpoint(regs);
    regs->rflags |= STEP_FLAG;
    if (ends || --steps_left == 0) {
        regs->rflags &= ~(uint64_t)STEP_FLAG;
        entry = 0;
    } else if (is_often_stepped(regs->rip) && entry == 0) {
        run_on(regs);
    }
}

static bool handle_step(struct tp_regs *regs) {
    bool returned = broke_at_return();
    clear_breaks();
    if (returned ? is_back(regs) : !is_another_breakpoint(regs))
        take_step(regs);
    set_breaks();
    return true;
}

struct steps_report step_with_shadow(void (*run)(void), uint64_t limit) {
    report = (struct steps_report){.steps = 0};
    reset_shadow();
    steps_left = limit;
    began = ends = false;
    exception_handler handler = set_exception_handler(VECTOR_DEBUG, handle_step);
    set_step_flag();
    run();
    ends = true;
    __asm__ volatile("nop; nop" : : : "memory");
    set_exception_handler(VECTOR_DEBUG, handler);
    report.shadow = read_shadow_report();
    return report;
}
