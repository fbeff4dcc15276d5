/* SPDX-License-Identifier: MIT */
/* The local APIC, as far as the platform uses it: Intel SDM volume 3A, chapter 11. */
#ifndef PLATFORM_APIC_H
#define PLATFORM_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* The interrupt command register's lower half (SDM 11.6.1): a vector, or these. */
enum {
	APIC_DELIVER_NMI = 4 << 8,
	APIC_DELIVER_INIT = 5 << 8,
	APIC_DELIVER_START_UP = 6 << 8,
	APIC_ASSERT = 1 << 14,
	APIC_TO_SELF = 1 << 18,
};

/* On the boot CPU the PIC is connected, too. */
void enable_apic(bool is_boot_cpu);
uint8_t read_apic_id(void);
void send_apic_command(uint8_t destination, uint32_t command);
/* Whether the CPU has accepted the vector but not yet taken it. */
bool apic_has_requested(unsigned vector);
void end_apic_interrupt(void);

enum apic_timer { APIC_TIMER_SILENT, APIC_TIMER_ONCE, APIC_TIMER_REPEATED };

/* Counts down from `count`; then it is silent, or interrupts, or does so again and
 * again. */
void start_apic_timer(uint32_t count, enum apic_timer kind);
/* As it was started; for the next single shot. */
void restart_apic_timer(uint32_t count);
void stop_apic_timer(void);
uint32_t read_apic_timer(void);

#endif
