/* SPDX-License-Identifier: MIT */
/* Event channels, two-level ABI (xen/event_channel.h). */
#include "xen_backend.h"

/* Each virtual CPU's own. */
struct ports {
	evtchn_port_t timer, event, call;
};

static struct ports ports[MAXIMUM_CPUS];

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

static unsigned long bit_of(evtchn_port_t port)
{
	return 1ul << port % PORTS_A_WORD;
}

/* Clears the port's bit; whether it was set. */
static bool take_port(evtchn_port_t port)
{
	unsigned long *word = &shared_info->evtchn_pending[port / PORTS_A_WORD];
	unsigned long before = __atomic_fetch_and(word, ~bit_of(port), __ATOMIC_SEQ_CST);

	return (before & bit_of(port)) != 0;
}

/* A word holds bits of all CPUs: each looks at its own ports only. */
static void handle_ports(const struct ports *own, struct tp_regs *regs)
{
	if (take_port(own->timer))
		handle_xen_tick(regs);
	if (take_port(own->event))
		count_event(regs);
	if (take_port(own->call))
		answer_call(regs);
}

/* Clear first, then look: what arrives later sets the byte again. */
static bool handle_upcall(struct tp_regs *regs)
{
	struct cpu *cpu = this_cpu();
	struct vcpu_info *info = &cpu->vcpu_info;

	while (__atomic_exchange_n(&info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
		__atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		handle_ports(&ports[cpu->index], regs);
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

static evtchn_port_t bind_timer(unsigned index)
{
	struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = index };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq,
		       (unsigned long)&bind) != 0)
		panic("EVTCHNOP_bind_virq");
	open_port(bind.port);
	return bind.port;
}

static evtchn_port_t bind_ipi(unsigned index)
{
	struct evtchn_bind_ipi bind = { .vcpu = index };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi,
		       (unsigned long)&bind) != 0)
		panic("EVTCHNOP_bind_ipi");
	open_port(bind.port);
	return bind.port;
}

void bind_xen_ports(unsigned index)
{
	ports[index].timer = bind_timer(index);
	ports[index].event = bind_ipi(index);
	ports[index].call = bind_ipi(index);
}

void set_up_xen_events(void)
{
	hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
	set_exception_handler(VECTOR_EVENT, handle_upcall);
	bind_xen_ports(0);
}

static void send_event(evtchn_port_t port)
{
	struct evtchn_send send = { .port = port };

	if (hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send,
		       (unsigned long)&send) != 0)
		panic("EVTCHNOP_send");
}

void raise_xen_event(void)
{
	send_event(ports[this_cpu()->index].event);
}

void send_xen_call(unsigned index)
{
	send_event(ports[index].call);
}

bool xen_event_is_pending(void)
{
	evtchn_port_t port = ports[this_cpu()->index].event;
	unsigned long word = __atomic_load_n(
		&shared_info->evtchn_pending[port / PORTS_A_WORD], __ATOMIC_SEQ_CST);

	return (word & bit_of(port)) != 0;
}
