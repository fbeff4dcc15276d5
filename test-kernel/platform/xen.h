/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls, on Xen's public headers (MIT). Arguments go in rdi, rsi, rdx, r10,
 * r8; the result comes in rax; rcx and r11 are lost to syscall
 * (xen/arch-x86/xen-x86_64.h). Callable where Xen has filled the page: in a PV
 * domain, and in a PVH domain that asked for it.
 */
#ifndef PLATFORM_XEN_H
#define PLATFORM_XEN_H

#include <stdint.h>

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040d00
#endif

#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/event_channel.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

/* 32 bytes for each hypercall; filled while a PV domain's image is loaded, or by
 * xen_pvh.c. */
extern const uint8_t hypercall_page[4096];

static inline long hypercall5(unsigned number, unsigned long first, unsigned long second,
			      unsigned long third, unsigned long fourth, unsigned long fifth)
{
	unsigned long result = (unsigned long)hypercall_page + number * 32ul;
	register unsigned long r10 __asm__("r10") = fourth;
	register unsigned long r8 __asm__("r8") = fifth;

	__asm__ volatile("call *%%rax"
			 : "+a"(result), "+D"(first), "+S"(second), "+d"(third),
			   "+r"(r10), "+r"(r8)
			 :
			 : "rcx", "r11", "memory", "cc");
	return (long)result;
}

static inline long hypercall4(unsigned number, unsigned long first, unsigned long second,
			      unsigned long third, unsigned long fourth)
{
	return hypercall5(number, first, second, third, fourth, 0);
}

static inline long hypercall3(unsigned number, unsigned long first, unsigned long second,
			      unsigned long third)
{
	return hypercall5(number, first, second, third, 0, 0);
}

static inline long hypercall2(unsigned number, unsigned long first, unsigned long second)
{
	return hypercall5(number, first, second, 0, 0, 0);
}

static inline long hypercall1(unsigned number, unsigned long first)
{
	return hypercall5(number, first, 0, 0, 0, 0);
}

#endif
