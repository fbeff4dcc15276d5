/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_H
#define KERNEL_H

#include <textpatch/entry.h>
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>

/* layout.inc says the same for NASM. */
enum {
    USER = 0x40000000,
    USER_STACK = USER + 0x1000,
    USER_APIC = USER + 0x3000,
    USER_MAGIC = 0x75736572,
    PAGE = 4096,
};

enum {
    SELECTOR_KERNEL_CODE = 0x08,
    SELECTOR_KERNEL_DATA = 0x10,
    SELECTOR_USER_DATA = 0x23,
    SELECTOR_USER_CODE = 0x2b,
    SELECTOR_TASK = 0x30,
    SELECTOR_OF_NOTHING = 0x3b, /* the task's other half */
};

enum {
    VECTOR_DEBUG = 1,
    VECTOR_NMI = 2,
    VECTOR_BREAKPOINT = 3,
    VECTOR_INVALID_OPCODE = 6,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_GENERAL_PROTECTION = 13,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_MACHINE_CHECK = 18,
    VECTOR_TIMER = 32,
    VECTOR_GATE = 0x80,
};

enum { CALL_ADD = 0, CALL_LEAD_ASTRAY = 1, CALL_END = 2, CALL_EXCHANGE = 64 };

/* What run_user() returns if the program was killed: with the vector. */
#define KILLED 0x100

/* gs:0 */
struct cpu {
    struct cpu *self;
    uintptr_t kernel_stack; /* its top: for entries from user mode */
    uint64_t scratch;
    uint64_t resume;        /* rsp of run_user() */
};
_Static_assert(offsetof(struct cpu, kernel_stack) == 8, "layout.inc");
_Static_assert(offsetof(struct cpu, scratch) == 16, "layout.inc");
_Static_assert(offsetof(struct cpu, resume) == 24, "layout.inc");
extern struct cpu cpu;

/* The op table: swapgs, iret and sysret of entry.asm are sites of it. */
extern struct tp_ops pv_ops;

/* By ring (0: the kernel's, 1: user mode's) and vector. A page, which user mode may read. */
enum { VECTORS_COUNTED = 512 };
extern volatile uint32_t counts[2][VECTORS_COUNTED];
void count_entry(const struct tp_regs *regs);

/* descriptors.c: tables, stacks, `syscall`; the timer and the local APIC. */
extern uint8_t user_stack[PAGE];
void set_up_cpu(void);
void acknowledge_timer(void);

/* entry.asm */
unsigned long run_user(struct tp_regs *first);
_Noreturn void end_user(unsigned long result);

/* kernel.c */
void print(const char *text);
void print_hex(unsigned long value);
void require(bool condition, const char *what);

static inline void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

#endif
