/* SPDX-License-Identifier: MIT */
#include "stepper.h"

#include <textpatch/entry.h>

#include "code_walk.h"
#include "entry_steps.h"
#include "native.h"
#include "ports.h"
#include "stepped_walks.h"
#include "user.h"

enum { MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102 };
enum { FLAGS_TF = 1 << 8, FLAGS_IF = 1 << 9, FLAGS_DF = 1 << 10, FLAGS_RF = 1 << 16 };
enum { CARRIER_STACK_SIZE = 16 * 1024, NMI_STACK_SIZE = 16 * 1024, FRAME_COPY = 88 };

/* Intel SDM vol. 3 section 17.2.4: enabled for all tasks. Which register is for what. */
enum {
    BREAK_AT_START = 1 << 1,
    BREAK_AT_END = 1 << 3,
    BREAK_AT_RETURN = 1 << 5,
    BREAK_AT_RESTART = 1 << 7,
    BREAK_ALWAYS_ONE = 1 << 10,
};

enum nmi_phase { NMI_NONE, NMI_CARRIER, NMI_AT_STEP };

static struct step_plan plan;
static struct step_report report;
static bool on, started, waits; /* waits: C code runs until return_to */
static uintptr_t return_to, return_stack;

static volatile enum nmi_phase phase;
static struct tp_regs *volatile carried;
static volatile enum nmi_phase phase_behind_carrier;
static volatile uintptr_t expected;
static uintptr_t own_nmi_stack;
static uint8_t carrier_stack[CARRIER_STACK_SIZE] __attribute__((aligned(16)));
void (*path_nmi_handler)(struct tp_regs *regs);

static exception_handler debug_before, nmi_before;

/* ---- Registers ---- */

static void arm(void) {
    uint64_t enabled = BREAK_ALWAYS_ONE;
    if (on) {
        enabled |= started ? BREAK_AT_END : 0;
        enabled |= !started || plan.nmi_from_kernel ? BREAK_AT_START : 0;
        enabled |= plan.starts[1] ? BREAK_AT_RESTART : 0;
        enabled |= waits ? BREAK_AT_RETURN : 0;
    }
    __asm__ volatile("mov %0, %%dr0" : : "r"(plan.starts[0]) : "memory");
    __asm__ volatile("mov %0, %%dr1" : : "r"(plan.end) : "memory");
    __asm__ volatile("mov %0, %%dr2" : : "r"(return_to) : "memory");
    __asm__ volatile("mov %0, %%dr3" : : "r"(plan.starts[1]) : "memory");
    __asm__ volatile("mov %0, %%dr7" : : "r"(enabled) : "memory");
}

static void disarm(void) {
    __asm__ volatile("mov %0, %%dr7" : : "r"((uint64_t)BREAK_ALWAYS_ONE) : "memory");
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull) : "memory");
}

static uint64_t read_fault_address(void) {
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address) : : "memory");
    return address;
}

static void write_fault_address(uint64_t address) {
    __asm__ volatile("mov %0, %%cr2" : : "r"(address) : "memory");
}

/* ---- Checks ---- */

void report_failure(const char *what, uintptr_t at) {
    if (report.failures++ > 0)
        return;
    report.first_failure = what;
    report.failed_at = at;
}

/* Nothing here may be found by GS. */
static bool check_gs(uintptr_t at) {
    bool right = read_msr_native(MSR_GS_BASE) == (uintptr_t)&cpus[0];
    report.wrong_gs += !right;
    if (right && plan.user_gs && read_msr_native(MSR_KERNEL_GS_BASE) != plan.user_gs)
        report_failure("user mode's GS", at);
    return right;
}

static bool check_flags(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
    return (flags & (FLAGS_IF | FLAGS_DF)) == 0;
}

bool check_context(uintptr_t at) {
    bool right = check_gs(at);
    if (!check_flags())
        report_failure("a handler's own flags", at);
    return right;
}

/* ---- Faults in handlers ---- */

/* Each of them enters by an ordinary entry and leaves by IRET, which is what unblocks NMIs. A fault's address belongs to
 * who was interrupted. */
static void raise_faults(void) {
    uint64_t address = read_fault_address();
    if (try_write_byte((void *)(USER_DATA - 1), 0))
        report_failure("a write where no page is", USER_DATA - 1);
    raise_invalid();
    if (!plan.keeps_breakpoint)
        raise_breakpoint();
    write_fault_address(address);
    report.faults++;
}

/* ---- NMIs ---- */

static void set_nmi_entry(const void *entry) {
    if (entry)
        set_exception_entry(VECTOR_NMI, entry);
    else
        reset_exception_entry(VECTOR_NMI);
}

static _Noreturn void send_carrier(struct tp_regs *frame, enum nmi_phase then) {
    struct tp_ist_top *top = (struct tp_ist_top *)(carrier_stack + CARRIER_STACK_SIZE) - 1;
    *top = (struct tp_ist_top){.gs_base = (uintptr_t)&cpus[0]};
    set_nmi_entry(NULL);
    carried = frame;
    phase_behind_carrier = then;
    phase = NMI_CARRIER;
    disarm(); /* it may go where stepping starts */
    own_nmi_stack = set_native_nmi_stack((uintptr_t)top);
    send_native_nmi(0);
    for (unsigned patience = 0; patience < 10000000; patience++)
        pause_briefly();
    panic("no NMI came");
}

void resume_with_nmi(struct tp_regs *frame, bool with_user_gs) {
    frame->ss = (frame->ss & 0xffff) | (uint64_t)with_user_gs << 32;
    send_carrier(frame, NMI_NONE);
}

/* The next one waits for this one's IRET. */
static void carry(struct tp_regs *regs) {
    uint64_t vector = regs->vector, error_code = regs->error_code;
    phase = phase_behind_carrier;
    set_native_nmi_stack(own_nmi_stack);
    if (phase == NMI_AT_STEP)
        set_nmi_entry(plan.nmi_entry);
    send_native_nmi(0);
    *regs = *carried;
    regs->vector = vector;
    regs->error_code = error_code;
    arm();
}

static void nmi_came(uintptr_t at) {
    if (at != expected)
        report_failure("an NMI elsewhere", at);
    report.nmis_came++;
    phase = NMI_NONE;
}

static bool handle_nmi(struct tp_regs *regs) {
    bool right = check_context(regs->rip);
    if (phase == NMI_CARRIER) {
        carry(regs);
        return true;
    }
    if (phase == NMI_AT_STEP && !plan.nmi_from_kernel) {
        nmi_came(regs->rip);
        if (plan.options & STEP_WALKS)
            walk_from_nmi(regs);
        if (right && plan.options & STEP_FAULTS)
            raise_faults();
        return true;
    }
    report.nmi_runs++;
    report.nmi_is_owed = false;
    if (path_nmi_handler)
        path_nmi_handler(regs);
    return true;
}

/* In the kernel's NMI entry: before the copy is made, and on the stack's end, one more would be the end of the first; and
 * nothing that returns by IRET happens there but for these steps. */
static bool is_on_nmi_stack_end(const struct tp_regs *regs) {
    return regs->rsp > own_nmi_stack - FRAME_COPY && regs->rsp <= own_nmi_stack;
}

static bool may_take_nmi(const struct tp_regs *regs, const struct place *place) {
    if (plan.nmi_from_user && place && place->marks & PLACE_OF_NMI)
        return false;
    return !is_on_nmi_stack_end(regs);
}

/* One repeats what it interrupted, so each instruction has one, and those behind the state's end another. */
static bool wants_nmi(struct place *place) {
    const struct tp_ist_top *top = (const struct tp_ist_top *)own_nmi_stack;
    unsigned mark = top->nmi_state ? PLACE_NMI_THIS_TIME : PLACE_LAST_NMI_THIS_TIME;
    if (!plan.nmi_from_kernel)
        return true;
    if (!place || place->marks & mark)
        return false;
    place->marks |= mark;
    return true;
}

static void offer_nmi(struct tp_regs *regs, struct place *place) {
    if (!may_take_nmi(regs, place)) {
        if (place)
            place->marks |= PLACE_NO_NMI;
        return;
    }
    if (!wants_nmi(place))
        return;
    if (place)
        place->marks |= PLACE_HAD_NMI;
    report.nmis++;
    report.nmi_is_owed = plan.nmi_from_kernel;
    expected = regs->rip;
    send_carrier(regs, NMI_AT_STEP);
}

/* At the start of an NMI's entry: where its frame says. */
static void see_nested_nmi(const struct tp_regs *regs) {
    if (plan.nmi_from_kernel && phase == NMI_AT_STEP &&
        (regs->rip == plan.starts[0] || regs->rip == plan.starts[1]))
        nmi_came(*(const uintptr_t *)regs->rsp);
    if (phase == NMI_AT_STEP)
        report_failure("an NMI that never came", expected);
    phase = NMI_NONE;
}

/* ---- Steps ---- */

static bool has_returned(const struct tp_regs *regs) {
    return regs->rip == return_to && regs->rsp == return_stack;
}

static bool is_at_end(const struct tp_regs *regs) {
    return started && regs->rip == plan.end && is_from_user(regs) == plan.ends_in_user;
}

static void count_step(struct place *place) {
    if (place)
        place->marks |= PLACE_STEPPED;
    report.steps += place != NULL;
    report.steps_in_c += place == NULL;
}

/* At the first instruction of a function that isn't of the path. */
static void run_to_return(struct tp_regs *regs) {
    waits = true;
    return_to = *(const uintptr_t *)regs->rsp;
    return_stack = regs->rsp + 8;
    regs->rflags &= ~(uint64_t)FLAGS_TF;
    foresee_nothing();
}

static void take_step(struct tp_regs *regs, bool gs_is_right) {
    struct place *place = find_place(regs->rip);
    started = true;
    waits = false;
    count_step(place);
    if (plan.options & STEP_WALKS)
        walk_from_step(regs, &plan);
    regs->rflags |= FLAGS_TF | FLAGS_RF;
    if (!place && !(plan.options & STEP_INTO_C))
        run_to_return(regs);
    if (gs_is_right && plan.options & STEP_FAULTS) {
        raise_faults();
        if (place)
            place->marks |= PLACE_HAD_FAULTS;
    }
    if (gs_is_right && plan.options & STEP_NMIS)
        offer_nmi(regs, place);
}

/* Flags that were stored while they had TF, or a breakpoint that others than the path came by. */
static void pass_by(struct tp_regs *regs) {
    report.stray_flags += (regs->rflags & FLAGS_TF) != 0;
    regs->rflags &= ~(uint64_t)FLAGS_TF;
    regs->rflags |= FLAGS_RF;
}

/* Behind a paranoid entry. */
static bool has_user_gs(const struct tp_regs *regs) {
    return !is_from_user(regs) && regs->ss >> 32 == 1;
}

static void finish(struct tp_regs *regs) {
    regs->rflags &= ~(uint64_t)FLAGS_TF;
    report.ended = true;
    report.ends_with_user_gs = has_user_gs(regs);
    on = false;
}

static bool handle_debug(struct tp_regs *regs) {
    disarm();
    bool right = check_context(regs->rip);
    report.with_user_gs += has_user_gs(regs);
    see_nested_nmi(regs);
    if (on && is_at_end(regs))
        finish(regs);
    else if (!on || is_from_user(regs) || (waits && !has_returned(regs)))
        pass_by(regs);
    else
        take_step(regs, right);
    arm();
    return true;
}

/* ---- From outside ---- */

void install_stepper(void) {
    debug_before = set_exception_handler(VECTOR_DEBUG, handle_debug);
    nmi_before = set_exception_handler(VECTOR_NMI, handle_nmi);
}

void remove_stepper(void) {
    set_exception_handler(VECTOR_DEBUG, debug_before);
    set_exception_handler(VECTOR_NMI, nmi_before);
}

void begin_stepping(const struct step_plan *wanted) {
    for (unsigned i = 0; i < place_count; i++)
        places[i].marks &= ~(unsigned)(PLACE_NMI_THIS_TIME | PLACE_LAST_NMI_THIS_TIME);
    plan = *wanted;
    report = (struct step_report){0};
    on = true;
    started = waits = false;
    phase = NMI_NONE;
    own_nmi_stack = set_native_nmi_stack((uintptr_t)carrier_stack);
    set_native_nmi_stack(own_nmi_stack);
    reset_shadow();
    arm();
}

struct step_report end_stepping(void) {
    on = false;
    disarm();
    if (phase != NMI_NONE)
        report_failure("an NMI that never came", expected);
    phase = NMI_NONE;
    set_nmi_entry(NULL);
    if (((const struct tp_ist_top *)own_nmi_stack)->nmi_state != 0)
        report_failure("the state of NMIs at the end", own_nmi_stack);
    return report;
}
