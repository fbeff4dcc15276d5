/* SPDX-License-Identifier: MIT */
/* Event channels, two-level ABI (xen/event_channel.h). */
#include "xen_backend.h"

static evtchn_port_t timer_port, event_port;

enum { PORTS_A_WORD = 64 };

void mask_xen(void)
{
	volatile struct vcpu_info *info = &this_cpu()->vcpu_info;

	info->evtchn_upcall_mask = 1;
}

/* Clearing the byte delivers nothing by itself; on the way back from any
 * hypercall Xen looks. */
void unmask_xen(void)
{
	volatile struct vcpu_info *info = &this_cpu()->vcpu_info;

	info->evtchn_upcall_mask = 0;
	__asm__ volatile("" : : : "memory");
	if (info->evtchn_upcall_pending)
		hypercall2(__HYPERVISOR_xen_version, XENVER_version, 0);
}

bool xen_is_masked(void)
{
	volatile struct vcpu_info *info = &this_cpu()->vcpu_info;

	return info->evtchn_upcall_mask != 0;
}

/* SCHEDOP_block unmasks, and returns at once if something is pending. */
void wait_xen(void)
{
	hypercall2(__HYPERVISOR_sched_op, SCHEDOP_block, 0);
}

static void handle_port(evtchn_port_t port, struct pt_regs *regs)
{
	if (port == timer_port)
		handle_xen_tick(regs);
	else if (port == event_port)
		count_event(regs);
}

static void handle_word(unsigned word, struct pt_regs *regs)
{
	unsigned long pending = shared_info->evtchn_pending[word] &
				~shared_info->evtchn_mask[word];

	for (; pending != 0; pending &= pending - 1) {
		unsigned bit = (unsigned)__builtin_ctzl(pending);

		__atomic_and_fetch(&shared_info->evtchn_pending[word], ~(1ul << bit),
				   __ATOMIC_SEQ_CST);
		handle_port(word * PORTS_A_WORD + bit, regs);
	}
}

/* Clear first, then look: what arrives later sets the byte again. */
static bool handle_upcall(struct pt_regs *regs)
{
	struct vcpu_info *info = &this_cpu()->vcpu_info;

	while (__atomic_exchange_n(&info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
		unsigned long words = __atomic_exchange_n(&info->evtchn_pending_sel, 0,
							  __ATOMIC_SEQ_CST);

		for (; words != 0; words &= words - 1)
			handle_word((unsigned)__builtin_ctzl(words), regs);
	}
	return true;
}

static void open_port(evtchn_port_t port)
{
	struct evtchn_unmask unmask = { .port = port };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask,
		       (unsigned long)&unmask) != 0)
		panic("EVTCHNOP_unmask: port %u", port);
}

static void bind_timer(void)
{
	struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = 0 };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq,
		       (unsigned long)&bind) != 0)
		panic("EVTCHNOP_bind_virq");
	timer_port = bind.port;
}

static void bind_event(void)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi,
		       (unsigned long)&bind) != 0)
		panic("EVTCHNOP_bind_ipi");
	event_port = bind.port;
}

void set_up_xen_events(void)
{
	hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
	set_exception_handler(VECTOR_EVENT, handle_upcall);
	bind_timer();
	bind_event();
	open_port(timer_port);
	open_port(event_port);
}

void raise_xen_event(void)
{
	struct evtchn_send send = { .port = event_port };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send,
		       (unsigned long)&send) != 0)
		panic("EVTCHNOP_send");
}

bool xen_event_is_pending(void)
{
	unsigned long word = __atomic_load_n(
		&shared_info->evtchn_pending[event_port / PORTS_A_WORD], __ATOMIC_SEQ_CST);

	return (word >> event_port % PORTS_A_WORD & 1) != 0;
}
