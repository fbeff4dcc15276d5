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
	DOUBLE_FAULT_STACK = 1,
	DOUBLE_FAULT_STACK_SIZE = 4096,
};

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
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

extern uint8_t boot_stack_top[];

static struct gate gates[VECTORS] __attribute__((aligned(16)));
static uint64_t descriptors[MAXIMUM_CPUS][DESCRIPTORS] __attribute__((aligned(16)));
static struct task_state tasks[MAXIMUM_CPUS] __attribute__((aligned(16)));
static uint8_t double_fault_stacks[MAXIMUM_CPUS][DOUBLE_FAULT_STACK_SIZE]
	__attribute__((aligned(16)));

static void fill_task(struct task_state *task, unsigned index)
{
	task->rsp[0] = (uintptr_t)boot_stack_top;
	task->stacks[DOUBLE_FAULT_STACK - 1] = (uintptr_t)double_fault_stacks[index + 1];
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

void set_native_entry(unsigned vector, uintptr_t entry)
{
	bool for_user = vector == VECTOR_BREAKPOINT || vector == 4;

	gates[vector] = (struct gate){
		.offset_low = (uint16_t)entry,
		.selector = SELECTOR_KERNEL_CODE,
		.stack = vector == VECTOR_DOUBLE_FAULT ? DOUBLE_FAULT_STACK : 0,
		.type = INTERRUPT_GATE | (for_user ? GATE_FOR_USER : 0),
		.offset_middle = (uint16_t)(entry >> 16),
		.offset_high = (uint32_t)(entry >> 32),
	};
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

	for (unsigned vector = 0; vector < VECTORS; vector++)
		set_native_entry(vector, native_backend.own_exception_entry(vector));
	fill_task(&tasks[index], index);
	fill_descriptors(descriptors[index], &tasks[index]);
	load_tables(descriptors[index]);
	reload_selectors();
}
