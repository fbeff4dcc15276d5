/* SPDX-License-Identifier: MIT */
/*
 * What the two worlds do differently, inside the platform only. world.c gives
 * platform.h's functions by calling the backend that the entry chose.
 */
#ifndef PLATFORM_BACKEND_H
#define PLATFORM_BACKEND_H

#include "platform.h"

struct selectors {
	uint16_t code, stack;
};

struct backend {
	void (*write_console)(const char *text, size_t length);
	void (*exit)(int status);

	void (*set_exception_entry)(unsigned vector, uintptr_t entry);
	uintptr_t (*own_exception_entry)(unsigned vector);
	bool (*use_breakpoint_stack)(bool own);

	void (*mask_interrupts)(void);
	void (*unmask_interrupts)(void);
	bool (*interrupts_are_masked)(void);
	void (*wait_for_interrupt)(void);

	void (*start_timer)(unsigned hertz);
	void (*stop_timer)(void);
	void (*raise_event)(void);
	bool (*event_is_pending)(void);

	/* The (machine) frame behind an address of the image. */
	uint64_t (*frame_of)(uintptr_t address);
	/* Replaces the page table entry of an address in the image. */
	void (*set_page_entry)(uintptr_t address, uint64_t entry);
	/* Whether that leaves the TLBs of other CPUs as they are. */
	bool flushes_one_tlb;

	/* As frames have them. */
	struct selectors kernel_selectors, user_selectors;
	/* Where this CPU's entries from user mode begin; a multiple of 16. */
	void (*set_entry_stack)(uintptr_t top);
	/* What user mode will find. Canonical. */
	void (*set_user_gs_base)(uint64_t base);
	/* The kernel's own. */
	const uint64_t *(*top_table)(void);
	/* What has been filled in will be a page table, at the end of each space one at its top. */
	void (*protect_table)(const uint64_t *table);
	void (*adopt_top_table)(const uint64_t *table);
	/* The frame of the top table for user mode, where CR3's isn't for both. */
	void (*set_user_table)(uint64_t frame);

	/* How many CPUs there are; at most MAXIMUM_CPUS. */
	unsigned (*find_cpus)(void);
	/* Makes a CPU run enter_cpu(); it may take a while to get there. */
	void (*start_cpu)(struct cpu *cpu);
	/* Takes back one that hasn't got there. */
	void (*withdraw_cpu)(struct cpu *cpu);
	/* Makes another CPU run answer_call(). */
	void (*send_call)(unsigned index);
	bool (*send_nmi)(unsigned index);
	void (*start_cpu_timer)(unsigned hertz);
	void (*stop_cpu_timer)(void);
	uint64_t (*nanoseconds)(void);
};

extern const struct backend *backend;
extern const struct backend native_backend;
extern const struct backend xen_backend;

/* Gives the command line to command_line_has() and kernel_main(). */
void keep_command_line(const char *text);
const char *kept_command_line(void);

/* The common end of both entries. */
_Noreturn void enter_kernel_main(void);

/* Counts, and calls the suite's hook. */
void count_timer_tick(struct tp_regs *regs);
void count_event(struct tp_regs *regs);

/* lib/serialize.h; false: by CPUID, which every CPU has. */
void tp_serialize(bool has_serialize);

/* Before kernel_main(): nothing that needs another CPU. */
void set_up_smp(void);
/* Where a CPU that was started goes, with its own %gs and stack. */
_Noreturn void enter_cpu(void);
/* In the IPI. */
void answer_call(struct tp_regs *regs);
/* Calls `function` on the other CPUs, with a time-out that is long; false: one
 * didn't answer. */
bool call_patiently(void (*function)(void *), void *argument);
extern uint8_t boot_stack_top[];

/* Takes the alias window out of the page tables. */
void empty_text_window(void);

/* QEMU's isa-debug-exit: where there is one, this doesn't return. */
void tell_exit_port(int status);

/* The stubs (exceptions_native.asm, exceptions_xen.asm). */
enum { NATIVE_STUB_SIZE = 16, XEN_STUB_SIZE = 32 };
extern const uint8_t native_stubs[], xen_stubs[];

#endif
