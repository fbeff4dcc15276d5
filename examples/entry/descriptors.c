/* SPDX-License-Identifier: MIT */
/* GDT, TSS, IDT (Intel SDM vol. 3 sections 3.4.5, 7.7, 6.14), `syscall`, and where interrupts come from. */
#include "kernel.h"

enum { NO_STACK, DEBUG_STACK, NMI_STACK, DOUBLE_FAULT_STACK, MACHINE_CHECK_STACK, STACKS };
enum { STACK_SIZE = 8192, STUB_SIZE = 16, STUBS = 48, GATES = 256 };
enum { INTERRUPT_GATE = 0x8e, FOR_USER = 0x60 };
enum { EFER = 0xc0000080, STAR, LSTAR, SFMASK = 0xc0000084, GS_BASE = 0xc0000101, KERNEL_GS_BASE };

/* entry.asm, and the library's */
extern const uint8_t stubs[], debug_entry[], nmi_entry[], double_fault_entry[], machine_check_entry[];
extern const uint8_t gate_entry[], syscall_entry[];

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct task {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, stacks[7], reserved2; /* stacks[0] is the one that gates call 1 */
    uint16_t reserved3, io_map;
} __attribute__((packed));

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct cpu cpu;
uint8_t user_stack[PAGE] __attribute__((aligned(PAGE)));
static uint8_t kernel_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t stacks[STACKS][STACK_SIZE] __attribute__((aligned(16)));
static struct task task;
static struct gate gates[GATES];
static uint64_t descriptors[8] = {
    0,
    0x00af9b000000ffff, /* kernel code */
    0x00cf93000000ffff, /* kernel data */
    0, /* no 32-bit user code, whose syscall would come by CSTAR; sysret's order wants the slot */
    0x00cff3000000ffff, /* user data */
    0x00affb000000ffff, /* user code */
};

static void write_msr(uint32_t number, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static uint64_t read_msr(uint32_t number) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return low | (uint64_t)high << 32;
}

static void set_gate(unsigned vector, const void *entry, unsigned stack, unsigned rights) {
    uintptr_t offset = (uintptr_t)entry;
    gates[vector] = (struct gate){
        .offset_low = (uint16_t)offset,
        .selector = SELECTOR_KERNEL_CODE,
        .stack = (uint8_t)stack,
        .type = (uint8_t)(INTERRUPT_GATE | rights),
        .offset_middle = (uint16_t)(offset >> 16),
        .offset_high = (uint32_t)(offset >> 32),
    };
}

static void fill_gates(void) {
    for (unsigned vector = 0; vector < STUBS; vector++)
        set_gate(vector, stubs + vector * STUB_SIZE, NO_STACK, 0);
    set_gate(VECTOR_DEBUG, debug_entry, DEBUG_STACK, 0);
    set_gate(VECTOR_NMI, nmi_entry, NMI_STACK, 0);
    set_gate(VECTOR_BREAKPOINT, (const void *)tp_breakpoint_entry, NO_STACK, FOR_USER);
    set_gate(VECTOR_DOUBLE_FAULT, double_fault_entry, DOUBLE_FAULT_STACK, 0);
    set_gate(VECTOR_MACHINE_CHECK, machine_check_entry, MACHINE_CHECK_STACK, 0);
    set_gate(VECTOR_GATE, gate_entry, NO_STACK, FOR_USER);
}

/* The two words above each IST stack are how paranoid entries know which GS is the kernel's. */
static void fill_task(void) {
    for (unsigned i = 1; i < STACKS; i++) {
        struct tp_ist_top *top = (struct tp_ist_top *)(stacks[i] + STACK_SIZE) - 1;
        *top = (struct tp_ist_top){.gs_base = (uintptr_t)&cpu};
        task.stacks[i - 1] = (uintptr_t)top;
    }
    task.rsp[0] = cpu.kernel_stack;
    task.io_map = sizeof task;
    uint64_t base = (uintptr_t)&task;
    descriptors[6] = (sizeof task - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    descriptors[7] = base >> 32;
}

static void load_tables(void) {
    const struct table_pointer segments = {sizeof descriptors - 1, (uintptr_t)descriptors};
    const struct table_pointer interrupts = {sizeof gates - 1, (uintptr_t)gates};
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2" : : "m"(segments), "m"(interrupts), "r"(SELECTOR_TASK) : "memory");
    __asm__ volatile("movl %0, %%ss; movl %0, %%ds; movl %0, %%es" : : "r"(SELECTOR_KERNEL_DATA) : "memory");
    __asm__ volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0));
}

/* sysret loads cs and ss from the upper half of STAR, 16 and 8 above it (AMD APM vol. 2 section 6.1.1). */
static void allow_syscall(void) {
    write_msr(STAR, 0x1bull << 48 | (uint64_t)SELECTOR_KERNEL_CODE << 32);
    write_msr(LSTAR, (uintptr_t)syscall_entry);
    write_msr(SFMASK, TP_SYSCALL_FLAGS_MASK);
    write_msr(EFER, read_msr(EFER) | 1);
}

/* Other lines of the PICs stay masked; LINT0 lets them through to this CPU. */
static void start_timer(void) {
    static const uint8_t pics[][2] = {
        {0x20, 0x11}, {0xa0, 0x11}, {0x21, VECTOR_TIMER}, {0xa1, VECTOR_TIMER + 8}, {0x21, 4},
        {0xa1, 2},    {0x21, 1},    {0xa1, 1},            {0x21, 0xfe},             {0xa1, 0xff},
        {0x43, 0x34}, {0x40, 0x00}, {0x40, 0x08}, /* channel 0, every 0x800 / 1193182 Hz */
    };
    volatile uint32_t *apic = (volatile uint32_t *)(uintptr_t)USER_APIC;
    for (unsigned i = 0; i < sizeof pics / sizeof pics[0]; i++)
        out8(pics[i][0], pics[i][1]);
    apic[0x350 / 4] = 7 << 8;                   /* LINT0: what the PIC says */
    apic[0xf0 / 4] = 1 << 8 | (VECTOR_TIMER + 15); /* on; its spurious vector has a stub, too */
    apic[0x310 / 4] = apic[0x20 / 4];           /* whom program.asm's commands are for: this CPU */
}

void acknowledge_timer(void) {
    out8(0x20, 0x20);
}

void set_up_cpu(void) {
    cpu.self = &cpu;
    cpu.kernel_stack = (uintptr_t)(kernel_stack + STACK_SIZE);
    *(volatile uint32_t *)user_stack = USER_MAGIC;
    fill_gates();
    fill_task();
    load_tables();
    write_msr(GS_BASE, (uintptr_t)&cpu);
    write_msr(KERNEL_GS_BASE, USER_STACK); /* user mode's, as long as the kernel runs */
    allow_syscall();
    start_timer();
}
