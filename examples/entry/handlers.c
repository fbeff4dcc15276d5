/* SPDX-License-Identifier: MIT */
/* What this kernel does with each entry: counts it, and something that shows that the frame is whole. */
#include "kernel.h"

enum { FLAG_TF = 1 << 8, UD2_LENGTH = 2 };

extern const uint8_t stack_is_back[];

volatile uint32_t counts[2][VECTORS_COUNTED] __attribute__((aligned(PAGE)));

_Static_assert(sizeof counts == PAGE, "boot.asm maps it");

static bool is_from_user(const struct tp_regs *regs) {
    return regs->cs & 3;
}

/* Whatever was interrupted, gs:0 has to be the kernel's. */
void count_entry(const struct tp_regs *regs) {
    const struct cpu *self;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(self));
    require(self == &cpu, "GS is the kernel's in every handler");
    counts[is_from_user(regs)][regs->vector]++;
}

static void say(const struct tp_regs *regs, const char *fate) {
    print(is_from_user(regs) ? "  program: exception " : "  kernel: exception ");
    print_hex(regs->vector), print(" at "), print_hex(regs->rip), print(fate);
}

static void mend(struct tp_regs *regs) {
    if (regs->vector == VECTOR_INVALID_OPCODE)
        regs->rip += UD2_LENGTH;
    else
        regs->cs = SELECTOR_USER_CODE;
    say(regs, ": mended\n");
}

static void kill(const struct tp_regs *regs) {
    say(regs, ": killed\n");
    require(is_from_user(regs), "the kernel has no such exceptions");
    end_user(KILLED | regs->vector);
}

static void answer(struct tp_regs *regs, uint64_t number) {
    const uint64_t rbx = regs->rbx;
    switch (number) {
    case CALL_ADD: regs->rax = regs->rdi + regs->rsi; break;
    case CALL_LEAD_ASTRAY: regs->cs = SELECTOR_OF_NOTHING; break;
    case CALL_END: end_user(0);
    case CALL_EXCHANGE: regs->rbx = regs->r15, regs->r15 = rbx; break;
    }
}

void handle_exception(struct tp_regs *regs) {
    count_entry(regs);
    switch (regs->vector) {
    case VECTOR_TIMER: acknowledge_timer(); break;
    case VECTOR_NMI: break;
    case VECTOR_MACHINE_CHECK: break;
    case VECTOR_DEBUG: regs->rflags &= ~(uint64_t)FLAG_TF; break;
    case VECTOR_GATE: answer(regs, regs->rax); break;
    case VECTOR_INVALID_OPCODE: mend(regs); break;
    case VECTOR_DOUBLE_FAULT: /* program.asm keeps a stack that is good in rbp */
        regs->rsp = regs->rbp;
        regs->rip = (uintptr_t)stack_is_back;
        break;
    case VECTOR_GENERAL_PROTECTION: /* the failing iret of CALL_LEAD_ASTRAY, as an exception of who was returned to */
        if (is_from_user(regs) && regs->cs == SELECTOR_OF_NOTHING)
            mend(regs);
        else
            kill(regs);
        break;
    default: kill(regs);
    }
}

void handle_syscall(struct tp_regs *regs) {
    count_entry(regs);
    answer(regs, regs->error_code);
}
