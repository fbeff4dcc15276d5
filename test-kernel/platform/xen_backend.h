/* SPDX-License-Identifier: MIT */
/* The Xen PV backend's parts, for each other. */
#ifndef PLATFORM_XEN_BACKEND_H
#define PLATFORM_XEN_BACKEND_H

#include "backend.h"

_Noreturn void start_xen(const struct start_info *information);

void set_up_xen_paging(const struct start_info *information);
uint64_t xen_frame_of(uintptr_t address);
void set_xen_page_entry(uintptr_t address, uint64_t entry);

/* The page in which Xen sets the bits of pending events. */
extern struct shared_info *const shared_info;

/* The page tables' top, and its machine frame. */
const uint64_t *xen_top_table(void);
uint64_t xen_top_table_frame(void);

/* User mode (xen_user.c). */
void set_xen_entry_stack(uintptr_t top);
void set_xen_user_gs_base(uint64_t base);
void protect_xen_table(const uint64_t *table);
void adopt_xen_top_table(const uint64_t *table);
void set_xen_user_table(uint64_t frame);

/* Before the virtual CPU runs, or on it. */
void register_vcpu_info(struct cpu *cpu);
void set_up_xen_exceptions(void);
/* Xen keeps entries for each virtual CPU; this gives the calling one them all. */
void load_xen_exceptions(void);
bool use_xen_breakpoint_stack(bool own);
void set_xen_entry(unsigned vector, uintptr_t entry);
uintptr_t own_xen_entry(unsigned vector);

void set_up_xen_events(void);
/* The virtual CPU's own timer, event and call ports. */
void bind_xen_ports(unsigned index);
void send_xen_call(unsigned index);
void mask_xen(void);
void unmask_xen(void);
bool xen_is_masked(void);
void wait_xen(void);
void raise_xen_event(void);
bool xen_event_is_pending(void);

void start_xen_timer(unsigned hertz);
void stop_xen_timer(void);
void handle_xen_tick(struct tp_regs *regs);
/* Xen's system time. */
uint64_t xen_nanoseconds(void);

unsigned find_xen_cpus(void);
void start_xen_cpu(struct cpu *cpu);
void withdraw_xen_cpu(struct cpu *cpu);
bool send_xen_nmi(unsigned index);

#endif
