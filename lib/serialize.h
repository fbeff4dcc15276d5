/* SPDX-License-Identifier: MIT */
/*
 * The few instructions that C has no word for: asm/serialize.asm.
 */
#ifndef TP_SERIALIZE_H
#define TP_SERIALIZE_H

#include <stdbool.h>
#include <stdint.h>

/* Empties the pipeline of this CPU, so that it fetches anew: SERIALIZE if it has it, else CPUID (SDM vol. 3, 9.3). */
void tp_serialize(bool has_serialize);

/* CPUID: eax, ebx, ecx, edx. Any privilege level. */
void tp_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* 0 to 3: what CS says. */
unsigned tp_privilege_level(void);

/* Whether an int3 of this CPU reaches tp_handle_breakpoint(); the two labels are for it. */
bool tp_probe_breakpoint(void);
extern const uint8_t tp_probe_int3[] __attribute__((visibility("hidden")));
extern const uint8_t tp_probe_answer[] __attribute__((visibility("hidden")));

/* Privilege level 0 only. */
uint64_t tp_read_cr0(void);
void tp_write_cr0(uint64_t value);
uint64_t tp_read_cr4(void);

#endif
