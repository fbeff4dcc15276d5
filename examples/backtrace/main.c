/* SPDX-License-Identifier: MIT */
/*
 * A stack trace that is taken between pushf and pop: at every instruction of an inlined op, by single steps.
 *
 * Each function on the way notes its return address, which the compiler knows: the traces are held against that.
 */
#include <textpatch/op.h>
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "backend.h"
#include "platform.h"

enum { FLAG_TF = 1 << 8, STACK_SIZE = 64 * 1024, DEEP = 16 };

static struct {
    unsigned long (*save_fl)(void);
} ops = {tp_native_save_fl};

TP_OPS(backtrace) {
    TP_OP(ops.save_fl);
}

static uintptr_t callers[] = {0, 0, 0}; /* of read_flags(), schedule(), run_task() */

#define NOTE_CALLER(number) (*(volatile uintptr_t *)&callers[number] = (uintptr_t)__builtin_return_address(0))

static void require(bool condition, const char *what) {
    if (condition)
        return;
    print_format("FAILED: %s\n", what);
    exit_kernel(1);
}

/* ---- Who is called ---- */

static void set_step_flag(bool on) {
    if (on)
        __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(FLAG_TF) : "memory", "cc");
    else
        __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~FLAG_TF) : "memory", "cc");
}

__attribute__((noinline)) unsigned long read_flags(void);
__attribute__((noinline)) unsigned long schedule(unsigned long task);
__attribute__((noinline)) unsigned long run_task(unsigned long task);

/* What is added behind each call keeps it from becoming a jump. */
unsigned long read_flags(void) {
    NOTE_CALLER(0);
    set_step_flag(true);
    unsigned long flags = TP_CALLEE_SAVE_CALL(ops.save_fl);
    set_step_flag(false);
    return flags | 1;
}

unsigned long schedule(unsigned long task) {
    unsigned long copies[4] = {task, task, task, task};
    NOTE_CALLER(1);
    __asm__ volatile("" : : "r"(copies) : "memory");
    return read_flags() + copies[task & 3];
}

unsigned long run_task(unsigned long task) {
    NOTE_CALLER(2);
    return schedule(task) ^ task;
}

/* ---- The trace ---- */

static bool find_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)argument;
    *stack = (struct tp_stack){(uintptr_t)boot_stack_top - STACK_SIZE, (uintptr_t)boot_stack_top};
    return sp >= stack->start && sp <= stack->end;
}

static unsigned traces, wrong;

static void print_trace(const struct tp_regs *regs) {
    struct tp_unwind frame;
    unsigned depth = 0;
    bool right = true;
    tp_unwind_start(&frame, regs, find_stack, NULL);
    do {
        print_format("  %s%lx\n", frame.reliable ? "" : "? ", tp_unwind_place(&frame));
        if (depth > 0 && depth <= sizeof callers / sizeof *callers)
            right &= frame.ip == callers[depth - 1];
        depth++;
    } while (depth < DEEP && tp_unwind_next(&frame));
    right &= depth > sizeof callers / sizeof *callers && frame.end == TP_UNWIND_OUTERMOST && frame.reliable;
    traces++;
    wrong += !right;
}

/* The instruction that comes next. */
static void print_next(const struct tp_site_info *site, uintptr_t ip) {
    print_format("at byte %lu of the site at %lx, which holds", ip - site->address, site->address);
    for (unsigned i = 0; i < site->length; i++)
        print_format(" %s%02x", site->address + i == ip ? "> " : "", ((const uint8_t *)site->address)[i]);
    print_format("\n");
}

static bool handle_step(struct tp_regs *regs) {
    struct tp_site_info site;
    if (!tp_describe_site(regs->rip, &site))
        return true;
    print_next(&site, regs->rip);
    print_trace(regs);
    return true;
}

void kernel_main(const char *command_line) {
    static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text};
    static struct tp_image kernel;
    static struct tp_unwind_table table;
    (void)command_line;

    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel) && !tp_apply(), "the library takes the kernel's sites");
    if (tp_kernel_unwind_table(&table) == TP_ERR_EMPTY_TABLE) {
        print_format("This kernel was linked without the host tool, so it has no unwind table.\n");
        exit_kernel(0);
    }
    require(!tp_unwind_add(&table), "the library takes the table");
    set_exception_handler(VECTOR_DEBUG, handle_step);
    (void)run_task(1);
    require(traces >= 2, "the op is stepped through");
    require(wrong == 0, "each trace has all callers, and ends where the kernel was entered");
    exit_kernel(0);
}
