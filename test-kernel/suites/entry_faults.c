/* SPDX-License-Identifier: MIT */
/*
 * entry_faults: what programs in user mode may not do, and flags and segments of theirs that the kernel must
 * not go on with. Each case with the text pristine and then applied; beside each offender another program
 * goes on, and the kernel is looked at afterwards.
 *
 *   privileged instructions, exceptions that are asked for, bad selectors, addresses that aren't the
 * program's (entry_faults.asm has the table): the program is killed where it stood, by the right vector int n
 * for each of 256 vectors: three are user mode's TF, DF, NT, AC, ID, IOPL and IF, set by popf: calls,
 * exceptions and events leave them to the program, and the kernel runs without them; IOPL and IF stay as they
 * are mov ss in front of int3, syscall, int 0x80, ud2 and a page fault, with TF and with data breakpoints,
 * whose #DB may be held back until the kernel's first instruction (CVE-2018-8897): never with user mode's GS
 * in C load_gs of a selector that the CPU refuses: 0 is loaded, and the kernel goes on with its own GS
 *   negative control: syscalls that leave NT set, and the return by IRET is a fault
 */
#include <textpatch/textpatch.h>

#include "backend.h"
#include "ktap.h"
#include "offender.h"
#include "page.h"
#include "pv_ops.h"
#include "support.h"
#include "user_programs.h"

enum {
    RESULT = 7,
    ROUNDS = 3, /* entry_faults.asm */
    STUB_SIZE = 16,
    INVALID_LENGTH = 2,
    LOAD_LENGTH = 8,
    FLAG_TF = 1 << 8,
    FLAG_DF = 1 << 10,
    FLAGS_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_AC = 1 << 18,
    FLAG_ID = 1 << 21,
};

extern const struct offence {
    const char *name;
    const uint8_t *program, *at; /* `at`: a label, or an address that the program goes to; 0 is any */
    uint32_t vector, error_code, xen_vector, xen_error_code;
    uint64_t other_vector; /* that it may be instead; 0: none */
} offences[], offences_end[];
extern const uint8_t program_interrupts_all[], program_keeps_flags[], program_shadows[], user_text_start[],
    user_text_end[];

/* ---- Offences ---- */

static uint64_t expected_rip(const struct offence *offence) {
    const uint8_t *at = offence->at;
    return at >= user_text_start && at < user_text_end ? user_address(at) : (uintptr_t)at;
}

static void commit(const struct offence *offence) {
    struct end expected = world == WORLD_XEN_PV ? DIES(offence->xen_vector, offence->xen_error_code)
                                                : DIES(offence->vector, offence->error_code);
    expected.or_result = offence->other_vector;
    bool right = try_offender(offence->name, offence->program, 0, 0, expected);
    if (offence->at)
        right &= EXPECT_EQUAL(offender.regs.rip, expected_rip(offence));
    if (!right)
        print_format("# offence: %s\n", offence->name);
}

static void commit_all(void) {
    for (const struct offence *offence = offences; offence < offences_end; offence++)
        commit(offence);
}

/* ---- int n ---- */

enum { GATE_ERROR = 2, SOME_VECTOR = 0x21 };

static bool is_for_programs(unsigned vector) {
    return vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW || vector == VECTOR_SYSCALL_GATE;
}

static const uint8_t *stub_of(unsigned vector) { return program_interrupts_all + STUB_SIZE * vector; }

/* QEMU's TCG has the index of the gate's upper half in the error code, twice the vector. Xen believes it. */
static unsigned find_gate_size(void) {
    unsigned size = 8;
    make_process(&offender, "offender", stub_of(SOME_VECTOR), 0);
    run_processes((struct process *const[]){&offender}, 1);
    if (offender.regs.error_code == (SOME_VECTOR * 16 | GATE_ERROR))
        size = 16;
    release_process(&offender);
    return size;
}

static void interrupt(unsigned vector, unsigned gate_size) {
    struct end refused = DIES(VECTOR_GENERAL_PROTECTION, vector * gate_size | GATE_ERROR);
    struct end taken = DIES(vector, 0);
    bool its = is_for_programs(vector);
    if (!try_offender("int n", stub_of(vector), 0, 0, its ? taken : refused))
        print_format("# int %u\n", vector);
    EXPECT_EQUAL(offender.regs.rip, user_address(stub_of(vector)) + (its ? 2 : 0));
}

static void interrupt_all(void) {
    unsigned gate_size = find_gate_size();
    if (gate_size != 8)
        print_format("# this CPU's error codes show twice the vector\n");
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        if (vector == VECTOR_SYSCALL_GATE)
            continue; /* a call: others make it */
        if (world == WORLD_XEN_PV && gate_size == 16 && is_for_programs(2 * vector % VECTORS))
            print_format("# int %u skipped: Xen is told %u, and lets it through\n", vector,
                         2 * vector % VECTORS);
        else
            interrupt(vector, gate_size);
    }
}

/* ---- Flags ---- */

static volatile unsigned steps, kernel_steps, wrong_bases;

static uint64_t read_msr(uint32_t number) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return low | (uint64_t)high << 32;
}

static void write_msr(uint32_t number, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

enum { MSR_SFMASK = 0xc0000084, MSR_GS_BASE = 0xc0000101 };

/* The base first: if it is user mode's, nothing else may be looked at. */
static bool take_step(struct tp_regs *regs) {
    if (world == WORLD_NATIVE && read_msr(MSR_GS_BASE) != (uintptr_t)&cpus[0]) {
        wrong_bases++;
        return true;
    }
    steps++;
    if (is_from_user(regs))
        look_at_kernel();
    else
        kernel_steps++;
    return true;
}

static bool go_on(struct tp_regs *regs) {
    look_at_kernel();
    return is_from_user(regs);
}

static bool skip(struct tp_regs *regs) {
    look_at_kernel();
    if (is_from_user(regs))
        regs->rip += regs->vector == VECTOR_PAGE_FAULT ? LOAD_LENGTH : INVALID_LENGTH;
    return is_from_user(regs);
}

static void change_rcx(struct tp_regs *regs) { regs->rcx = 0; }

static void see_event(struct tp_regs *regs) {
    (void)regs;
    look_at_kernel();
}

/* Exceptions of programs that may go on behind them. */
static void go_on_behind_exceptions(bool yes) {
    set_exception_handler(VECTOR_DEBUG, yes ? take_step : NULL);
    set_exception_handler(VECTOR_BREAKPOINT, yes ? go_on : NULL);
    set_exception_handler(VECTOR_INVALID_OPCODE, yes ? skip : NULL);
    set_exception_handler(VECTOR_PAGE_FAULT, yes ? skip : NULL);
    event_hook = yes ? see_event : NULL;
    change_frame = change_rcx;
    steps = kernel_steps = wrong_bases = 0;
}

static void keep_flags(uint64_t asked, uint64_t kept) {
    go_on_behind_exceptions(true);
    if (!try_offender("flags", program_keeps_flags, asked | 2, kept | FLAGS_IF, EXITS(RESULT)))
        print_format("# flags %lx\n", asked);
    EXPECT_EQUAL(data_of(&offender)->rounds, ROUNDS);
    EXPECT(asked & FLAG_TF ? steps > ROUNDS * 20 : steps == 0);
    EXPECT(asked & FLAG_TF || kernel_steps == 0); /* some CPUs step once more behind a syscall */
    EXPECT_EQUAL(wrong_bases, 0);
    go_on_behind_exceptions(false);
}

static void keep_all_flags(void) {
    static const uint64_t flags[] = {FLAG_TF, FLAG_DF, FLAG_NT, FLAG_AC, FLAG_ID};
    uint64_t all = 0;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        keep_flags(flags[i], flags[i]);
        all |= flags[i];
    }
    keep_flags(all, all);
    keep_flags(0, 0);
    keep_flags(FLAGS_IF | FLAGS_IOPL, 0);
    keep_flags(all | FLAGS_IOPL, all);
}

/* ---- The shadow of mov ss ---- */

enum { BREAK_ON_ANY_ACCESS = 3 << 16, BYTES_4 = 3 << 18, ENABLED = 1 << 1 | 1 << 9 };

static bool set_data_breakpoint(bool on) {
    uint64_t address = on ? USER_DATA + offsetof(struct program_data, given) : 0;
    uint64_t control = on ? BREAK_ON_ANY_ACCESS | BYTES_4 | ENABLED : 1 << 10;
    if (world == WORLD_XEN_PV)
        return hypercall2(__HYPERVISOR_set_debugreg, 0, address) == 0 &&
               hypercall2(__HYPERVISOR_set_debugreg, 7, control) == 0;
    __asm__ volatile("mov %0, %%dr0" : : "r"(address));
    __asm__ volatile("mov %0, %%dr7" : : "r"(control));
    return true;
}

static void shadow(uint64_t flags, bool breakpoint) {
    go_on_behind_exceptions(true);
    if (breakpoint)
        EXPECT(set_data_breakpoint(true));
    if (!try_offender("mov ss", program_shadows, flags | 2, backend->user_selectors.stack, EXITS(RESULT)))
        print_format("# mov ss, flags %lx, breakpoint %u\n", flags, breakpoint);
    if (breakpoint)
        EXPECT(set_data_breakpoint(false));
    EXPECT_EQUAL(data_of(&offender)->rounds, ROUNDS);
    if (flags || (breakpoint && world == WORLD_NATIVE))
        EXPECT(steps > 0);
    else
        EXPECT(breakpoint || steps == 0); /* Xen keeps a #DB to itself that comes in its own entries */
    EXPECT_EQUAL(wrong_bases, 0);
    print_format("# mov ss, flags %lx, breakpoint %u: %u times #DB, %u in the kernel\n", flags, breakpoint,
                 steps, kernel_steps);
    go_on_behind_exceptions(false);
}

static void shadow_all(void) {
    shadow(0, false);
    shadow(FLAG_TF, false);
    shadow(0, true);
    shadow(FLAG_TF, true);
}

/* ---- load_gs ---- */

static unsigned gs_selector(void) {
    unsigned selector;
    __asm__ volatile("movl %%gs, %0" : "=r"(selector));
    return selector;
}

ONE_COPY static void load(unsigned selector, unsigned loaded) {
    bool masked = interrupts_are_masked();
    load_gs(selector);
    if (!EXPECT_EQUAL(gs_selector(), loaded))
        print_format("# load_gs of %x\n", selector);
    EXPECT(this_cpu() == &cpus[0]);
    if (world == WORLD_NATIVE)
        EXPECT_EQUAL(read_msr(MSR_GS_BASE), (uintptr_t)&cpus[0]);
    EXPECT_EQUAL(interrupts_are_masked(), masked);
}

static void load_all(void) {
    static const unsigned refused[] = {0x0b, 0x30, 0x33, 0x38, 0x0f, 0xfff3, 0xdff8};
    for (unsigned unmasked = 0; unmasked < 2; unmasked++) {
        if (unmasked)
            unmask_interrupts();
        for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
            load(backend->user_selectors.code, backend->user_selectors.code);
            load(refused[i], 0);
        }
        load(0, 0);
    }
    mask_interrupts();
    commit(&offences[0]);
}

/* ---- What would be without ---- */

static void leave_nt_set(void) {
    uint64_t mask = read_msr(MSR_SFMASK);
    write_msr(MSR_SFMASK, mask & ~(uint64_t)FLAG_NT);
    go_on_behind_exceptions(true);
    try_offender("NT in the kernel", program_keeps_flags, FLAG_NT | 2, FLAG_NT | FLAGS_IF,
                 DIES(VECTOR_GENERAL_PROTECTION, 0));
    go_on_behind_exceptions(false);
    write_msr(MSR_SFMASK, mask);
    EXPECT(take_wrong_states() > 0);
    keep_flags(FLAG_NT, FLAG_NT);
}

static void needs_the_mask(void) {
    if (world == WORLD_XEN_PV)
        SKIP("SFMASK is Xen's");
    try_in_both_forms(leave_nt_set);
}

#define IN_BOTH_FORMS(name, body)                                                                            \
    static void name(void) { try_in_both_forms(body); }
IN_BOTH_FORMS(commits_all, commit_all)
IN_BOTH_FORMS(interrupts_by_all, interrupt_all)
IN_BOTH_FORMS(keeps_flags, keep_all_flags)
IN_BOTH_FORMS(shadows, shadow_all)
IN_BOTH_FORMS(loads_gs, load_all)

KTAP_SUITE(entry_faults, {"what isn't a program's kills it", commits_all},
           {"int n, for all n", interrupts_by_all}, {"flags are the program's own", keeps_flags},
           {"mov ss in front of what enters the kernel", shadows},
           {"load_gs of what the CPU refuses", loads_gs}, {"control: NT in the kernel", needs_the_mask});
