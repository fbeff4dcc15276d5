/* SPDX-License-Identifier: MIT */
/*
 * What entry_steps.c has in NASM: code that enters the kernel in one way each, and entries that are wrong on purpose.
 *
 * Each NAME has two labels: NAME_at is the instruction that enters, and NAME_end where it goes on. Then all registers are
 * stored, as struct stepped_registers says: for those in user mode at USER_DATA, for those in the kernel in stepped_found.
 * Those in user mode find their registers loaded, those in the kernel take them from stepped_given.
 */
#ifndef ENTRY_STEPS_H
#define ENTRY_STEPS_H

#include <textpatch/regs.h>

struct stepped_registers {
    struct tp_regs regs; /* the general registers, rflags and rsp */
    uint64_t at_gs;      /* gs:0 in user mode */
};

extern struct tp_regs stepped_given;
extern struct stepped_registers stepped_found;

/* In user mode. */
#define STEPPED_PROGRAMS(macro)                                                                              \
    macro(user_calls) macro(user_gates) macro(user_invalid) macro(user_protection) macro(user_page_fault)    \
        macro(user_breakpoint) macro(user_nothing)
/* In the kernel: functions. */
#define STEPPED_FUNCTIONS(macro)                                                                             \
    macro(kernel_invalid) macro(kernel_protection) macro(kernel_page_fault) macro(kernel_breakpoint)         \
        macro(kernel_interrupt) macro(kernel_nmi) macro(kernel_nmi_with_user_gs) macro(kernel_machine_check) \
            macro(kernel_machine_check_with_user_gs) macro(kernel_breakpoint_with_user_gs)                   \
                macro(kernel_loads_gs)

#define DECLARE_STEPPED_PROGRAM(name) extern const uint8_t name[], name##_at[], name##_end[];
#define DECLARE_STEPPED_FUNCTION(name)                                                                       \
    void name(void);                                                                                         \
    extern const uint8_t name##_at[], name##_end[];
STEPPED_PROGRAMS(DECLARE_STEPPED_PROGRAM)
STEPPED_FUNCTIONS(DECLARE_STEPPED_FUNCTION)

/* Addresses and selectors that kernel_page_fault, user_page_fault and kernel_protection ask for. */
enum {
    ABSENT_FOR_KERNEL = 0x600000,
    ABSENT_FOR_USER = 0x1000,
    ABSENT_SELECTOR = 0x1230,
};

/* An ud2 and an int3, each in a function. */
void raise_invalid(void);
void raise_breakpoint(void);
extern const uint8_t raise_invalid_at[], raise_invalid_end[], raise_breakpoint_end[];

/* #BP by the paranoid entry, for a stack of its own. */
extern const uint8_t paranoid_breakpoint[];
/* Wrong: #DB and NMI by the ordinary entry; NMI by the paranoid one; NMI without a handler. */
extern const uint8_t ordinary_debug[], ordinary_nmi[], paranoid_nmi[], lost_nmi[];

#endif
