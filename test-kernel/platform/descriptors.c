/* SPDX-License-Identifier: MIT */
/*
 * GDT, TSS and IDT (Intel SDM volume 3A, 3.4.5, 6.14, 7.7). The GDT is one that
 * syscall and sysret can use: STAR = 0x1b << 48 | 0x08 << 32 gives kernel 0x08
 * and 0x10, user 0x2b and 0x23 (AMD APM volume 2, 6.1.1).
 */
#include <textpatch/entry.h>

#include "native.h"
#include "stacks.h"

enum {
	SELECTOR_KERNEL_CODE = 0x08,
	SELECTOR_KERNEL_DATA = 0x10,
	SELECTOR_SYSRET = 0x1b,    /* sysret: code 16 above, stack 8 above */
	SELECTOR_TASK = 0x30,
	DESCRIPTORS = 8,
	INTERRUPT_GATE = 0x8e,
	GATE_FOR_USER = 0x60,
};

/* Numbers in the interrupt stack table (SDM volume 3A, 6.14.5): for what may come at
 * any instruction, where the stack may be user mode's. */
enum {
	NO_STACK = 0,
	DOUBLE_FAULT_STACK = 1,
	NMI_STACK = 2,
	BREAKPOINT_STACK = 3,
	DEBUG_STACK = 4,
	MACHINE_CHECK_STACK = 5,
	STACKS = 5,
	STACK_SIZE = 16 * 1024,
};

enum {
	MSR_EFER = 0xc0000080, EFER_SCE = 1 << 0,
	MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_SFMASK = 0xc0000084,
	MSR_KERNEL_GS_BASE = 0xc0000102,
};

extern const uint8_t native_syscall[];

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

union gate_bytes {
	struct gate gate;
	uint64_t words[2];
};

struct task_state {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t stacks[7];
	uint64_t reserved2;
	uint16_t reserved3, io_map;
} __attribute__((packed));

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static union gate_bytes gates[VECTORS] __attribute__((aligned(16)));
static uint64_t descriptors[MAXIMUM_CPUS][DESCRIPTORS] __attribute__((aligned(16)));
static struct task_state tasks[MAXIMUM_CPUS] __attribute__((aligned(16)));
static uint8_t stacks[MAXIMUM_CPUS][STACKS][STACK_SIZE] __attribute__((aligned(16)));
static uint8_t breakpoint_stack = NO_STACK;

/* The stack's end, less what the paranoid entries want to find there. */
static uintptr_t make_stack(uint8_t *stack, const struct cpu *cpu)
{
	struct tp_ist_top *top = (struct tp_ist_top *)(stack + STACK_SIZE) - 1;

	*top = (struct tp_ist_top){ .gs_base = (uintptr_t)cpu };
	return (uintptr_t)top;
}

static void fill_task(struct task_state *task, const struct cpu *cpu)
{
	task->rsp[0] = cpu->stack_top;
	for (unsigned i = 0; i < STACKS; i++)
		task->stacks[i] = make_stack(stacks[cpu->index][i], cpu);
	task->io_map = sizeof(*task);
}

static void fill_descriptors(uint64_t *table, const struct task_state *task)
{
	uintptr_t base = (uintptr_t)task;

	table[1] = 0x00af9b000000ffff;   /* kernel code, 64-bit */
	table[2] = 0x00cf93000000ffff;   /* kernel data */
	table[3] = 0;                    /* no 32-bit user code: its syscall comes by CSTAR */
	table[4] = 0x00cff3000000ffff;   /* user data */
	table[5] = 0x00affb000000ffff;   /* user code, 64-bit */
	table[6] = (sizeof(*task) - 1) | (base & 0xffffff) << 16 |
		   0x89ull << 40 | (base >> 24 & 0xff) << 56;
	table[7] = base >> 32;
}

static uint8_t stack_of(unsigned vector)
{
	switch (vector) {
	case VECTOR_DOUBLE_FAULT:
		return DOUBLE_FAULT_STACK;
	case VECTOR_NMI:
		return NMI_STACK;
	case VECTOR_BREAKPOINT:
		return breakpoint_stack;
	case VECTOR_DEBUG:
		return DEBUG_STACK;
	case VECTOR_MACHINE_CHECK:
		return MACHINE_CHECK_STACK;
	default:
		return NO_STACK;
	}
}

/* Other CPUs may be using the gate: all that can differ between two entries of
 * the image lies in the first 8 bytes, which are stored at once. */
static void store_gate(union gate_bytes *place, union gate_bytes gate)
{
	place->words[1] = gate.words[1];
	__atomic_store_n(&place->words[0], gate.words[0], __ATOMIC_RELEASE);
}

void set_native_entry(unsigned vector, uintptr_t entry)
{
	bool for_user = vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW ||
			vector == VECTOR_SYSCALL_GATE;
	union gate_bytes gate = { .gate = {
		.offset_low = (uint16_t)entry,
		.selector = SELECTOR_KERNEL_CODE,
		.stack = stack_of(vector),
		.type = INTERRUPT_GATE | (for_user ? GATE_FOR_USER : 0),
		.offset_middle = (uint16_t)(entry >> 16),
		.offset_high = (uint32_t)(entry >> 32),
	} };

	store_gate(&gates[vector], gate);
}

uintptr_t native_entry_of(unsigned vector)
{
	struct gate gate = gates[vector].gate;

	return gate.offset_low | (uintptr_t)gate.offset_middle << 16 |
	       (uintptr_t)gate.offset_high << 32;
}

bool use_native_breakpoint_stack(bool own)
{
	union gate_bytes gate = gates[VECTOR_BREAKPOINT];

	breakpoint_stack = own ? BREAKPOINT_STACK : NO_STACK;
	gate.gate.stack = breakpoint_stack;
	store_gate(&gates[VECTOR_BREAKPOINT], gate);
	return true;
}

void set_up_gates(void)
{
	for (unsigned vector = 0; vector < VECTORS; vector++)
		set_native_entry(vector, native_backend.own_exception_entry(vector));
}

static void load_tables(const uint64_t *table)
{
	struct table_pointer segments = { DESCRIPTORS * 8 - 1, (uintptr_t)table };
	struct table_pointer interrupts = { sizeof(gates) - 1, (uintptr_t)gates };

	__asm__ volatile("lgdt %0" : : "m"(segments) : "memory");
	__asm__ volatile("lidt %0" : : "m"(interrupts) : "memory");
}

/* gs is left alone: loading it would clear its base. */
static void reload_selectors(void)
{
	uint64_t scratch;

	__asm__ volatile("leaq 1f(%%rip), %0\n\t"
			 "pushq %1\n\t"
			 "pushq %0\n\t"
			 "lretq\n"
			 "1:"
			 : "=&r"(scratch)
			 : "i"(SELECTOR_KERNEL_CODE)
			 : "memory");
	__asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%ss"
			 : : "r"(SELECTOR_KERNEL_DATA) : "memory");
	/* At first it is 64 KiB from address 0 on, for user mode's selectors, too. */
	__asm__ volatile("lldt %w0" : : "r"(0) : "memory");
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TASK) : "memory");
}

static uint64_t read_msr(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return low | (uint64_t)high << 32;
}

static void write_msr(uint32_t number, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* AMD APM volume 2, 6.1.1. */
static void enable_syscall(void)
{
	write_msr(MSR_STAR, (uint64_t)SELECTOR_SYSRET << 48 |
			    (uint64_t)SELECTOR_KERNEL_CODE << 32);
	write_msr(MSR_LSTAR, (uintptr_t)native_syscall);
	write_msr(MSR_SFMASK, TP_SYSCALL_FLAGS_MASK);
	write_msr(MSR_KERNEL_GS_BASE, 0);
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SCE);
}

void load_descriptors(struct cpu *cpu)
{
	unsigned index = cpu->index;

	fill_task(&tasks[index], cpu);
	fill_descriptors(descriptors[index], &tasks[index]);
	load_tables(descriptors[index]);
	reload_selectors();
	enable_syscall();
}

/* What the paranoid entries find above their frames is no part of a stack. */
bool find_interrupt_stack(uintptr_t sp, struct tp_stack *stack)
{
	bool found = find_stack_among(sp, (uintptr_t)stacks, MAXIMUM_CPUS * STACKS, STACK_SIZE,
				      stack);

	stack->end -= sizeof(struct tp_ist_top);
	return found && is_on_stack(sp, stack);
}

void set_native_entry_stack(uintptr_t top)
{
	tasks[this_cpu()->index].rsp[0] = top;
}

uintptr_t set_native_nmi_stack(uintptr_t top)
{
	struct task_state *task = &tasks[this_cpu()->index];
	uintptr_t before = task->stacks[NMI_STACK - 1];

	task->stacks[NMI_STACK - 1] = top;
	__asm__ volatile("" : : : "memory");    /* before an NMI that is sent next */
	return before;
}
