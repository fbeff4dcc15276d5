/* SPDX-License-Identifier: MIT */
/*
 * Calls on other CPUs. Each CPU has a mailbox: the caller posts, the CPU takes it
 * in its interrupt and empties it when done. A caller that has waited too long
 * takes its letter back, which works only while the CPU hasn't taken it.
 */
#include "smp.h"
#include "backend.h"
#include "ports.h"

#define PATIENCE 10000000000ull

enum { EMPTY, POSTED, TAKEN };
enum { HELD, WRITTEN, RELEASED };

struct mailbox {
	void (*function)(void *);
	void *argument;
	unsigned state;
	bool stopped;
	struct tp_regs *interrupted;
	uint64_t nmis;
} __attribute__((aligned(64)));

volatile uint64_t call_timeout = 2000000000;
interrupt_hook nmi_hook;

static struct mailbox boxes[MAXIMUM_CPUS];
static bool calls_locked;
static unsigned phase;

static struct mailbox *own_box(void)
{
	return &boxes[cpu_index()];
}

static void lock_calls(void)
{
	while (__atomic_test_and_set(&calls_locked, __ATOMIC_ACQUIRE))
		pause_briefly();
}

static void unlock_calls(void)
{
	__atomic_clear(&calls_locked, __ATOMIC_RELEASE);
}

static bool change_state(struct mailbox *box, unsigned from, unsigned to)
{
	return __atomic_compare_exchange_n(&box->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static bool is_empty(const struct mailbox *box)
{
	return __atomic_load_n(&box->state, __ATOMIC_ACQUIRE) == EMPTY;
}

struct tp_regs *interrupted_registers(void)
{
	return own_box()->interrupted;
}

/* An empty box is no error: the letter was taken back, or there is work. */
void answer_call(struct tp_regs *regs)
{
	struct mailbox *box = own_box();

	if (!change_state(box, POSTED, TAKEN))
		return;
	box->interrupted = regs;
	box->function(box->argument);
	box->interrupted = NULL;
	__atomic_store_n(&box->state, EMPTY, __ATOMIC_RELEASE);
}

/* Returns how many CPUs there were: one that joins later isn't asked. */
static unsigned post_to_others(void (*function)(void *), void *argument)
{
	unsigned count = cpu_count();

	for (unsigned cpu = 0; cpu < count; cpu++) {
		struct mailbox *box = &boxes[cpu];

		if (cpu == cpu_index())
			continue;
		box->function = function;
		box->argument = argument;
		box->stopped = false;
		__atomic_store_n(&box->state, POSTED, __ATOMIC_RELEASE);
		backend->send_call(cpu);
	}
	return count;
}

/* Whether the CPU's box is empty because the CPU emptied it. */
static bool await_answer(struct mailbox *box, uint64_t deadline)
{
	while (!is_empty(box)) {
		if (read_nanoseconds() > deadline && change_state(box, POSTED, EMPTY))
			return false;
		pause_briefly();
	}
	return true;
}

static void name_silent(unsigned *silent, unsigned cpu)
{
	if (silent)
		*silent = cpu;
}

static bool await_answers(unsigned count, uint64_t deadline, unsigned *silent)
{
	bool all = true;

	for (unsigned cpu = 0; cpu < count; cpu++) {
		if (cpu == cpu_index() || await_answer(&boxes[cpu], deadline))
			continue;
		if (all)
			name_silent(silent, cpu);
		all = false;
	}
	return all;
}

bool call_on_others(void (*function)(void *), void *argument, uint64_t timeout_ns,
		    unsigned *silent)
{
	unsigned count;
	bool all;

	lock_calls();
	count = post_to_others(function, argument);
	all = await_answers(count, read_nanoseconds() + timeout_ns, silent);
	unlock_calls();
	return all;
}

bool call_patiently(void (*function)(void *), void *argument)
{
	return cpu_count() == 1 || call_on_others(function, argument, PATIENCE, NULL);
}

static void serialise(void *unused)
{
	(void)unused;
	tp_serialize(false);
}

bool sync_others(unsigned *silent)
{
	return call_on_others(serialise, NULL, call_timeout, silent);
}

static void stop_here(void *unused)
{
	unsigned now;

	(void)unused;
	__atomic_store_n(&own_box()->stopped, true, __ATOMIC_RELEASE);
	while ((now = __atomic_load_n(&phase, __ATOMIC_ACQUIRE)) == HELD)
		pause_briefly();
	if (now == WRITTEN)
		tp_serialize(false);
}

/* One that has taken the letter will stop, if late. */
static bool await_stop(struct mailbox *box, uint64_t deadline)
{
	while (!__atomic_load_n(&box->stopped, __ATOMIC_ACQUIRE)) {
		if (read_nanoseconds() > deadline && change_state(box, POSTED, EMPTY))
			return false;
		pause_briefly();
	}
	return true;
}

/* Goes on to the others after a silent one, so that no letter stays behind. */
static bool await_stops(unsigned count, unsigned *silent)
{
	uint64_t deadline = read_nanoseconds() + call_timeout;
	bool all = true;

	for (unsigned cpu = 0; cpu < count; cpu++) {
		if (cpu == cpu_index() || await_stop(&boxes[cpu], deadline))
			continue;
		if (all)
			name_silent(silent, cpu);
		all = false;
	}
	return all;
}

static bool all_may_proceed(unsigned count, bool (*may_proceed)(uintptr_t ip))
{
	for (unsigned cpu = 0; may_proceed && cpu < count; cpu++)
		if (cpu != cpu_index() && !may_proceed(boxes[cpu].interrupted->rip))
			return false;
	return true;
}

static enum rendezvous write_while_stopped(unsigned count, bool (*may_proceed)(uintptr_t ip),
					   void (*write)(void *), void *argument)
{
	if (!all_may_proceed(count, may_proceed))
		return RENDEZVOUS_BUSY;
	write(argument);
	return RENDEZVOUS_DONE;
}

/* A later stop must not find a CPU that hasn't yet seen the phase change. */
static void let_go(unsigned count, enum rendezvous result)
{
	__atomic_store_n(&phase, result == RENDEZVOUS_DONE ? WRITTEN : RELEASED,
			 __ATOMIC_RELEASE);
	if (result == RENDEZVOUS_DONE)
		tp_serialize(false);
	await_answers(count, UINT64_MAX, NULL);
}

/* Masked from the last look at the others on: an interrupt here could run into
 * what is being written. */
enum rendezvous stop_others(bool (*may_proceed)(uintptr_t ip), void (*write)(void *),
			    void *argument, unsigned *silent)
{
	enum rendezvous result = RENDEZVOUS_SILENT;
	bool were_masked = interrupts_are_masked();
	unsigned count;

	lock_calls();
	__atomic_store_n(&phase, HELD, __ATOMIC_RELEASE);
	count = post_to_others(stop_here, NULL);
	if (await_stops(count, silent)) {
		mask_interrupts();
		result = write_while_stopped(count, may_proceed, write, argument);
	}
	let_go(count, result);
	unlock_calls();
	if (!were_masked)
		unmask_interrupts();
	return result;
}

static bool handle_nmi(struct tp_regs *regs)
{
	interrupt_hook hook = nmi_hook;

	__atomic_add_fetch(&own_box()->nmis, 1, __ATOMIC_RELAXED);
	if (hook)
		hook(regs);
	return true;
}

bool send_nmi(unsigned cpu)
{
	return cpu < cpu_count() && backend->send_nmi(cpu);
}

uint64_t nmi_count(unsigned cpu)
{
	return __atomic_load_n(&boxes[cpu].nmis, __ATOMIC_RELAXED);
}

void set_up_smp(void)
{
	set_exception_handler(VECTOR_NMI, handle_nmi);
}
