/* SPDX-License-Identifier: MIT */
#include "stepped_paths.h"

#include <textpatch/live.h>

#include "code_walk.h"
#include "entry_steps.h"
#include "native.h"
#include "pv_ops.h"
#include "user.h"

extern const uint8_t native_syscall[], exception_common[], syscall_common[], tp_mend_fault[];
extern const uint8_t tp_native_load_gs_failed[];

/* Some that the programs don't use to end. */
enum { CALL_LAZY = 5, CALL_LAZY_BY_IRET, CALL_COMPLETE = FIRST_COMPLETE_SYSCALL + 5, CALL_COMPLETE_BY_IRET };

#define PROGRAM(label) .program = label, .at = label##_at, .end = label##_end
#define FUNCTION(label) .function = label, .at = label##_at, .end = label##_end

#define USER_CALL(title, number, flag, how)                                                                  \
    {.name = title, PROGRAM(user_calls), .flags = PATH_FROM_USER | PATH_TRAP | (flag), .rax = number,        \
     .error_code = number, .vector = TP_VECTOR_SYSCALL, .visits = 1, .answer = how,                          \
     .starts = {native_syscall}}
#define USER_FAULT(title, label, number, code)                                                               \
    {.name = title, PROGRAM(label), .flags = PATH_FROM_USER, .visits = 1, .vector = number,                  \
     .error_code = code}
#define USER_TRAP(title, label, number, flag)                                                                \
    {.name = title, PROGRAM(label), .flags = PATH_FROM_USER | PATH_TRAP | (flag), .visits = 1,               \
     .vector = number}
#define KERNEL_FAULT(title, label, number, code)                                                             \
    {.name = title, FUNCTION(label), .vector = number, .error_code = code, .visits = 1}
#define KERNEL_TRAP(title, label, number, flag)                                                              \
    {.name = title, FUNCTION(label), .flags = PATH_TRAP | (flag), .vector = number, .visits = 1}

#define USER_BREAKPOINT(title, entry, flag)                                                                  \
    {.name = title, PROGRAM(user_breakpoint), .flags = PATH_FROM_USER | PATH_TRAP | (flag), .visits = 1,     \
     .vector = VECTOR_BREAKPOINT, .breakpoint = entry, .starts = {entry}}
#define KERNEL_BREAKPOINT(title, label, entry, flag)                                                         \
    {.name = title, FUNCTION(label), .flags = PATH_TRAP | (flag), .visits = 1, .vector = VECTOR_BREAKPOINT,  \
     .breakpoint = entry, .starts = {entry}}
#define LIBRARY_ENTRY ((const uint8_t *)tp_breakpoint_entry)
#define LIBRARY_ENTRY_COPIED ((const uint8_t *)tp_breakpoint_entry_copied)

const struct path paths[] = {
    USER_CALL("syscall, lazy", CALL_LAZY, PATH_LAZY, answer_plainly),
    USER_CALL("syscall, complete", CALL_COMPLETE, 0, answer_plainly),
    USER_CALL("syscall, lazy, by iret", CALL_LAZY_BY_IRET, PATH_LAZY, answer_by_iret),
    USER_CALL("syscall, complete, by iret", CALL_COMPLETE_BY_IRET, 0, answer_by_iret),
    USER_TRAP("int 0x80", user_gates, VECTOR_SYSCALL_GATE, 0),
    USER_FAULT("user's #UD", user_invalid, VECTOR_INVALID_OPCODE, 0),
    USER_FAULT("user's #GP", user_protection, VECTOR_GENERAL_PROTECTION, 0),
    USER_FAULT("user's #PF", user_page_fault, VECTOR_PAGE_FAULT, 6),
    USER_TRAP("user's #BP", user_breakpoint, VECTOR_BREAKPOINT, 0),
    USER_BREAKPOINT("user's #BP, paranoid", paranoid_breakpoint, PATH_OWN_STACK),
    USER_BREAKPOINT("user's #BP, gap", LIBRARY_ENTRY, 0),
    USER_BREAKPOINT("user's #BP, gap, own stack", LIBRARY_ENTRY, PATH_OWN_STACK),
    USER_BREAKPOINT("user's #BP, copy", LIBRARY_ENTRY_COPIED, 0),
    USER_BREAKPOINT("user's #BP, copy, own stack", LIBRARY_ENTRY_COPIED, PATH_OWN_STACK),
    USER_TRAP("user's interrupt", user_nothing, VECTOR_EVENT, PATH_INTERRUPT),
    {.name = "user's NMI", PROGRAM(user_invalid), .flags = PATH_FROM_USER | PATH_NMI, .visits = 2,
     .vector = VECTOR_INVALID_OPCODE, .answer = answer_by_nmi},
    {.name = "iret to a bad stack", PROGRAM(user_invalid), .flags = PATH_FROM_USER, .visits = 2,
     .vector = VECTOR_INVALID_OPCODE, .answer = answer_by_bad_stack,
     .starts = {STUB(VECTOR_INVALID_OPCODE), STUB(VECTOR_GENERAL_PROTECTION)}},
    {.name = "iret to a bad stack, gap", PROGRAM(user_breakpoint), .flags = PATH_FROM_USER | PATH_TRAP,
     .visits = 2, .vector = VECTOR_BREAKPOINT, .answer = answer_by_bad_stack, .breakpoint = LIBRARY_ENTRY,
     .starts = {LIBRARY_ENTRY, STUB(VECTOR_GENERAL_PROTECTION)}},
    {.name = "iret to a bad address", PROGRAM(user_invalid), .flags = PATH_FROM_USER, .visits = 2,
     .vector = VECTOR_INVALID_OPCODE, .answer = answer_by_bad_address,
     .starts = {STUB(VECTOR_INVALID_OPCODE), STUB(VECTOR_GENERAL_PROTECTION)}},
    KERNEL_FAULT("kernel's #UD", kernel_invalid, VECTOR_INVALID_OPCODE, 0),
    KERNEL_FAULT("kernel's #GP", kernel_protection, VECTOR_GENERAL_PROTECTION, ABSENT_SELECTOR),
    KERNEL_FAULT("kernel's #PF", kernel_page_fault, VECTOR_PAGE_FAULT, 2),
    KERNEL_TRAP("kernel's #BP", kernel_breakpoint, VECTOR_BREAKPOINT, 0),
    KERNEL_BREAKPOINT("kernel's #BP, paranoid", kernel_breakpoint, paranoid_breakpoint, PATH_OWN_STACK),
    KERNEL_BREAKPOINT("kernel's #BP, paranoid, user's GS", kernel_breakpoint_with_user_gs,
                      paranoid_breakpoint, PATH_OWN_STACK | PATH_USER_GS),
    KERNEL_BREAKPOINT("kernel's #BP, gap", kernel_breakpoint, LIBRARY_ENTRY, 0),
    KERNEL_BREAKPOINT("kernel's #BP, gap, own stack", kernel_breakpoint, LIBRARY_ENTRY, PATH_OWN_STACK),
    KERNEL_BREAKPOINT("kernel's #BP, copy", kernel_breakpoint, LIBRARY_ENTRY_COPIED, 0),
    KERNEL_BREAKPOINT("kernel's #BP, copy, own stack", kernel_breakpoint, LIBRARY_ENTRY_COPIED,
                      PATH_OWN_STACK),
    KERNEL_TRAP("kernel's interrupt", kernel_interrupt, VECTOR_EVENT, PATH_INTERRUPT),
    KERNEL_TRAP("kernel's #MC", kernel_machine_check, VECTOR_MACHINE_CHECK, 0),
    KERNEL_TRAP("kernel's #MC, user's GS", kernel_machine_check_with_user_gs, VECTOR_MACHINE_CHECK,
                PATH_USER_GS),
    KERNEL_TRAP("kernel's NMI", kernel_nmi, VECTOR_NMI, PATH_NMI),
    KERNEL_TRAP("kernel's NMI, user's GS", kernel_nmi_with_user_gs, VECTOR_NMI, PATH_NMI | PATH_USER_GS),
    {.name = "kernel's NMI, sent", FUNCTION(kernel_invalid), .flags = PATH_NMI, .visits = 2,
     .vector = VECTOR_INVALID_OPCODE, .answer = answer_by_nmi},
    {.name = "load_gs", FUNCTION(kernel_loads_gs), .flags = PATH_LOADS_GS, .rdi = USER_DATA_SELECTOR,
     .starts = {(const uint8_t *)tp_native_load_gs, STUB(VECTOR_GENERAL_PROTECTION)}},
    {.name = "load_gs, refused", FUNCTION(kernel_loads_gs), .flags = PATH_LOADS_GS, .rdi = ABSENT_SELECTOR,
     .starts = {(const uint8_t *)tp_native_load_gs, STUB(VECTOR_GENERAL_PROTECTION)}},
};
const unsigned path_count = sizeof paths / sizeof *paths;

const struct path *find_path(const char *name) {
    for (unsigned i = 0; i < path_count; i++) {
        unsigned letter = 0;
        while (name[letter] && paths[i].name[letter] == name[letter])
            letter++;
        if (!name[letter] && !paths[i].name[letter])
            return &paths[i];
    }
    panic("no path \"%s\"", name);
}

/* ---- Their instructions ---- */

static void walk_stub(unsigned vector, enum walk walk, unsigned marks) {
    walk_code((uintptr_t)STUB(vector), walk, marks);
}

void collect_places(bool applied) {
    static const uint8_t *const always[] = {
        exception_common, syscall_common, native_syscall, tp_mend_fault, tp_native_load_gs_failed,
        paranoid_breakpoint, LIBRARY_ENTRY, LIBRARY_ENTRY_COPIED,
    };
    static void (*const originals[])(void) = {tp_native_swapgs, tp_native_iret, tp_native_usergs_sysret64};
    static const unsigned stubs[] = {VECTOR_BREAKPOINT,   VECTOR_INVALID_OPCODE, VECTOR_GENERAL_PROTECTION,
                                     VECTOR_PAGE_FAULT, VECTOR_EVENT,          VECTOR_SYSCALL_GATE};
    forget_places();
    for (unsigned i = 0; i < sizeof always / sizeof *always; i++)
        walk_code((uintptr_t)always[i], WALK_ALL, 0);
    for (unsigned i = 0; !applied && i < sizeof originals / sizeof *originals; i++)
        walk_code((uintptr_t)originals[i], WALK_ALL, 0);
    for (unsigned i = 0; i < sizeof stubs / sizeof *stubs; i++)
        walk_stub(stubs[i], WALK_ALL, 0);
    walk_code((uintptr_t)tp_native_load_gs, WALK_ALL, 0);
    walk_stub(VECTOR_MACHINE_CHECK, WALK_FIRST_JUMP_TAKEN, 0); /* INT 18 is the kernel's alone */
    walk_stub(VECTOR_NMI, WALK_ALL, PLACE_OF_NMI);
}
