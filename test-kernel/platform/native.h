/* SPDX-License-Identifier: MIT */
/* The native backend's parts, for each other. */
#ifndef PLATFORM_NATIVE_H
#define PLATFORM_NATIVE_H

#include "backend.h"
#include "page.h"

/* Physical memory below 4 GiB. */
static inline void *physical_pointer(uint64_t physical)
{
	return (void *)(DIRECT_MAP_BASE + physical);
}

_Noreturn void start_native(uint32_t protocol, uint32_t information);

/* The native backend but for the devices that Xen keeps; NULL: no Xen is there. */
const struct backend *find_pvh_backend(void);

void set_up_serial(void);
void write_serial(const char *text, size_t length);
/* Returns when all has left the machine. */
void finish_serial(void);

/* The IDT is one for all CPUs; GDT, TSS and the stacks that it names are a CPU's
 * own. */
void set_up_gates(void);
void load_descriptors(struct cpu *cpu);
void set_native_entry(unsigned vector, uintptr_t entry);
uintptr_t native_entry_of(unsigned vector);
bool use_native_breakpoint_stack(bool own);
/* The stack on which this CPU comes from user mode, but for syscall. */
void set_native_entry_stack(uintptr_t top);
/* On which this CPU's NMIs begin, below a struct tp_ist_top; returns the one before. */
uintptr_t set_native_nmi_stack(uintptr_t top);

void set_up_native_paging(void);
uint64_t native_frame_of(uintptr_t address);
void set_native_page_entry(uintptr_t address, uint64_t entry);

void set_up_interrupt_controllers(void);
void unmask_timer_line(void);
void mask_timer_line(void);
void acknowledge_timer_line(void);
void raise_native_event(void);
bool native_event_is_pending(void);

void set_up_native_timer(void);
void start_native_timer(unsigned hertz);
void stop_native_timer(void);

/* Told by who runs the machine, before the first use of what follows: it isn't
 * measured then. 0: not told. */
void know_time_stamp_speed(uint64_t hertz);
/* Their first use takes 10 ms, or 30. */
uint64_t native_nanoseconds(void);
void start_native_cpu_timer(unsigned hertz);
/* The same of single shots: each tick is followed by that much time for others. */
void start_native_single_shots(unsigned hertz);
void stop_native_cpu_timer(void);
/* The last that a tick does. */
void end_native_cpu_tick(void);

unsigned find_native_cpus(void);
void start_native_cpu(struct cpu *cpu);
void withdraw_native_cpu(struct cpu *cpu);
_Noreturn void enter_native_cpu(struct cpu *cpu);
void send_native_call(unsigned index);
bool send_native_nmi(unsigned index);

#endif
