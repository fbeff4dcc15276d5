/* SPDX-License-Identifier: MIT */
#include "entry_steps.h"
#include "native.h"
#include "one_copy.h"
#include "ports.h"
#include "pv_ops.h"
#include "stepped_paths.h"
#include "support.h"
#include "user.h"

enum { MSR_KERNEL_GS_BASE = 0xc0000102 };
enum { CALL_EXIT = FIRST_COMPLETE_SYSCALL };
enum { FLAGS_RF = 1 << 16, FLAGS_ALWAYS = 2, FLAGS_STATUS = 0xcd5 /* CF PF AF ZF SF DF OF */ };
enum { KERNEL_CODE = 0x08, SELECTOR_NOT_FOR_USER = 0x20, ANSWER = 0x1357 };
enum { USER_GS_OFFSET = 0x1000, AT_GS = 0x5150 };
static const uint64_t NOT_CANONICAL = 1ull << 47;

extern const uint8_t native_syscall[];

struct tp_regs stepped_given;
struct stepped_registers stepped_found;
bool careless;

static const struct path *path;
static struct tp_regs awaited, wanted; /* the next frame, and what is found at last */
static unsigned visits;
static struct process process;

/* ---- What handlers see ---- */

static bool comes_from_user(void) {
    return path->flags & PATH_FROM_USER;
}

static bool is_extra(unsigned slot) {
    return slot <= offsetof(struct tp_regs, rbx) / 8;
}

static void check_frame(const struct tp_regs *regs) {
    const uint64_t *found = (const uint64_t *)regs, *expected = (const uint64_t *)&awaited;
    if (!comes_from_user())
        awaited.rsp = stepped_given.rsp;
    for (unsigned slot = 0; slot < TP_REGS_SIZE / 8; slot++) {
        uint64_t mask = UINT64_MAX;
        if (slot == offsetof(struct tp_regs, rflags) / 8)
            mask = ~(uint64_t)FLAGS_RF; /* faults set it */
        if (slot == offsetof(struct tp_regs, ss) / 8)
            mask = 0xffff;
        if ((found[slot] ^ expected[slot]) & mask && !(path->flags & PATH_LAZY && is_extra(slot)))
            report_failure("a slot of the frame", slot);
    }
}

/* Slots that aren't filled are nobody's; the stack may well hold what a former frame had there. */
static void spoil_extra(struct tp_regs *regs) {
    uint64_t *slots = (uint64_t *)regs;
    for (unsigned slot = 0; is_extra(slot); slot++)
        slots[slot] = ANSWER + 2;
}

static void visit(struct tp_regs *regs) {
    check_context(regs->rip);
    check_frame(regs);
    if (path->flags & PATH_LAZY)
        spoil_extra(regs);
    visits++;
    if (careless)
        regs->r12 ^= 1;
    if (path->answer)
        path->answer(regs);
    else
        regs->rip = (uintptr_t)wanted.rip;
}

static bool handle_path(struct tp_regs *regs) {
    visit(regs);
    return true;
}

static bool handle_invalid(struct tp_regs *regs) {
    if (regs->rip != (uintptr_t)raise_invalid_at)
        return handle_path(regs);
    check_context(regs->rip);
    regs->rip = (uintptr_t)raise_invalid_end;
    return true;
}

static bool handle_breakpoint(struct tp_regs *regs) {
    if (regs->rip != (uintptr_t)raise_breakpoint_end)
        return handle_path(regs);
    return check_context(regs->rip);
}

static void handle_call(struct tp_regs *regs) {
    if (regs->rax == CALL_EXIT)
        exit_process(regs, 0);
    else
        visit(regs);
}

/* ---- What they answer ---- */

void answer_plainly(struct tp_regs *regs) {
    regs->rax = wanted.rax = ANSWER;
}

/* sysret can't do that. */
void answer_by_iret(struct tp_regs *regs) {
    answer_plainly(regs);
    regs->rcx = wanted.rcx = ANSWER + 1;
}

/* A stack segment of the wrong privilege: IRET fails, and that becomes an exception of user mode. */
void answer_by_bad_stack(struct tp_regs *regs) {
    regs->rip = wanted.rip;
    regs->ss = visits == 1 ? SELECTOR_NOT_FOR_USER : USER_DATA_SELECTOR;
    awaited = *regs;
    awaited.vector = VECTOR_GENERAL_PROTECTION;
    awaited.error_code = SELECTOR_NOT_FOR_USER;
}

/* Fails in IRET, or right behind it. */
void answer_by_bad_address(struct tp_regs *regs) {
    regs->rip = visits == 1 ? NOT_CANONICAL : wanted.rip;
    awaited = *regs;
    awaited.vector = VECTOR_GENERAL_PROTECTION;
    awaited.error_code = 0;
}

void answer_by_nmi(struct tp_regs *regs) {
    if (regs->vector == VECTOR_NMI)
        return;
    regs->rip = awaited.rip = wanted.rip;
    awaited.vector = VECTOR_NMI;
    resume_with_nmi(regs, path->flags & PATH_FROM_USER);
}

/* ---- One run ---- */

static uint64_t make_noise(void) {
    static uint64_t noise;
    noise += 0x9e3779b97f4a7c15;
    return noise ^ noise >> 29;
}

static uint16_t own_stack_selector(void) {
    uint16_t selector;
    __asm__ volatile("mov %%ss, %0" : "=r"(selector));
    return selector;
}

static uint64_t address_of(const uint8_t *label) {
    return comes_from_user() ? user_address(label) : (uintptr_t)label;
}

/* Each register holds something else each time, but for what the path asks for. */
static void fill_given(void) {
    uint64_t *slots = (uint64_t *)&stepped_given;
    for (unsigned slot = 0; slot < offsetof(struct tp_regs, vector) / 8; slot++)
        slots[slot] = make_noise();
    stepped_given.rflags = (make_noise() & FLAGS_STATUS) | FLAGS_ALWAYS;
    if (path->rax)
        stepped_given.rax = path->rax;
    if (path->rdi)
        stepped_given.rdi = path->rdi;
}

/* What `syscall` makes of rcx and r11: Intel SDM vol. 2. */
static void await_frame(void) {
    awaited.vector = path->vector;
    awaited.error_code = path->error_code;
    awaited.rip = path->flags & PATH_TRAP ? wanted.rip : address_of(path->at);
    if (path->vector != TP_VECTOR_SYSCALL)
        return;
    awaited.rcx = wanted.rcx = wanted.rip;
    awaited.r11 = wanted.r11 = awaited.rflags;
}

static void begin_program(void) {
    make_process(&process, path->name, path->program, 0);
    stepped_given.rflags |= FLAGS_IF;
    stepped_given.rsp = process.regs.rsp;
    stepped_given.rip = process.regs.rip;
    stepped_given.cs = process.regs.cs;
    stepped_given.ss = process.regs.ss;
    process.regs = stepped_given;
    process.gs_base = USER_DATA + USER_GS_OFFSET;
    *(uint64_t *)(process.data + USER_GS_OFFSET) = AT_GS;
}

/* rsp is stored by the function itself. */
static void begin_function(void) {
    stepped_given.cs = KERNEL_CODE;
    stepped_given.ss = own_stack_selector();
    write_msr_native(MSR_KERNEL_GS_BASE, USER_DATA + USER_GS_OFFSET);
}

static void begin_run(void) {
    fill_given();
    if (comes_from_user())
        begin_program();
    else
        begin_function();
    awaited = wanted = stepped_given;
    wanted.rip = address_of(path->end);
    if (path->flags & PATH_INTERRUPT)
        awaited.rflags |= FLAGS_IF;
    await_frame();
    visits = 0;
}

static void set_breakpoint_entry(const uint8_t *entry, bool own_stack) {
    use_breakpoint_stack(own_stack);
    if (entry)
        set_exception_entry(VECTOR_BREAKPOINT, entry);
    else
        reset_exception_entry(VECTOR_BREAKPOINT);
}

static void raise_interrupt(void) {
    unsigned patience = 1000000;
    raise_event();
    while (!event_is_pending() && --patience > 0)
        pause_briefly();
}

static void run_program(void) {
    run_processes((struct process *const[]){&process}, 1);
    stepped_found = *(const struct stepped_registers *)process.data;
    if (process.state != PROCESS_EXITED || stepped_found.at_gs != AT_GS)
        report_failure("the program's end", process.regs.rip);
    release_process(&process);
}

static uint16_t read_gs(void) {
    uint16_t selector;
    __asm__ volatile("mov %%gs, %0" : "=r"(selector));
    return selector;
}

/* The base is what the descriptor says, and the selector as it was loaded. */
static void check_loaded_gs(void) {
    bool refused = path->rdi == ABSENT_SELECTOR;
    if (refused)
        wanted.rax = 0;
    if (read_gs() != (refused ? 0 : path->rdi) || read_msr_native(MSR_KERNEL_GS_BASE) != 0)
        report_failure("GS that was loaded", read_gs());
}

static void run_function(void) {
    path->function();
    wanted.rsp = stepped_given.rsp;
    if (path->flags & PATH_LOADS_GS)
        check_loaded_gs();
    else if (read_msr_native(MSR_KERNEL_GS_BASE) != USER_DATA + USER_GS_OFFSET)
        report_failure("user mode's GS", read_msr_native(MSR_KERNEL_GS_BASE));
}

/* Bochs 2.7 heeds no breakpoint where an NMI goes; so also where the stub leads. From user mode those at each instruction
 * go there, too. */
static const uint8_t *start_of_nmi(unsigned i) {
    if (i == 0)
        return (const uint8_t *)branch_target((uintptr_t)STUB(VECTOR_NMI));
    return comes_from_user() ? NULL : STUB(VECTOR_NMI);
}

static const uint8_t *start_of(unsigned i) {
    if (path->flags & PATH_NMI)
        return start_of_nmi(i);
    if (path->starts[0])
        return path->starts[i];
    return i == 0 ? STUB(path->vector) : NULL;
}

static enum start_kind kind_of(const uint8_t *start) {
    if (start == native_syscall)
        return START_SYSCALL;
    if (start == (const uint8_t *)tp_native_load_gs)
        return START_FUNCTION;
    if (start == STUB(VECTOR_GENERAL_PROTECTION) || start == STUB(VECTOR_PAGE_FAULT))
        return START_ENTRY_WITH_CODE;
    return path->vector == VECTOR_BREAKPOINT ? START_BREAKPOINT : START_ENTRY;
}

static struct step_plan make_plan(unsigned options, const void *nmi_entry) {
    bool nmi = path->flags & PATH_NMI;
    return (struct step_plan){
        .starts = {(uintptr_t)start_of(0), (uintptr_t)start_of(1)},
        .kinds = {kind_of(start_of(0)), kind_of(start_of(1))},
        .end = wanted.rip,
        .ends_in_user = comes_from_user(),
        .options = options,
        .nmi_from_user = nmi && comes_from_user(),
        .nmi_from_kernel = nmi && !comes_from_user(),
        .keeps_breakpoint = path->flags & PATH_OWN_STACK,
        .nmi_entry = nmi_entry,
        .user_gs = path->flags & PATH_LOADS_GS ? 0 : USER_DATA + USER_GS_OFFSET,
    };
}

static unsigned count_wrong_slots(void) {
    const uint64_t *found = (const uint64_t *)&stepped_found, *expected = (const uint64_t *)&wanted;
    unsigned wrong = stepped_found.regs.rsp != wanted.rsp || stepped_found.regs.rflags != wanted.rflags;
    for (unsigned slot = 0; slot < offsetof(struct tp_regs, vector) / 8; slot++)
        wrong += found[slot] != expected[slot];
    return wrong;
}

/*
 * NMIs in an NMI: how often its handler runs once more. After those at each of its instructions, and after one on the way
 * out that found the state 1, at jnz. One that finds the state 0 there, or at iretq, makes the NMI repeat itself, and one
 * that comes at the jump to that is noted.
 */
enum { REPEATS = 5 };

static unsigned count_repeats(const struct step_report *steps) {
    return path->flags & PATH_NMI && !comes_from_user() && steps->nmis ? REPEATS : 0;
}

struct path_result run_path(const struct path *chosen, unsigned options, const void *nmi_entry) {
    struct path_result result = {0};
    path = chosen;
    begin_run();
    struct step_plan plan = make_plan(options, nmi_entry);
    set_breakpoint_entry(path->breakpoint, path->flags & PATH_OWN_STACK);
    begin_stepping(&plan);
    if (path->flags & PATH_INTERRUPT)
        raise_interrupt();
    if (comes_from_user())
        run_program();
    else
        run_function();
    result.steps = end_stepping();
    result.walks = read_shadow_report();
    set_breakpoint_entry(NULL, false);
    result.visits = visits;
    result.wrong_visits = visits - (path->visits + count_repeats(&result.steps));
    result.wrong_slots = count_wrong_slots();
    return result;
}

bool is_right(const struct path_result *result) {
    const struct step_report *steps = &result->steps;
    return steps->ended && steps->failures == 0 && steps->wrong_gs == 0 && steps->nmis == steps->nmis_came &&
           !steps->nmi_is_owed && result->wrong_visits == 0 && result->wrong_slots == 0;
}

/* ---- Around all ---- */

static exception_handler before[VECTORS];
static syscall_handler calls_before;
static const struct {
    unsigned vector;
    exception_handler handler;
} handlers[] = {
    {VECTOR_BREAKPOINT, handle_breakpoint}, {VECTOR_INVALID_OPCODE, handle_invalid},
    {VECTOR_GENERAL_PROTECTION, handle_path}, {VECTOR_PAGE_FAULT, handle_path},
    {VECTOR_MACHINE_CHECK, handle_path}, {VECTOR_SYSCALL_GATE, handle_path},
};

static void handle_foreign_breakpoint(struct tp_regs *regs) {
    handle_breakpoint(regs);
}

const struct tp_port path_port = {
    .map_text = map_text,
    .unmap_text = unmap_text,
    .cpuid = ask_cpuid,
    .breakpoint = handle_foreign_breakpoint,
};

void open_paths(void) {
    for (unsigned i = 0; i < sizeof handlers / sizeof *handlers; i++)
        before[i] = set_exception_handler(handlers[i].vector, handlers[i].handler);
    calls_before = set_syscall_handler(handle_call);
    event_hook = visit;
    path_nmi_handler = visit;
    install_stepper();
}

ONE_COPY void close_paths(void) {
    remove_stepper();
    path_nmi_handler = NULL;
    event_hook = NULL;
    set_syscall_handler(calls_before);
    for (unsigned i = 0; i < sizeof handlers / sizeof *handlers; i++)
        set_exception_handler(handlers[i].vector, before[i]);
    load_gs(0);
}
