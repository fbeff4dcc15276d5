/* SPDX-License-Identifier: MIT */
/* The CPUs that ACPI lists (ACPI specification 6.4, 5.2.12). */
#ifndef PLATFORM_ACPI_H
#define PLATFORM_ACPI_H

#include <stdint.h>

/* Where a boot protocol says that the root pointer is; else it is searched for. */
extern uint64_t acpi_root_hint;

/* Fills in the local APIC ids of usable CPUs, at most `most`; returns how many. */
unsigned list_apic_ids(uint8_t *ids, unsigned most);

#endif
