/* SPDX-License-Identifier: MIT */
/*
 * entry_returns: returns to what can't be returned to, and stacks of user mode that are none. Each case with
 * the text pristine and then applied; beside each offender another program goes on, and the kernel is looked
 * at afterwards.
 *
 *   a system call in the last two bytes of the lower half: what is behind it is no address
 *   frames that sysret must not be used for: registers, flags and stack arrive as they stand there
 *   frames that no return can be made to: the program is killed, with the registers and the rip of that frame
 *   stacks at 0, in no page, at no address, in the kernel, at odd addresses: calls, events, ticks and NMIs go
 * on as ever, and nothing is pushed there; faults kill the program negative control: a store that the program
 * itself makes to such a stack is noticed negative control: without the mender, an exception of the way out,
 * or of load_gs, is the kernel's own with user mode's GS
 *
 * What Xen does with a frame that its own IRET can't take: the exception becomes one of the guest's user
 * mode, with the frame's registers, as the mender has it natively; the domain lives on. So nothing is refused
 * before it is tried.
 */
#include <textpatch/textpatch.h>

#include "backend.h"
#include "ktap.h"
#include "offender.h"
#include "pv_ops.h"
#include "smp.h"
#include "support.h"
#include "user_programs.h"

extern const uint8_t program_asks_by_syscall[], program_asks_by_gate[], program_stores[],
    program_calls_completely_at_end[], program_misuses_stack[], entry_without_mending[];

enum {
    RESULT = 7, /* entry_returns.asm */
    FOUND = 0x100,
    FLAG_TF = 1 << 8,
    FLAG_DF = 1 << 10,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_AC = 1 << 18,
    FLAG_ID = 1 << 21,
    FLAGS_COMPARED = FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID | 1 << 9,
    VECTOR_STACK_FAULT = 12,
};
static const uint64_t first_outside = USER_LAST_PAGE + 4096;

/* ---- Frames ---- */

/* What is asked for; 0: as it is. rcx and r11 are as sysret would want them unless they are said. vector 0:
 * it arrives. Error codes: natively, under Xen. */
static const struct asked {
    const char *name;
    uint64_t rip, rcx, r11, flags, rsp, cs, ss;
    unsigned vector, error_codes[2];
} frames[] = {
    {"nothing", .vector = 0},
    {"rcx isn't rip", .rcx = 0x1122334455667788},
    {"rcx isn't rip, and none", .rcx = 0xdead000000000000},
    {"r11 isn't rflags", .r11 = 0x123456789abcdef0},
    {"RF", .flags = FLAG_RF},
    {"TF", .flags = FLAG_TF},
    {"NT, DF, AC, ID", .flags = FLAG_NT | FLAG_DF | FLAG_AC | FLAG_ID},
    {"RF and TF, and r11 without", .flags = FLAG_TF | FLAG_RF, .r11 = 0x202},
    {"an odd stack", .rsp = USER_STACK_TOP - 0x101},
    {"rip: the first above the lower half", .rip = 0x800000000000, .vector = 13},
    {"rip: the last below the upper half", .rip = 0xffff7fffffffffff, .vector = 13},
    {"rip: far from both", .rip = 0xdead000000000000, .vector = 13},
    {"rip: not canonical, rcx is", .rip = 0xdead000000000000, .rcx = USER_TEXT, .vector = 13},
    {"rip: the first of the upper half", .rip = 0xffff800000000000, .vector = 14,
     .error_codes = {0x15, 0x14}},
    {"rip: the kernel's text", .rip = 0xffffffff80100000, .vector = 14, .error_codes = {0x15, 0x14}},
    {"rip: in no page", .rip = 1, .vector = 14, .error_codes = {0x14, 0x14}},
    {"cs: null", .cs = 3, .vector = 13},
    {"cs: the kernel's, for user mode", .cs = 0x0b, .vector = 13, .error_codes = {0x08, 0x08}},
    {"cs: a task's", .cs = 0x33, .vector = 13, .error_codes = {0x30, 0x30}},
    {"cs: beyond the table", .cs = 0xfff3, .vector = 13, .error_codes = {0xfff0, 0xfff0}},
    {"ss: null", .ss = 3, .vector = 13},
    {"ss: the kernel's", .ss = 0x13, .vector = 13, .error_codes = {0x10, 0x10}},
    {"ss: code", .ss = 0x2b, .vector = 13, .error_codes = {0x28, 0x28}},
    {"ss: beyond the table", .ss = 0xfff3, .vector = 13, .error_codes = {0xfff0, 0xfff0}},
};

static const struct asked *asked;
static struct tp_regs wanted;

static void fill_registers(struct tp_regs *regs) {
    uint64_t *slots = &regs->r15;
    for (unsigned i = 0; i < 15; i++)
        slots[i] = 0x0101010101010101 * (i + 1);
}

static void ask(struct tp_regs *regs) {
    fill_registers(regs);
    regs->rip = asked->rip ? asked->rip : regs->rip;
    regs->cs = asked->cs ? asked->cs : regs->cs;
    regs->rflags |= asked->flags;
    regs->rsp = asked->rsp ? asked->rsp : regs->rsp;
    regs->ss = asked->ss ? asked->ss : regs->ss;
    regs->rcx = asked->rcx ? asked->rcx : regs->rip;
    regs->r11 = asked->r11 ? asked->r11 : regs->rflags;
    wanted = *regs;
}

/* As the program stores it. */
struct found {
    uint64_t registers[15], rsp, rflags;
};

static bool are_as_wanted(const uint64_t *registers) {
    bool right = true;
    for (unsigned i = 0; i < 15; i++)
        right &= EXPECT_EQUAL(registers[i], (&wanted.r15)[i]);
    return right;
}

static bool has_arrived(void) {
    const struct found *found = (const struct found *)(offender.data + FOUND);
    bool right = are_as_wanted(found->registers);
    right &= EXPECT_EQUAL(found->rsp, wanted.rsp);
    right &= EXPECT_EQUAL(found->rflags & FLAGS_COMPARED, wanted.rflags & FLAGS_COMPARED);
    return right;
}

/* Xen forces the bits that make a selector user mode's. */
static bool was_killed_there(void) {
    bool right = are_as_wanted(&offender.regs.r15);
    right &= EXPECT_EQUAL(offender.regs.rip, wanted.rip);
    right &= EXPECT_EQUAL(offender.regs.cs & 0xffff, wanted.cs);
    right &= EXPECT_EQUAL(offender.regs.ss & 0xffff, wanted.ss);
    right &= EXPECT_EQUAL(offender.regs.rsp, wanted.rsp);
    return right;
}

static unsigned steps;
static uint64_t first_step;

static bool end_steps(struct tp_regs *regs) {
    look_at_kernel();
    if (!is_from_user(regs))
        return false;
    if (steps++ == 0)
        first_step = regs->rip;
    regs->rflags &= ~(uint64_t)FLAG_TF;
    return true;
}

static void ask_for(const struct asked *frame, const uint8_t *program) {
    bool is_xen = world == WORLD_XEN_PV;
    struct end expected = frame->vector ? DIES(frame->vector, frame->error_codes[is_xen]) : EXITS(RESULT);
    asked = frame;
    steps = 0;
    bool right = try_offender(frame->name, program, 0, 0, expected);
    right &= frame->vector ? was_killed_there() : has_arrived();
    right &= EXPECT_EQUAL(steps, (frame->flags & FLAG_TF) != 0);
    if (steps > 0)
        right &= EXPECT_EQUAL(first_step, user_address(program_stores));
    if (!right)
        print_format("# asked for: %s, by %s\n", frame->name,
                     program == program_asks_by_gate ? "int 0x80" : "syscall");
}

static void ask_for_all(bool that_arrive) {
    exception_handler debug = set_exception_handler(VECTOR_DEBUG, end_steps);
    change_frame = ask;
    for (unsigned i = 0; i < sizeof frames / sizeof *frames; i++) {
        if ((frames[i].vector == 0) != that_arrive)
            continue;
        ask_for(&frames[i], program_asks_by_syscall);
        ask_for(&frames[i], program_asks_by_gate);
    }
    set_exception_handler(VECTOR_DEBUG, debug);
}

static void ask_for_frames_that_arrive(void) { ask_for_all(true); }
static void ask_for_frames_that_kill(void) { ask_for_all(false); }

/* ---- The last page ---- */

static void call_at_the_end(void) {
    try_offender("a lazy call at the end", program_calls_at_end, 0, 0, DIES(13, 0));
    EXPECT_EQUAL(offender.regs.rip, first_outside);
    EXPECT_EQUAL(offender.regs.rcx, first_outside);
    try_offender("a complete call at the end", program_calls_completely_at_end, 0, 0, DIES(13, 0));
    EXPECT_EQUAL(offender.regs.rip, first_outside);
    EXPECT_EQUAL(offender.regs.rcx, first_outside);
}

/* ---- Stacks ---- */

/* How program_misuses_stack ends. */
enum way { BY_EXIT, BY_BREAKPOINT, BY_INVALID, BY_FAULT, BY_PUSH };
enum { MARKED = 64, TICKS = 5, HERTZ = 1000, PAUSES = 3000 };
static const uint64_t data_stack = USER_DATA + 0x801;

static uint64_t kernel_words[MARKED];
static volatile unsigned ticks_seen, nmis_seen, events_seen;
static volatile bool nmis_come;

static bool is_on_given_stack(const struct tp_regs *regs) {
    return is_from_user(regs) && current_process() == &offender && regs->rsp == data_of(&offender)->given;
}

static void stop_when_all_came(void) {
    if (ticks_seen >= TICKS && events_seen >= TICKS && (!nmis_come || nmis_seen >= TICKS))
        data_of(&offender)->stop = 1;
}

static void see_tick(struct tp_regs *regs) {
    if (is_on_given_stack(regs)) {
        look_at_kernel();
        ticks_seen++;
        stop_when_all_came();
    }
}

static void see_event(struct tp_regs *regs) {
    look_at_kernel();
    events_seen += is_on_given_stack(regs);
}

static void see_nmi(struct tp_regs *regs) { nmis_seen += is_on_given_stack(regs); }

/* Another CPU's: an NMI that one sends to itself comes while it is in the kernel. Not so fast that nothing is
 * left for what they interrupt. */
static void send_nmis(void *unused) {
    (void)unused;
    while (nmis_come) {
        uint64_t before = nmi_count(0);
        if (!send_nmi(0))
            return;
        for (unsigned i = 0; nmis_come && (i < PAUSES || nmi_count(0) == before); i++)
            __asm__ volatile("pause");
    }
}

static void mark_words(void) {
    for (unsigned i = 0; i < MARKED; i++)
        kernel_words[i] = 0x1234567800000000u + i;
}

static bool words_are_marked(void) {
    bool right = true;
    for (unsigned i = 0; i < MARKED; i++)
        right &= kernel_words[i] == 0x1234567800000000u + i;
    return right;
}

/* Where the programs keep nothing. */
static bool data_is_zero(void) {
    bool right = true;
    for (unsigned i = 0x400; i < 0xc00; i++)
        right &= offender.data[i] == 0;
    return right;
}

static bool misuse(uint64_t stack, enum way way, struct end expected) {
    mark_words();
    bool right = try_offender("a stack that is none", program_misuses_stack, way, stack, expected);
    right &= EXPECT(words_are_marked());
    if (expected.state == PROCESS_KILLED)
        right &= EXPECT_EQUAL(offender.regs.rsp, stack);
    if (!right)
        print_format("# stack %lx, way %u\n", stack, way);
    return right;
}

static bool all_came;

/* Those that are killed go round as often as it takes until a tick sees that all has come. */
static void misuse_in_each_way(uint64_t stack) {
    ticks_seen = nmis_seen = events_seen = 0;
    misuse(stack, BY_EXIT, EXITS(RESULT));
    EXPECT(data_is_zero());
    EXPECT(ticks_seen >= TICKS && events_seen >= TICKS);
    EXPECT(!nmis_come || nmis_seen >= TICKS);
    all_came = true;
    misuse(stack, BY_BREAKPOINT, DIES(VECTOR_BREAKPOINT, 0));
    misuse(stack, BY_INVALID, DIES(VECTOR_INVALID_OPCODE, 0));
    misuse(stack, BY_FAULT, DIES(VECTOR_PAGE_FAULT, 4));
    EXPECT(data_is_zero());
}

static void misuse_stacks(void) {
    const uint64_t stacks[] = {
        0,
        1,
        7,
        0x10000,
        0x800000000000,
        0xdead000000000000,
        ~0ul,
        0xffff800000000000,
        (uintptr_t)&kernel_words[MARKED / 2],
        (uintptr_t)&kernel_words[MARKED / 2] + 3,
        data_stack,
    };
    for (unsigned i = 0; i < sizeof stacks / sizeof *stacks; i++)
        misuse_in_each_way(stacks[i]);
    /* What it does to its own stack is seen by the same look. */
    ticks_seen = events_seen = nmis_seen = 0;
    misuse(data_stack, BY_PUSH, EXITS(RESULT));
    EXPECT(!data_is_zero());
}

static void misuses_stacks(void) {
    nmis_come = start_cpus(2) > 1;
    if (nmis_come)
        run_on(1, send_nmis, NULL);
    else
        print_format("# one CPU: no NMIs come\n");
    timer_hook = see_tick;
    event_hook = see_event;
    nmi_hook = see_nmi;
    start_timer(HERTZ);
    try_in_both_forms(misuse_stacks);
    stop_timer();
    timer_hook = event_hook = nmi_hook = NULL;
    if (nmis_come) {
        nmis_come = false;
        wait_for(1);
    }
}

/* ---- Without the mender ---- */

enum { MSR_GS_BASE = 0xc0000101 };
static const uint64_t unmended_gs = USER_DATA + 0x40;

static unsigned unmended;
static uint64_t unmended_base, unmended_vector, unmended_ss;

/* With user mode's GS: nothing here may use it. */
void see_unmended(struct tp_regs *regs) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_GS_BASE));
    unmended++;
    unmended_base = low | (uint64_t)high << 32;
    unmended_vector = regs->vector;
    unmended_ss = ((const uint64_t *)regs->rsp)[4];
}

static const struct asked bad_stack = {"ss: beyond the table", .ss = 0xfff3, .vector = 13,
                                       .error_codes = {0xfff0}};

static void ask_with_gs(struct tp_regs *regs) {
    set_process_gs_base(unmended_gs);
    ask(regs);
}

ONE_COPY static void leave_unmended(void) {
    unmended = 0;
    change_frame = ask_with_gs;
    set_exception_entry(VECTOR_GENERAL_PROTECTION, entry_without_mending);
    ask_for(&bad_stack, program_asks_by_syscall);
    EXPECT_EQUAL(unmended, 1);
    EXPECT_EQUAL(unmended_vector, VECTOR_GENERAL_PROTECTION);
    EXPECT_EQUAL(unmended_ss, bad_stack.ss);
    EXPECT_EQUAL(unmended_base, unmended_gs);
    load_gs(bad_stack.ss);
    EXPECT_EQUAL(unmended, 2);
    EXPECT_EQUAL(unmended_base, 0);
    EXPECT(this_cpu() == &cpus[0]);
    reset_exception_entry(VECTOR_GENERAL_PROTECTION);
    ask_for(&bad_stack, program_asks_by_syscall);
    EXPECT_EQUAL(unmended, 2);
}

static void needs_the_mender(void) {
    if (world == WORLD_XEN_PV)
        SKIP("Xen's own return faults, and Xen mends it");
    try_in_both_forms(leave_unmended);
}

static void calls_at_the_end(void) { try_in_both_forms(call_at_the_end); }
static void takes_frames_that_arrive(void) { try_in_both_forms(ask_for_frames_that_arrive); }
static void takes_frames_that_kill(void) { try_in_both_forms(ask_for_frames_that_kill); }

KTAP_SUITE(entry_returns, {"a call at the end of user mode's addresses", calls_at_the_end},
           {"frames that aren't sysret's arrive", takes_frames_that_arrive},
           {"frames that can't be returned to kill", takes_frames_that_kill},
           {"stacks that are none", misuses_stacks}, {"control: without the mender", needs_the_mender});
