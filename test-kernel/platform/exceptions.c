/* SPDX-License-Identifier: MIT */
/* Every vector of both worlds: a handler, or a report and the end. */
#include "backend.h"
#include "user.h"

struct probe_recovery {
	uint64_t faulting;
	uint64_t resume;
};

extern const struct probe_recovery probe_recoveries[], probe_recoveries_end[];

static exception_handler handlers[VECTORS];

static const char *const exception_names[EXCEPTION_VECTORS] = {
	"divide error", "debug", "non-maskable interrupt", "breakpoint",
	"overflow", "bound range", "invalid opcode", "device not available",
	"double fault", "coprocessor overrun", "invalid TSS", "segment not present",
	"stack fault", "general protection", "page fault", "reserved",
	"x87 error", "alignment check", "machine check", "SIMD error",
	"virtualization", "control protection", "reserved", "reserved",
	"reserved", "reserved", "reserved", "reserved",
	"hypervisor injection", "VMM communication", "security", "reserved",
};

exception_handler set_exception_handler(unsigned vector, exception_handler handler)
{
	exception_handler before;

	if (vector >= VECTORS)
		panic("no vector %u", vector);
	before = handlers[vector];
	handlers[vector] = handler;
	return before;
}

static bool recover_probe(struct tp_regs *regs)
{
	const struct probe_recovery *recovery;

	if (regs->vector != VECTOR_PAGE_FAULT && regs->vector != VECTOR_GENERAL_PROTECTION)
		return false;
	for (recovery = probe_recoveries; recovery < probe_recoveries_end; recovery++) {
		if (recovery->faulting == regs->rip) {
			regs->rip = recovery->resume;
			return true;
		}
	}
	return false;
}

static const char *name_of(uint64_t vector)
{
	if (vector < EXCEPTION_VECTORS)
		return exception_names[vector];
	return vector == VECTOR_FAILSAFE ? "failsafe callback" : "interrupt";
}

static void print_registers(const struct tp_regs *regs)
{
	print_format("rip %016lx cs  %04lx rflags %08lx\n", regs->rip, regs->cs, regs->rflags);
	print_format("rsp %016lx ss  %04lx cr2 %016lx\n", regs->rsp, regs->ss, fault_address());
	print_format("rax %016lx rbx %016lx rcx %016lx\n", regs->rax, regs->rbx, regs->rcx);
	print_format("rdx %016lx rsi %016lx rdi %016lx\n", regs->rdx, regs->rsi, regs->rdi);
	print_format("rbp %016lx r8  %016lx r9  %016lx\n", regs->rbp, regs->r8, regs->r9);
	print_format("r10 %016lx r11 %016lx r12 %016lx\n", regs->r10, regs->r11, regs->r12);
	print_format("r13 %016lx r14 %016lx r15 %016lx\n", regs->r13, regs->r14, regs->r15);
}

/* The first CPU reports; another one stops. A fault inside the report ends it:
 * there is nobody to report to. */
static void claim_report(void)
{
	static unsigned reporter;    /* index + 1 */
	unsigned none = 0, own = this_cpu()->index + 1;

	if (__atomic_compare_exchange_n(&reporter, &none, own, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		return;
	if (none == own)
		exit_kernel(1);
	for (;;)
		__asm__ volatile("pause" : : : "memory");
}

static _Noreturn void report_and_exit(const struct tp_regs *regs)
{
	claim_report();
	print_format("\nunhandled vector %lu (%s), error code %lx, CPU %u\n",
		     regs->vector, name_of(regs->vector), regs->error_code,
		     this_cpu()->index);
	print_registers(regs);
	exit_kernel(1);
}

void handle_exception(struct tp_regs *regs)
{
	exception_handler handler = handlers[regs->vector];

	if (!is_from_user(regs) && recover_probe(regs))
		return;
	if (handler && handler(regs))
		return;
	if (is_from_user(regs))
		kill_process(regs, name_of(regs->vector));
	else
		report_and_exit(regs);
}

TP_DEFINE_STATIC_CALL_NULL(trace_entry, entry_hook);
TP_DEFINE_STATIC_CALL_NULL(trace_exit, entry_hook);
entry_hook *exit_hook;
