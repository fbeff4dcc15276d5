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

void register_vcpu_info(struct cpu *cpu);
void set_up_xen_exceptions(void);
void set_xen_entry(unsigned vector, uintptr_t entry);
uintptr_t own_xen_entry(unsigned vector);
uintptr_t xen_fault_address(void);

void set_up_xen_events(void);
void mask_xen(void);
void unmask_xen(void);
bool xen_is_masked(void);
void wait_xen(void);
void raise_xen_event(void);
bool xen_event_is_pending(void);

void start_xen_timer(unsigned hertz);
void stop_xen_timer(void);
void handle_xen_tick(struct pt_regs *regs);

#endif
