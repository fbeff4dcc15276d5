/* SPDX-License-Identifier: MIT */
/* CPUs that start, wait for work, and do it. The mailboxes are in smp_call.c. */
#include "smp.h"
#include "backend.h"
#include "ports.h"
#include "stacks.h"

enum { STACK_SIZE = 32 * 1024 };

/* Enough for an emulator on a machine that does much else. */
#define START_TIMEOUT 10000000000ull

struct worker {
	void (*work)(void *);
	void *argument;
	bool arrived;
	bool busy;
	bool mute_wanted, is_mute;
} __attribute__((aligned(64)));

static struct worker workers[MAXIMUM_CPUS];
static uint8_t stacks[MAXIMUM_CPUS - 1][STACK_SIZE] __attribute__((aligned(16)));
static unsigned running = 1;

unsigned cpu_count(void)
{
	return __atomic_load_n(&running, __ATOMIC_ACQUIRE);
}

bool find_worker_stack(uintptr_t sp, struct tp_stack *stack)
{
	return find_stack_among(sp, (uintptr_t)stacks, MAXIMUM_CPUS - 1, STACK_SIZE, stack);
}

uint64_t read_nanoseconds(void)
{
	return backend->nanoseconds();
}

static bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

static void prepare_cpu(unsigned index)
{
	struct cpu *cpu = &cpus[index];

	cpu->self = cpu;
	cpu->index = index;
	cpu->vcpu_info.evtchn_upcall_mask = 1;
	cpu->stack_top = (uintptr_t)stacks[index - 1] + STACK_SIZE;
	set(&workers[index].arrived, false);
}

static bool wait_for_arrival(unsigned index)
{
	uint64_t deadline = read_nanoseconds() + START_TIMEOUT;

	while (!is_set(&workers[index].arrived)) {
		if (read_nanoseconds() > deadline)
			return false;
		pause_briefly();
	}
	return true;
}

unsigned start_cpus(unsigned most)
{
	unsigned present = backend->find_cpus();

	for (unsigned index = running; index < most && index < present; index++) {
		prepare_cpu(index);
		backend->start_cpu(&cpus[index]);
		if (!wait_for_arrival(index)) {
			backend->withdraw_cpu(&cpus[index]);
			break;
		}
		__atomic_store_n(&running, index + 1, __ATOMIC_SEQ_CST);
	}
	return running;
}

/* Masked before it looks, and unmasked by the same instruction that sleeps: work
 * that comes in between still wakes it. */
static void wait_for_work(struct worker *worker)
{
	for (;;) {
		mask_interrupts();
		if (is_set(&worker->busy))
			break;
		wait_for_interrupt();
	}
	unmask_interrupts();
}

/* A call that doesn't yet count this CPU was begun before `running` did, so what
 * that call makes others see, this CPU sees after serialising here. */
static void join_others(const struct cpu *cpu)
{
	set(&workers[cpu->index].arrived, true);
	while (cpu_count() <= cpu->index)
		pause_briefly();
	tp_serialize(false);
}

void enter_cpu(void)
{
	struct cpu *cpu = this_cpu();
	struct worker *worker = &workers[cpu->index];

	unmask_interrupts();
	join_others(cpu);
	for (;;) {
		wait_for_work(worker);
		worker->work(worker->argument);
		set(&worker->busy, false);
	}
}

bool cpu_is_idle(unsigned cpu)
{
	return !is_set(&workers[cpu].busy);
}

void run_on(unsigned cpu, void (*work)(void *), void *argument)
{
	struct worker *worker = &workers[cpu];

	if (cpu == 0 || cpu >= cpu_count() || !cpu_is_idle(cpu))
		panic("run_on: CPU %u can't take work", cpu);
	worker->work = work;
	worker->argument = argument;
	set(&worker->busy, true);
	backend->send_call(cpu);
}

void wait_for(unsigned cpu)
{
	while (!cpu_is_idle(cpu))
		pause_briefly();
}

static void stay_mute(void *argument)
{
	struct worker *worker = argument;

	mask_interrupts();
	set(&worker->is_mute, true);
	while (is_set(&worker->mute_wanted))
		pause_briefly();
	set(&worker->is_mute, false);
	unmask_interrupts();
}

void set_mute(unsigned cpu, bool mute)
{
	struct worker *worker = &workers[cpu];

	if (is_set(&worker->mute_wanted) == mute)
		return;
	set(&worker->mute_wanted, mute);
	if (!mute) {
		wait_for(cpu);
		return;
	}
	run_on(cpu, stay_mute, worker);
	while (!is_set(&worker->is_mute))
		pause_briefly();
}

void start_cpu_timer(unsigned hertz)
{
	backend->start_cpu_timer(hertz);
}

void stop_cpu_timer(void)
{
	backend->stop_cpu_timer();
}
