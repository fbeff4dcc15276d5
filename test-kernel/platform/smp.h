/* SPDX-License-Identifier: MIT */
/*
 * More than one CPU: started, given work, called by IPI, stopped together.
 *
 *   start_cpus(MAXIMUM_CPUS);                     // from CPU 0
 *   unmask_interrupts();                          // so that it answers, too
 *   for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
 *           run_on(cpu, work, argument);
 *   ... call_on_others(), stop_others(), sync_others(), send_nmi() ...
 *   for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
 *           wait_for(cpu);
 *
 * The running CPUs are 0 to cpu_count() - 1; CPU 0 is the one that booted. The
 * same in both worlds: natively IPIs of the local APIC, under Xen PV event
 * channels.
 *
 * A CPU answers calls while its interrupts are unmasked. kernel_main() starts with
 * them masked: whoever masks them and then waits for another CPU must know that
 * the other one doesn't call, or is willing to find this one silent.
 */
#ifndef PLATFORM_SMP_H
#define PLATFORM_SMP_H

#include "platform.h"

/* ---- CPUs ------------------------------------------------------------- */

/* Starts CPUs until `most` run, or all that there are, at most MAXIMUM_CPUS;
 * those that run already count. Returns how many run. May be called again for
 * more, on CPU 0, whatever the others do meanwhile. A new CPU answers calls before
 * this returns, and serialises before it runs its first work. protect_text()
 * comes before this, or flushes the others' TLBs by a call. */
unsigned start_cpus(unsigned most);
unsigned cpu_count(void);

static inline unsigned cpu_index(void)
{
	return this_cpu()->index;
}

/* Gives an idle CPU work, which it does with interrupts unmasked on a stack of
 * 32 KiB. Not CPU 0, nor one that works: panics. CPUs without work sleep. */
void run_on(unsigned cpu, void (*work)(void *), void *argument);
bool cpu_is_idle(unsigned cpu);
void wait_for(unsigned cpu);

/* Makes an idle CPU mute: it spins with interrupts masked, so that it doesn't
 * answer, and takes no work. It still takes NMIs. Returns when it is so, or is
 * idle again. It doesn't serialise when its voice comes back. */
void set_mute(unsigned cpu, bool mute);

/* ---- Calls ------------------------------------------------------------ */

/*
 * Runs `function` on all other running CPUs, in the interrupt, all at once, and
 * waits until they have. False: a CPU didn't begin within the time-out; `silent`,
 * unless NULL, gets the first one's index, the call is taken back (it will not
 * run it later), and all that began have ended. A CPU that began is waited for
 * without limit. Concurrent calls take turns. Not from an interrupt.
 */
bool call_on_others(void (*function)(void *), void *argument, uint64_t timeout_ns,
		    unsigned *silent);

/* In a function that is called so: the complete frame of what was interrupted on
 * this CPU. Outside: NULL. */
struct tp_regs *interrupted_registers(void);

/* Nanoseconds for sync_others() and stop_others(); 2 s at first. */
extern volatile uint64_t call_timeout;

/* Every other CPU executes a serialising instruction; false as above. */
bool sync_others(unsigned *silent);

enum rendezvous {
	RENDEZVOUS_DONE,      /* written, and all have serialised */
	RENDEZVOUS_BUSY,      /* one was interrupted where it must not be */
	RENDEZVOUS_SILENT,    /* one didn't stop within the time-out */
};

/*
 * Stops all other CPUs in the interrupt. If may_proceed (NULL: always) says yes to
 * every one's interrupted ip, `write` runs here, then all serialise, this one too,
 * and go on; otherwise they go on and nothing has been called. Both run with
 * interrupts masked and must not call other CPUs. NMIs still arrive.
 */
enum rendezvous stop_others(bool (*may_proceed)(uintptr_t ip), void (*write)(void *),
			    void *argument, unsigned *silent);

/* ---- NMIs and timers -------------------------------------------------- */

/* Sends a running CPU an NMI; it may be this one. Natively by the local APIC, on
 * a stack of its own (IST 2); under Xen PV by VCPUOP_send_nmi, on the stack that
 * it finds. NMIs sent while one is pending are one. False: refused. */
bool send_nmi(unsigned cpu);
uint64_t nmi_count(unsigned cpu);
/* Called in every NMI, after counting; NULL: none. */
extern interrupt_hook nmi_hook;

/* A periodic tick on the CPU that calls (work, or call_on_others()), 1 to
 * 10,000 Hz: the local APIC's timer, or a virtual CPU's single shots. As
 * Xen's PVH dom0 it is slower than asked by what each tick takes. Counts in
 * cpu_ticks() and timer_ticks and calls timer_hook. */
void start_cpu_timer(unsigned hertz);
void stop_cpu_timer(void);
uint64_t cpu_ticks(unsigned cpu);

/* A clock that goes on; CPUs agree on it but for some microseconds. */
uint64_t read_nanoseconds(void);

#endif
