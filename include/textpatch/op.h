/* SPDX-License-Identifier: MIT */
/*
 * textpatch/op.h: calls through op tables that become native instructions.
 *
 * What it is for
 *   A kernel that runs on bare metal and under a hypervisor keeps what differs in a table of function pointers
 *   (`pv_ops.save_fl`). Each call through the table is a site. It works as an indirect call from the first
 *   instruction on, and the library turns it into what the slot's function amounts to: its inline form if it has
 *   one (textpatch/inline.h), nothing at all for tp_nop_function, else a direct call.
 *
 * The macros
 *   TP_OPS(name) { TP_OP(table.slot); … }     once a slot, in any one C file: names the slots
 *   TP_CALL(slot, arguments…)                 a call with the C ABI, 0 to 6 arguments; its value is the function's
 *   TP_CALL_VOID(slot, arguments…)            the same for void functions
 *   TP_CALLEE_SAVE_CALL(slot, arguments…)     a call that changes no register but rax (and the flags)
 *   TP_CALLEE_SAVE_CALL_VOID(slot, arguments…)
 *   TP_WIDE_…(width, slot, arguments…)        the same four in a site of 6 to 15 bytes, for a longer inline form
 *   TP_CALLEE_SAVE_THUNK(function)            defines function_callee_save, which keeps all but rax
 *
 * Example
 *   struct pv_ops { unsigned long (*save_fl)(void); void (*irq_disable)(void); } pv_ops = { … };
 *   TP_OPS(pv) { TP_OP(pv_ops.save_fl); TP_OP(pv_ops.irq_disable); }
 *   static inline unsigned long save_fl(void) { return TP_CALLEE_SAVE_CALL(pv_ops.save_fl); }
 *   static inline void irq_disable(void) { TP_WIDE_CALLEE_SAVE_CALL_VOID(9, pv_ops.irq_disable); }
 *
 * How it works
 *   original              ff 15 xx xx xx xx      call *pv_ops.save_fl(%rip)
 *   inline form           9c 58 0f 1f 40 00      pushf; pop %rax; nopl 0(%rax)
 *   no inline form        2e e8 xx xx xx xx      cs call xen_save_fl
 *   tp_nop_function       66 0f 1f 44 00 00      nopw 0(%rax,%rax,1)
 *   Every call form ends where the site ends: a return address on somebody's stack stays right whatever the site
 *   holds by then. Arguments are checked against the slot's function type by the compiler, and are widened to
 *   64 bits before the call, since callee and caller may disagree on who extends narrow ones (clang and GCC do).
 *
 * Edge cases
 *   - A slot that holds NULL becomes ud2; tp_describe_site() in the kernel's #UD handler names the op.
 *   - An inline form that is longer than the site is passed over for a direct call; that is no error.
 *   - `slot` must be a plain lvalue with a constant address (a global table's member). With -fPIE it must be
 *     hidden (textpatch/hidden.h).
 *   - The kernel must be compiled with -mno-red-zone, as for any asm statement that pushes.
 *   - Functions for callee-save slots keep every register but rax: write them in assembler, with
 *     TP_CALLEE_SAVE_THUNK, or, with GCC, as TP_CALLEE_SAVE.
 *   - The compiler doesn't see a call in the statement and may leave the stack aligned to 8 bytes instead of 16. A
 *     C callee that cares (one that spills SSE registers) needs __attribute__((force_align_arg_pointer)).
 *   - An argument for a parameter of less than 32 bits (bool, char, short) must have the parameter's type, as it has in
 *     a typed wrapper: the value is passed as it is, not converted. C refuses other types at compile time.
 *   - Values are integers or pointers; functions that take or return floating-point values don't go through TP_CALL.
 */
#ifndef TEXTPATCH_OP_H
#define TEXTPATCH_OP_H

#include <textpatch/align.h>
#include <textpatch/record.h>

/* One key record for each TP_OP() in the braces; the function is discarded by the linker. */
#define TP_OPS(name) TP_TABLE_FUNCTION(tp_ops_##name)
#define TP_OP(slot)                                                                                            \
    do {                                                                                                       \
        TP_STATIC_ASSERT(sizeof(slot) == 8, "an op slot is one pointer");                                      \
        __asm__ volatile(TP_EMIT_KEY(TP_KEY_KIND_OP, "%c[tp_slot]", #slot) : : [tp_slot] "i"(&(slot)));        \
    } while (0)

/*
 * The site: (width - 6) CS prefixes, which mean nothing to a call in 64-bit mode (AMD APM vol. 3 section 1.2.4) and
 * keep it one instruction that ends where the site ends, then `call *slot(%rip)`.
 */
#define TP_EMIT_OP(branch, opcode, width)                                                                      \
    TP_EMIT_ALIGN_IF_WANTED(width)                                                                              \
    "7901:\t.ifgt (" TP_TEXT(width) ") - " TP_TEXT(TP_OP_LENGTH_MAX) "\n\t"                                     \
    ".error \"textpatch: an op site is 6 to 15 bytes wide\"\n\t.endif\n\t"                                      \
    ".iflt (" TP_TEXT(width) ") - 6\n\t"                                                                        \
    ".error \"textpatch: an op site is 6 to 15 bytes wide\"\n\t.endif\n\t"                                      \
    ".ifgt (" TP_TEXT(width) ") - 6\n\t.skip (" TP_TEXT(width) ") - 6, 0x2e\n\t.endif\n\t"                      \
    ".byte 0xff, " opcode "\n\t.long %c[tp_slot] - . - 4\n"                                                     \
    "7902:\n\t"                                                                                                 \
    TP_EMIT_SITE(TP_KIND_OP, "7901b", "7902b", "%c[tp_slot] - .", "0", TP_TEXT(branch))

#define TP_EMIT_OP_CALL(width) TP_EMIT_OP(TP_BRANCH_CALL, "0x15", width)

/*
 * Counts 0 to 6 arguments after the slot. The slot travels with the arguments, so that a list is never empty: `##`
 * in front of one would keep a call inside an argument from being expanded, and strict -std=c11 from dropping the
 * comma.
 */
#define TP_COUNT_(slot, a1, a2, a3, a4, a5, a6, count, ...) count
#define TP_COUNT(...) TP_COUNT_(__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0, 0)
#define TP_PASTE_(a, b) a##b
#define TP_PASTE(a, b) TP_PASTE_(a, b)

/*
 * Arguments are evaluated into plain variables first: an argument may itself contain a call, which would change a
 * variable that is bound to a register.
 */
#define TP_WIDEN(argument) ((unsigned long)(argument))
#define TP_SET_0(slot)
#define TP_SET_1(slot, a) unsigned long tp_a1 = TP_WIDEN(a);
#define TP_SET_2(slot, a, b) TP_SET_1(slot, a) unsigned long tp_a2 = TP_WIDEN(b);
#define TP_SET_3(slot, a, b, c) TP_SET_2(slot, a, b) unsigned long tp_a3 = TP_WIDEN(c);
#define TP_SET_4(slot, a, b, c, d) TP_SET_3(slot, a, b, c) unsigned long tp_a4 = TP_WIDEN(d);
#define TP_SET_5(slot, a, b, c, d, e) TP_SET_4(slot, a, b, c, d) unsigned long tp_a5 = TP_WIDEN(e);
#define TP_SET_6(slot, a, b, c, d, e, f) TP_SET_5(slot, a, b, c, d, e) unsigned long tp_a6 = TP_WIDEN(f);

#define TP_BIND_0
#define TP_BIND_1
#define TP_BIND_2
#define TP_BIND_3
#define TP_BIND_4
#define TP_BIND_5 register unsigned long tp_r8 __asm__("r8") = tp_a5;
#define TP_BIND_6 TP_BIND_5 register unsigned long tp_r9 __asm__("r9") = tp_a6;

/* C ABI: the callee may change the argument registers, so those in use are in and out and the others clobbered. */
#define TP_C_OUTPUTS_0
#define TP_C_OUTPUTS_1 , "+D"(tp_a1)
#define TP_C_OUTPUTS_2 TP_C_OUTPUTS_1, "+S"(tp_a2)
#define TP_C_OUTPUTS_3 TP_C_OUTPUTS_2, "+d"(tp_a3)
#define TP_C_OUTPUTS_4 TP_C_OUTPUTS_3, "+c"(tp_a4)
#define TP_C_OUTPUTS_5 TP_C_OUTPUTS_4, "+r"(tp_r8)
#define TP_C_OUTPUTS_6 TP_C_OUTPUTS_5, "+r"(tp_r9)
/* Where the compiler may use vector and x87 registers, a C function may change them. */
#ifdef __SSE__
#define TP_CLOBBERS_VECTOR                                                                                     \
    , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"
#else
#define TP_CLOBBERS_VECTOR
#endif
#define TP_C_CLOBBERS_6 "r10", "r11", "memory", "cc" TP_CLOBBERS_VECTOR
#define TP_C_CLOBBERS_5 "r9", TP_C_CLOBBERS_6
#define TP_C_CLOBBERS_4 "r8", TP_C_CLOBBERS_5
#define TP_C_CLOBBERS_3 "rcx", TP_C_CLOBBERS_4
#define TP_C_CLOBBERS_2 "rdx", TP_C_CLOBBERS_3
#define TP_C_CLOBBERS_1 "rsi", TP_C_CLOBBERS_2
#define TP_C_CLOBBERS_0 "rdi", TP_C_CLOBBERS_1

/* Callee-save ABI: only rax changes. */
#define TP_SAVE_INPUTS_0
#define TP_SAVE_INPUTS_1 , "D"(tp_a1)
#define TP_SAVE_INPUTS_2 TP_SAVE_INPUTS_1, "S"(tp_a2)
#define TP_SAVE_INPUTS_3 TP_SAVE_INPUTS_2, "d"(tp_a3)
#define TP_SAVE_INPUTS_4 TP_SAVE_INPUTS_3, "c"(tp_a4)
#define TP_SAVE_INPUTS_5 TP_SAVE_INPUTS_4, "r"(tp_r8)
#define TP_SAVE_INPUTS_6 TP_SAVE_INPUTS_5, "r"(tp_r9)
#define TP_SAVE_CLOBBERS "memory", "cc"

#define TP_OP_STATEMENT(width, slot, result, outputs, inputs, ...)                                             \
    __asm__ volatile(TP_EMIT_OP_CALL(width)                                                                    \
                     : "=a"(result), "+r"(tp_stack)outputs                                                     \
                     : [tp_slot] "i"(&(slot))inputs                                                            \
                     : __VA_ARGS__)

#define TP_C_STATEMENT(width, slot, result, count)                                                             \
    TP_OP_STATEMENT(width, slot, result, TP_PASTE(TP_C_OUTPUTS_, count), , TP_PASTE(TP_C_CLOBBERS_, count))
#define TP_SAVE_STATEMENT(width, slot, result, count)                                                          \
    TP_OP_STATEMENT(width, slot, result, , TP_PASTE(TP_SAVE_INPUTS_, count), TP_SAVE_CLOBBERS)

/* The call as C has it, for its type; in `if (0)` the compiler checks the arguments and leaves no code behind. */
#define TP_TYPED_0(slot) (slot)()
#define TP_TYPED_1(slot, a) (slot)(a)
#define TP_TYPED_2(slot, a, b) (slot)(a, b)
#define TP_TYPED_3(slot, a, b, c) (slot)(a, b, c)
#define TP_TYPED_4(slot, a, b, c, d) (slot)(a, b, c, d)
#define TP_TYPED_5(slot, a, b, c, d, e) (slot)(a, b, c, d, e)
#define TP_TYPED_6(slot, a, b, c, d, e, f) (slot)(a, b, c, d, e, f)
#define TP_SLOT(slot, ...) slot

/*
 * The value is passed as it is, where C would convert it to the parameter's type. That makes no difference to a
 * parameter of 32 bits and more; for a narrower one the argument must have its type. C can tell: a function type
 * without a parameter list is compatible with just those that have no narrow parameter (C11 6.7.6.3p15).
 */
#ifdef __cplusplus
#define TP_REQUIRE_TYPES(result, ...)
#else
#define TP_REQUIRE_TYPES(result, ...)                                                                          \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wstrict-prototypes\"") _Static_assert(   \
        __builtin_types_compatible_p(__typeof__(TP_SLOT(__VA_ARGS__, 0)), __typeof__(result(*)())) ||          \
            __builtin_types_compatible_p(__typeof__(TP_SLOT(__VA_ARGS__, 0)),                                  \
                                         __typeof__(result(*)(TP_PASTE(TP_TYPES_, TP_COUNT(__VA_ARGS__))(      \
                                             __VA_ARGS__)))),                                                  \
        "an argument for a bool, char or short parameter must have the parameter's type");                     \
    _Pragma("GCC diagnostic pop")
#endif
#define TP_TYPES_0(slot) void
#define TP_TYPES_1(slot, a) __typeof__(a)
#define TP_TYPES_2(slot, a, b) TP_TYPES_1(slot, a), __typeof__(b)
#define TP_TYPES_3(slot, a, b, c) TP_TYPES_2(slot, a, b), __typeof__(c)
#define TP_TYPES_4(slot, a, b, c, d) TP_TYPES_3(slot, a, b, c), __typeof__(d)
#define TP_TYPES_5(slot, a, b, c, d, e) TP_TYPES_4(slot, a, b, c, d), __typeof__(e)
#define TP_TYPES_6(slot, a, b, c, d, e, f) TP_TYPES_5(slot, a, b, c, d, e), __typeof__(f)

#define TP_OP_VALUE(statement, width, ...)                                                                     \
    __extension__({                                                                                            \
        TP_PASTE(TP_SET_, TP_COUNT(__VA_ARGS__))(__VA_ARGS__)                                                  \
        __typeof__(TP_PASTE(TP_TYPED_, TP_COUNT(__VA_ARGS__))(__VA_ARGS__)) tp_result;                         \
        TP_REQUIRE_TYPES(__typeof__(tp_result), __VA_ARGS__)                                                   \
        TP_PASTE(TP_BIND_, TP_COUNT(__VA_ARGS__))                                                              \
        statement(width, TP_SLOT(__VA_ARGS__, 0), tp_result, TP_COUNT(__VA_ARGS__));                           \
        tp_result;                                                                                             \
    })
#define TP_OP_VOID(statement, width, ...)                                                                      \
    __extension__({                                                                                            \
        unsigned long tp_result;                                                                               \
        if (0)                                                                                                 \
            TP_PASTE(TP_TYPED_, TP_COUNT(__VA_ARGS__))(__VA_ARGS__);                                           \
        TP_REQUIRE_TYPES(void, __VA_ARGS__)                                                                    \
        TP_PASTE(TP_SET_, TP_COUNT(__VA_ARGS__))(__VA_ARGS__)                                                  \
        TP_PASTE(TP_BIND_, TP_COUNT(__VA_ARGS__))                                                              \
        statement(width, TP_SLOT(__VA_ARGS__, 0), tp_result, TP_COUNT(__VA_ARGS__));                           \
        (void)tp_result;                                                                                       \
    })

/* Each takes (slot, arguments…), those of width in front (width, slot, arguments…). */
#define TP_CALL(...) TP_OP_VALUE(TP_C_STATEMENT, 6, __VA_ARGS__)
#define TP_CALL_VOID(...) TP_OP_VOID(TP_C_STATEMENT, 6, __VA_ARGS__)
#define TP_CALLEE_SAVE_CALL(...) TP_OP_VALUE(TP_SAVE_STATEMENT, 6, __VA_ARGS__)
#define TP_CALLEE_SAVE_CALL_VOID(...) TP_OP_VOID(TP_SAVE_STATEMENT, 6, __VA_ARGS__)
#define TP_WIDE_CALL(width, ...) TP_OP_VALUE(TP_C_STATEMENT, width, __VA_ARGS__)
#define TP_WIDE_CALL_VOID(width, ...) TP_OP_VOID(TP_C_STATEMENT, width, __VA_ARGS__)
#define TP_WIDE_CALLEE_SAVE_CALL(width, ...) TP_OP_VALUE(TP_SAVE_STATEMENT, width, __VA_ARGS__)
#define TP_WIDE_CALLEE_SAVE_CALL_VOID(width, ...) TP_OP_VOID(TP_SAVE_STATEMENT, width, __VA_ARGS__)

/*
 * A C function as a callee-save one, by the compiler's attribute; the translation unit must be compiled with
 * -mgeneral-regs-only. GCC's alone: clang 14 doesn't save the registers that hold the function's arguments, and
 * without optimisation gives rax its old value back. The thunk below serves both compilers.
 */
#ifndef __clang__
#define TP_CALLEE_SAVE __attribute__((no_caller_saved_registers))
#endif

/*
 * Defines `function_callee_save`, which calls `function` (a symbol that is not static) and keeps every register but
 * rax; vector registers only if the function was compiled with -mgeneral-regs-only. The pushes leave the stack as a called C function expects it: 8 modulo 16 on entry.
 */
#define TP_CALLEE_SAVE_THUNK(function)                                                                         \
    extern __typeof__(function) function __attribute__((used)); /* LTO doesn't see the call below */           \
    extern __typeof__(function) function##_callee_save;                                                        \
    __asm__(".pushsection .text.textpatch_thunks,\"ax\",@progbits\n\t"                                         \
            ".globl " #function "_callee_save\n\t.hidden " #function "_callee_save\n\t"                        \
            ".type " #function "_callee_save, @function\n\t.balign 16\n" #function "_callee_save:\n\t"         \
            "push %rcx\n\tpush %rdx\n\tpush %rsi\n\tpush %rdi\n\tpush %r8\n\tpush %r9\n\tpush %r10\n\t"      \
            "push %r11\n\tsub $8, %rsp\n\t"                                                                   \
            "call " #function "\n\t"                                                                           \
            "add $8, %rsp\n\tpop %r11\n\tpop %r10\n\tpop %r9\n\tpop %r8\n\tpop %rdi\n\tpop %rsi\n\t"         \
            "pop %rdx\n\tpop %rcx\n\tret\n\tint3\n\t"                                                        \
            ".size " #function "_callee_save, . - " #function "_callee_save\n\t"                               \
            ".popsection\n")

#endif
