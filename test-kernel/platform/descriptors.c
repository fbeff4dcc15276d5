/* SPDX-License-Identifier: MIT */
/*
 * GDT, TSS and IDT (Intel SDM volume 3A, 3.4.5, 6.14, 7.7). The GDT is one that
 * syscall and sysret can use: STAR = 0x18 << 48 | 0x08 << 32 gives kernel 0x08
 * and 0x10, user 0x28 and 0x20 (AMD APM volume 2, 6.1.1).
 */
#include "native.h"

enum {
	SELECTOR_KERNEL_CODE = 0x08,
	SELECTOR_KERNEL_DATA = 0x10,
	SELECTOR_TASK = 0x30,
	DESCRIPTORS = 8,
	INTERRUPT_GATE = 0x8e,
	GATE_FOR_USER = 0x60,
};

/* Numbers in the interrupt stack table (SDM volume 3A, 6.14.5). NMIs have one so
 * that they may come at any instruction. */
enum {
	NO_STACK = 0,
	DOUBLE_FAULT_STACK = 1,
	NMI_STACK = 2,
	BREAKPOINT_STACK = 3,
	STACKS = 3,
	STACK_SIZE = 16 * 1024,
};

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

static void fill_task(struct task_state *task, const struct cpu *cpu)
{
	task->rsp[0] = cpu->stack_top;
	for (unsigned i = 0; i < STACKS; i++)
		task->stacks[i] = (uintptr_t)stacks[cpu->index][i] + STACK_SIZE;
	task->io_map = sizeof(*task);
}

static void fill_descriptors(uint64_t *table, const struct task_state *task)
{
	uintptr_t base = (uintptr_t)task;

	table[1] = 0x00af9b000000ffff;   /* kernel code, 64-bit */
	table[2] = 0x00cf93000000ffff;   /* kernel data */
	table[3] = 0x00cffb000000ffff;   /* user code, 32-bit */
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
	bool for_user = vector == VECTOR_BREAKPOINT || vector == 4;
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
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TASK) : "memory");
}

void load_descriptors(struct cpu *cpu)
{
	unsigned index = cpu->index;

	fill_task(&tasks[index], cpu);
	fill_descriptors(descriptors[index], &tasks[index]);
	load_tables(descriptors[index]);
	reload_selectors();
}

void set_native_entry_stack(uintptr_t top)
{
	tasks[this_cpu()->index].rsp[0] = top;
}
