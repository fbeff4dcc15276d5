/* SPDX-License-Identifier: MIT */
/*
 * What a suite of the test kernel stands on: one interface, two worlds.
 *
 * The same ELF is started natively (PVH note or multiboot2) or by Xen as a PV
 * domain. Where Xen starts it as its PVH dom0 it is in the native world, too, but
 * for some devices (xen_pvh.c). The entry code sets `world` and the per-CPU base
 * before any C runs, then the platform readies the console, exceptions, paging and
 * interrupts and calls kernel_main() with interrupts masked, on a stack of 64 KiB.
 *
 * Everything here behaves alike in both worlds unless its comment says
 * otherwise. Nothing here starts another CPU: smp.h does.
 */
#ifndef PLATFORM_PLATFORM_H
#define PLATFORM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/regs.h>
#include <textpatch/static_call.h>

#include "xen.h"

enum world { WORLD_NATIVE, WORLD_XEN_PV };
extern enum world world;

/* Supplied by whoever links the platform. It must not return. */
void kernel_main(const char *command_line);

/* ---- Console and exit ------------------------------------------------- */

/* Conversions: d i u x X c s p %, with - 0 width .precision * and hh h l ll z. */
__attribute__((format(printf, 1, 2)))
void print_format(const char *format, ...);
void print_text(const char *text, size_t length);

/* 0 ends QEMU with status 33, anything else with status 3. Natively elsewhere the
 * last line, "# exit status N", says it, and Bochs ends. */
_Noreturn void exit_kernel(int status);

/* Prints "panic: " and the message, and exits with failure. */
_Noreturn __attribute__((format(printf, 1, 2)))
void panic(const char *format, ...);

/* ---- Command line ----------------------------------------------------- */

/* Whether the word stands between blanks in the command line. A module path in
 * front of it, as GRUB leaves one for dom0, is one more word. */
bool command_line_has(const char *word);
/* Copies what follows "name=" up to the next blank. False: no such word, or
 * it doesn't fit. */
bool command_line_value(const char *name, char *value, size_t size);

/* ---- Exceptions and interrupts ---------------------------------------- */

enum {
	VECTOR_DEBUG = 1,
	VECTOR_NMI = 2,
	VECTOR_BREAKPOINT = 3,
	VECTOR_OVERFLOW = 4,
	VECTOR_INVALID_OPCODE = 6,
	VECTOR_DOUBLE_FAULT = 8,
	VECTOR_GENERAL_PROTECTION = 13,
	VECTOR_PAGE_FAULT = 14,
	VECTOR_MACHINE_CHECK = 18,
	EXCEPTION_VECTORS = 32,
	VECTOR_TIMER = 32,      /* native: what the PIC delivers as IRQ 0 */
	VECTOR_CPU_TIMER = 48,  /* native: the local APIC's timer */
	VECTOR_EVENT = 64,      /* native: the self IPI; Xen: the event callback */
	VECTOR_FAILSAFE = 65,   /* Xen: the failsafe callback */
	VECTOR_CALL = 80,       /* native: smp.h's IPI */
	VECTOR_SYSCALL_GATE = 128, /* int 0x80 */
	VECTOR_SPURIOUS = 255,
	VECTORS = 256,
};

/*
 * Every vector arrives here with a complete frame. Interrupts (or upcalls) are
 * masked. Changing the frame changes what is resumed; the mask is restored from
 * the frame's IF in both worlds.
 */
void handle_exception(struct tp_regs *regs);

/* True: handled, resume. False, or no handler: print the registers and exit. */
typedef bool (*exception_handler)(struct tp_regs *regs);
/* Returns the handler that was there before. */
exception_handler set_exception_handler(unsigned vector, exception_handler handler);
/* Makes the CPU (or Xen) enter a vector at `entry` instead of at the platform's
 * own stub, on all CPUs, those that start later too. Natively the entry finds an
 * interrupt gate's frame; under Xen PV rcx and r11 lie below that frame, and the
 * other CPUs are called (smp.h): a mute one ends in a panic. Exceptions only. */
void set_exception_entry(unsigned vector, const void *entry);
/* Gives the vector its own stub back. */
void reset_exception_entry(unsigned vector);
/* Whether #BP is entered on a stack of its own (IST), on all CPUs. False, and
 * nothing done, under Xen PV, which has no such stacks. At first it isn't. */
bool use_breakpoint_stack(bool own);

/*
 * Hooks of the entry code (exceptions.asm), for tracing: a kernel's interrupt flag, its
 * locks. Called with interrupts masked, for everything that comes from user mode, NMIs
 * too, and for all exceptions and interrupts of the kernel but NMIs and those with a
 * stack of their own. In system calls below FIRST_COMPLETE_SYSCALL the frame's rbx, rbp and r12
 * to r15 are not filled.
 */
typedef void entry_hook(struct tp_regs *regs);
/* Behind every such entry. No target at first. */
TP_DECLARE_STATIC_CALL(trace_entry, entry_hook);
/* Before a return to where interrupts are unmasked. No target at first. */
TP_DECLARE_STATIC_CALL(trace_exit, entry_hook);
/* Before a return to user mode, unless NULL: through the pointer. */
extern entry_hook *exit_hook;

/* What the last page fault touched, as the op read_cr2 says. */
uintptr_t fault_address(void);

/* The platform's own, plain forms, for tests to hold others against. */
void mask_interrupts(void);
void unmask_interrupts(void);
bool interrupts_are_masked(void);
/* Unmasks, sleeps until an interrupt has run, and returns unmasked. */
void wait_for_interrupt(void);

/* A periodic tick on CPU 0, 19 to 1000 Hz: the PIT, or the same as smp.h's
 * start_cpu_timer() under Xen, PV or PVH. timer_ticks counts the ticks of all CPUs. */
void start_timer(unsigned hertz);
void stop_timer(void);
extern volatile uint64_t timer_ticks;

/* Sends this CPU an interrupt: a local APIC self IPI, or an event channel. While
 * interrupts are masked it stays pending. Delivery may take a few instructions:
 * wait for event_count, with pause. */
void raise_event(void);
bool event_is_pending(void);
extern volatile uint64_t event_count;

/* Called inside the interrupt, after counting; the frame is what was
 * interrupted. NULL: none. */
typedef void (*interrupt_hook)(struct tp_regs *regs);
extern interrupt_hook timer_hook;
extern interrupt_hook event_hook;

/* ---- Text ------------------------------------------------------------- */

extern const uint8_t text_start[], text_end[], image_end[];

/* Makes text read-only and executable, rodata read-only, in the page tables.
 * Before it text is writable and executable. Natively CR0.WP is set from the
 * start. The TLBs of all CPUs that answer are flushed. */
void protect_text(void);
/* Text is writable and executable again; rodata stays read-only. */
void unprotect_text(void);

/* A writable, not executable alias of image text; NULL when no run of the alias
 * window (4 MiB) is free. Natively it is good on the calling CPU only, under
 * Xen on all. Safe to call from several CPUs at once, not from an interrupt. */
void *map_text(uintptr_t address, size_t length);
/* Takes what map_text returned and the same length. */
void unmap_text(void *alias, size_t length);

/* Stores one byte; false if the store faulted. */
bool try_write_byte(void *address, uint8_t value);
/* Whether a store there succeeds, tried with a store that changes nothing. */
bool text_is_writable(uintptr_t address);

/* ---- Per-CPU data ----------------------------------------------------- */

enum { MAXIMUM_CPUS = 8 };

/* %gs points to one of these. Xen may not find vcpu_info across a page. */
struct cpu {
	struct cpu *self;
	uint32_t index;
	uint32_t unused;
	uint64_t free_for_suites[6];
	struct vcpu_info vcpu_info;    /* %gs:tp_xen_vcpu_info */
	uint64_t scratch;              /* the user's rsp while syscall's entry changes stacks */
	uintptr_t stack_top;           /* of the stack for entries from user mode */
	struct run *run;               /* user.c: what is run in user mode; NULL: nothing */
	uintptr_t runner_stack;        /* user.c: rsp of who runs it */
} __attribute__((aligned(256)));

_Static_assert(offsetof(struct cpu, vcpu_info) == 64, "exported as tp_xen_vcpu_info");
_Static_assert(offsetof(struct cpu, scratch) == 64 + 64, "platform.inc");
_Static_assert(offsetof(struct cpu, stack_top) == 64 + 64 + 8, "platform.inc");
_Static_assert(offsetof(struct cpu, runner_stack) == 64 + 64 + 24, "platform.inc");
_Static_assert(sizeof(struct cpu) == 256, "must not cross a page");

extern struct cpu cpus[MAXIMUM_CPUS];

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;
	__asm__("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

#endif
