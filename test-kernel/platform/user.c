/* SPDX-License-Identifier: MIT */
/* Processes: whose registers are in the frame, whose pages are loaded. */
#include "user.h"
#include "backend.h"
#include "user_space.h"

extern const uint8_t user_text_start[], user_text_end[], user_last_end[];

/* enter_user.asm */
void enter_user(const struct tp_regs *first);
extern const uint8_t left_user[];
void set_entry_stack(uintptr_t top);

enum {
	FLAGS_ALWAYS = 1 << 1,
	FLAGS_INTERRUPTS = 1 << 9,
};

/* What a CPU runs: nobody in it has ended. It lies on the stack of run_processes(). */
struct run {
	struct process *processes[MAXIMUM_PROCESSES];
	unsigned count, current;
};

static syscall_handler answer;

uint64_t user_address(const void *label)
{
	const uint8_t *place = label;

	if (place >= user_text_start && place < user_text_end)
		return USER_TEXT + (uint64_t)(place - user_text_start);
	if (place >= user_text_end && place < user_last_end)
		return USER_LAST_PAGE + (uint64_t)(place - user_text_end);
	panic("%p isn't user mode's", label);
}

const void *user_label(uint64_t address)
{
	uint64_t in_text = address - USER_TEXT, in_last = address - USER_LAST_PAGE;

	if (in_text < (uint64_t)(user_text_end - user_text_start))
		return user_text_start + in_text;
	if (in_last < (uint64_t)(user_last_end - user_text_end))
		return user_text_end + in_last;
	return NULL;
}

static void begin_process(struct process *process, const char *name)
{
	unsigned space = take_space();

	*process = (struct process){
		.name = name,
		.state = PROCESS_READY,
		.data = data_of_space(space),
		.space = space,
	};
}

void make_process(struct process *process, const char *name, const void *entry, uint64_t argument)
{
	begin_process(process, name);
	process->regs = (struct tp_regs){
		.rdi = argument,
		.rip = user_address(entry),
		.cs = backend->user_selectors.code,
		.rflags = FLAGS_ALWAYS | FLAGS_INTERRUPTS,
		.rsp = USER_STACK_TOP,
		.ss = backend->user_selectors.stack,
	};
}

void release_process(struct process *process)
{
	if (process->state == PROCESS_RUNNING)
		panic("program %s is released while it runs", process->name);
	give_space(process->space);
}

bool is_from_user(const struct tp_regs *regs)
{
	return (regs->cs & 3) == 3;
}

struct process *current_process(void)
{
	const struct run *run = this_cpu()->run;

	return run && run->count > 0 ? run->processes[run->current] : NULL;
}

void set_entry_stack(uintptr_t top)
{
	this_cpu()->stack_top = top;
	backend->set_entry_stack(top);
}

/* Vector and error code say why the kernel was entered, whoever goes on. */
static void resume(struct tp_regs *regs, const struct tp_regs *from)
{
	uint64_t vector = regs->vector, error_code = regs->error_code;

	*regs = *from;
	regs->vector = vector;
	regs->error_code = error_code;
}

static void resume_current(struct tp_regs *regs)
{
	struct process *process = current_process();

	process->state = PROCESS_RUNNING;
	resume(regs, &process->regs);
	load_space(process->space);
	backend->set_user_gs_base(process->gs_base);
}

/* Behind enter_user(). */
static void resume_kernel(struct tp_regs *regs)
{
	const struct tp_regs kernel = {
		.rip = (uintptr_t)left_user,
		.cs = backend->kernel_selectors.code,
		.rflags = FLAGS_ALWAYS,
		.rsp = this_cpu()->runner_stack,
		.ss = backend->kernel_selectors.stack,
	};

	resume(regs, &kernel);
}

static void add_process(struct run *run, struct process *process)
{
	if (run->count == MAXIMUM_PROCESSES)
		panic("CPU %u runs no more than %u processes", this_cpu()->index,
		      MAXIMUM_PROCESSES);
	if (process->state != PROCESS_READY)
		panic("program %s isn't ready", process->name);
	run->processes[run->count++] = process;
}

/* The next one becomes current. */
static void remove_current(struct run *run)
{
	run->count--;
	for (unsigned i = run->current; i < run->count; i++)
		run->processes[i] = run->processes[i + 1];
	if (run->current == run->count)
		run->current = 0;
}

static void run_all(struct run *run)
{
	uint64_t tables = loaded_tables();
	uintptr_t stack = this_cpu()->stack_top;
	struct tp_regs first = { 0 };

	this_cpu()->run = run;
	resume_current(&first);
	enter_user(&first);
	this_cpu()->run = NULL;
	load_tables(tables);
	set_entry_stack(stack);
}

void run_processes(struct process *const *processes, unsigned count)
{
	bool masked = interrupts_are_masked();
	struct run run = { .count = 0 };

	if (this_cpu()->run)
		panic("CPU %u runs processes already", this_cpu()->index);
	for (unsigned i = 0; i < count; i++)
		add_process(&run, processes[i]);
	mask_interrupts();
	if (count > 0)
		run_all(&run);
	if (!masked)
		unmask_interrupts();
}

static bool is_complete(const struct tp_regs *regs)
{
	return regs->vector != TP_VECTOR_SYSCALL || regs->error_code >= FIRST_COMPLETE_SYSCALL;
}

static struct run *require_run(const struct tp_regs *regs)
{
	if (!this_cpu()->run || !is_from_user(regs))
		panic("no process is behind rip %lx", regs->rip);
	if (!is_complete(regs))
		panic("system call %lu can't change who goes on", regs->error_code);
	return this_cpu()->run;
}

void switch_process(struct tp_regs *regs)
{
	struct run *run = require_run(regs);
	struct process *process = current_process();

	if (run->count == 1)
		return;
	process->regs = *regs;
	process->state = PROCESS_READY;
	run->current = (run->current + 1) % run->count;
	resume_current(regs);
}

void fork_process(struct tp_regs *regs, struct process *child, const char *name)
{
	struct run *run = require_run(regs);
	const struct process *parent = current_process();

	begin_process(child, name);
	for (size_t i = 0; i < USER_DATA_SIZE; i++)
		child->data[i] = parent->data[i];
	child->regs = *regs;
	child->regs.rax = 0;
	child->gs_base = parent->gs_base;
	add_process(run, child);
	regs->rax = 1;
}

static void end_process(struct tp_regs *regs, enum process_state state, uint64_t result)
{
	struct run *run = require_run(regs);
	struct process *process = current_process();

	process->regs = *regs;
	process->result = result;
	remove_current(run);
	if (run->count > 0)
		resume_current(regs);
	else
		resume_kernel(regs);
	__atomic_store_n(&process->state, state, __ATOMIC_RELEASE);
}

void exit_process(struct tp_regs *regs, uint64_t result)
{
	end_process(regs, PROCESS_EXITED, result);
}

/* A frame that isn't complete can't become another's: the program goes on where it
 * faults, and comes back with one that is. */
void kill_process(struct tp_regs *regs, const char *reason)
{
	struct process *process = current_process();

	if (!is_complete(regs)) {
		process->doom = reason;
		regs->rip = 0;
		return;
	}
	require_run(regs);
	if (process->doom)
		reason = process->doom;
	print_format("program %s killed on CPU %u: %s, rip %lx, rsp %lx, error code %lx\n",
		     process->name, this_cpu()->index, reason, regs->rip, regs->rsp,
		     regs->error_code);
	end_process(regs, PROCESS_KILLED, regs->vector);
}

void set_process_gs_base(uint64_t base)
{
	current_process()->gs_base = base;
	backend->set_user_gs_base(base);
}

void handle_syscall(struct tp_regs *regs)
{
	if (answer)
		answer(regs);
	else
		kill_process(regs, "nobody answers system calls");
}

static bool answer_gate(struct tp_regs *regs)
{
	handle_syscall(regs);
	return true;
}

syscall_handler set_syscall_handler(syscall_handler handler)
{
	syscall_handler before = answer;

	answer = handler;
	set_exception_handler(VECTOR_SYSCALL_GATE, answer_gate);
	return before;
}
