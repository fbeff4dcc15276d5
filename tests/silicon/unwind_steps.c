/* SPDX-License-Identifier: MIT */
#include "unwind_steps.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <textpatch/engine.h>
#include <textpatch/live.h>
#include <textpatch/record.h>

#include "platform.h"
#include "silicon_port.h"
#include "stacks.h"
#include "unwind/tables.h"
#include "unwind_sites.h"

enum { BREAKPOINT_VECTOR = 3, KERNEL_CS = 8, STACK_SIZE = 1 << 16 };

/* As the CPU pushes them (Intel SDM vol. 3 section 6.14.2), to where rsp is even by 16. */
enum words { WORD_RIP, WORD_CS, WORD_RFLAGS, WORD_RSP, WORD_SS, WORDS, STACK_ALIGNMENT = 16 };

/* Where the code runs; where every second #BP is entered; where signals are handled. */
static _Alignas(STACK_ALIGNMENT) uint8_t run_stack[STACK_SIZE], breakpoint_stack[STACK_SIZE], signal_stack[STACK_SIZE];

static struct step_counts counts;
static bool steps, began, ends;
static void (*stepped)(void);
bool displaced_are_wrong;

/* The site that was met last, at its first byte. */
static uintptr_t site_at, site_sp;
static bool counts_from_sp;

/* ---- What the shadow asks for ---- */

void print_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
}

void panic(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static bool is_on(const uint8_t *start, uintptr_t sp, struct tp_stack *stack) {
    *stack = (struct tp_stack){(uintptr_t)start, (uintptr_t)start + STACK_SIZE};
    return sp >= stack->start && sp <= stack->end;
}

bool find_kernel_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)argument;
    return is_on(run_stack, sp, stack) || is_on(breakpoint_stack, sp, stack);
}

void print_step_counts(const struct step_counts *from) {
    const struct shadow_report *shadow = &from->shadow;
    printf("# %lu steps, %lu more outside of the program; %lu walks, %lu frames, %u deep\n", from->steps, from->outside,
           shadow->walks, shadow->frames, shadow->deepest);
    printf("# %lu steps inside sites, %lu of them with another rsp; %lu in trampolines\n", from->in_sites,
           from->displaced, from->in_trampolines);
    printf("# %lu #BP, %lu walks in their handlers, %lu moves; %lu would be lost if rip were taken as it is\n",
           from->breakpoints, shadow->in_handlers, shadow->moves, from->lost_at_int3);
    for (unsigned i = 0; i < STEP_FORMS; i++)
        printf("# steps at sites that held %s: %lu\n", step_form_text(i), from->at_sites[i]);
}

/* ---- Registers ---- */

#define EACH_REGISTER(X)                                                                                       \
    X(r15, R15) X(r14, R14) X(r13, R13) X(r12, R12) X(rbp, RBP) X(rbx, RBX) X(r11, R11) X(r10, R10) X(r9, R9)  \
    X(r8, R8) X(rdi, RDI) X(rsi, RSI) X(rdx, RDX) X(rcx, RCX) X(rax, RAX) X(rip, RIP) X(rflags, EFL) X(rsp, RSP)

static struct tp_regs read_registers(const greg_t *from) {
    return (struct tp_regs){
        .cs = KERNEL_CS,
#define READ(ours, theirs) .ours = (uint64_t)from[REG_##theirs],
        EACH_REGISTER(READ)
    };
}

static void write_registers(greg_t *to, const struct tp_regs *regs) {
#define WRITE(ours, theirs) to[REG_##theirs] = (greg_t)regs->ours;
    EACH_REGISTER(WRITE)
}

static uint64_t read_cs(void) {
    uint64_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs;
}

static uint64_t read_ss(void) {
    uint64_t ss;
    __asm__ volatile("mov %%ss, %0" : "=r"(ss));
    return ss;
}

/* ---- Sites ---- */

static void meet_site(const struct tp_regs *regs) {
    struct tp_orc_entry entry;
    counts.at_sites[step_form_at(regs)]++;
    site_at = regs->rip;
    site_sp = regs->rsp;
    counts_from_sp = tp_orc_find(regs->rip, &entry) && (entry.registers & TP_ORC_BASE) == TP_ORC_BASE_SP;
}

/* Whether only a table that speaks of the inside of sites can be right here. */
static bool count_step(const struct tp_regs *regs) {
    struct tp_site_info site;
    counts.steps++;
    if (!tp_describe_site(regs->rip, &site))
        return false;
    counts.in_trampolines += site.kind == TP_KIND_TRAMPOLINE;
    if (site.address == regs->rip) {
        meet_site(regs);
        return false;
    }
    counts.in_sites++;
    if (site.address != site_at || regs->rsp == site_sp || !counts_from_sp)
        return false;
    counts.displaced++;
    return true;
}

/* ---- Steps ---- */

static bool is_programs(uintptr_t ip) {
    return ip >= (uintptr_t)text_start && ip < (uintptr_t)text_end;
}

/* In a process it takes the process's own cs. */
static void let_return(const struct tp_regs *regs) {
    uint64_t *words = (uint64_t *)regs->rsp;
    if (foreseen_kind() != TP_INSN_IRET)
        return;
    words[WORD_CS] = read_cs();
    words[WORD_RFLAGS] |= STEP_FLAG;
}

static void compare(const struct tp_regs *regs) {
    uint64_t wrong = read_shadow_report().wrong;
    bool displaced = count_step(regs);
    compare_walk(regs);
    wrong = read_shadow_report().wrong - wrong;
    counts.misjudged += wrong != (displaced && displaced_are_wrong);
}

/* The instruction that is next; the shadow knows how it came to that. */
static void look_at(const struct tp_regs *regs, enum tp_insn_kind last) {
    foresee(regs);
    hide_step_flag(regs, last);
    compare(regs);
    let_return(regs);
}

static void take_step(struct tp_regs *regs) {
    enum tp_insn_kind last = foreseen_kind();
    if (ends) {
        steps = false;
        regs->rflags &= ~(uint64_t)STEP_FLAG;
        return;
    }
    if (!is_programs(regs->rip)) {
        counts.outside++;
        foresee_nothing();
        return;
    }
    if (began)
        shadow_step(regs);
    else
        begin_shadow(regs->rip, regs->rsp, regs->rbp);
    began = true;
    look_at(regs, last);
}

/* ---- #BP ---- */

static void push_words(struct tp_regs *regs, uintptr_t sp) {
    uint64_t *words = (uint64_t *)(sp / STACK_ALIGNMENT * STACK_ALIGNMENT) - WORDS;
    words[WORD_RIP] = regs->rip;
    words[WORD_CS] = KERNEL_CS;
    words[WORD_RFLAGS] = regs->rflags & ~(uint64_t)STEP_FLAG;
    words[WORD_RSP] = regs->rsp;
    words[WORD_SS] = read_ss();
    regs->rsp = (uintptr_t)words;
}

/* Both of the library's entries, each with and without a stack of its own. */
static void enter_breakpoint(struct tp_regs *regs) {
    static unsigned turn;
    bool own_stack = turn & 1, copied = turn & 2;
    turn++;
    push_words(regs, own_stack ? (uintptr_t)breakpoint_stack + STACK_SIZE : regs->rsp);
    regs->rip = (uintptr_t)(copied ? tp_breakpoint_entry_copied : tp_breakpoint_entry);
}

/* As if it were any other exception that came there. */
static bool is_lost(const struct tp_regs *regs) {
    struct tp_unwind frame;
    uintptr_t ip, sp;
    if (!innermost_call(&ip, &sp))
        return false;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    return !tp_unwind_next(&frame) || frame.ip != ip || frame.sp != sp;
}

/* The registers are #BP's: so a walk begins behind the int3, before anything is moved. */
static void step_breakpoint(struct tp_regs *regs) {
    struct tp_regs interrupted = *regs;
    interrupted.vector = BREAKPOINT_VECTOR;
    compare_walk(&interrupted);
    counts.breakpoints++;
    counts.lost_at_int3 += is_lost(regs);
    enter_breakpoint(regs);
    shadow_entry(regs, 0, true);
    look_at(regs, TP_INSN_OTHER);
}

static void take_breakpoint(struct tp_regs *regs) {
    if (steps)
        step_breakpoint(regs);
    else if (tp_handle_breakpoint(regs) == TP_BREAKPOINT_FOREIGN)
        panic("an int3 that is nobody's, at %lx", regs->rip - 1);
}

/* ---- SIGTRAP ---- */

/* Linux: TRAP_TRACE is #DB's, SI_KERNEL is #BP's. */
static void take_trap(int signal_number, siginfo_t *info, void *context) {
    ucontext_t *interrupted = context;
    greg_t *registers = interrupted->uc_mcontext.gregs;
    struct tp_regs regs = read_registers(registers);
    (void)signal_number;
    if (info->si_code == TRAP_TRACE)
        take_step(&regs);
    else
        take_breakpoint(&regs);
    write_registers(registers, &regs);
}

void start_trapping(void) {
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_sigaction = take_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGTRAP, &action, NULL) != 0)
        panic("silicon: SIGTRAP can't be handled");
}

/* ---- Runs ---- */

static void run_stepped(void) {
    set_step_flag();
    stepped();
    ends = true;
    __asm__ volatile("nop; nop" : : : "memory");
}

uint64_t steps_taken(void) {
    return counts.steps;
}

void step_on_cpu(void (*run)(void), struct step_counts *out) {
    counts = (struct step_counts){.steps = 0};
    reset_shadow();
    began = ends = false;
    site_at = 0;
    stepped = run;
    steps = true;
    run_on_stack(run_stepped, (uintptr_t)run_stack + STACK_SIZE);
    counts.shadow = read_shadow_report();
    *out = counts;
}
