/* SPDX-License-Identifier: MIT */
/*
 * textpatch/static_call.h: function pointers that cost a direct call.
 *
 * What it is for
 *   A function that is chosen rarely and called often: a scheduler's hook, a tracing callback, a driver's fast path.
 *   The call is plain C, checked against the function's type, and goes through a trampoline in the text that
 *   the library rewrites when the target changes.
 *
 * The macros
 *   TP_DECLARE_STATIC_CALL(name, function)      in a header; `function` gives the type
 *   TP_DEFINE_STATIC_CALL(name, function)       in one C file; the first target
 *   TP_DEFINE_STATIC_CALL_NULL(name, function)  no target at first; `function` gives the type (returns void)
 *   TP_DEFINE_STATIC_CALL_RET0(name, function)  returns 0 at first
 *   tp_static_call(name)(arguments…)            the call
 *   tp_static_call_update(name, function)       a new target: an enum tp_status
 *   tp_static_call_query(name)                  the target, NULL if none
 *
 * Example
 *   int schedule_idle(struct cpu *);
 *   TP_DECLARE_STATIC_CALL(pick_task, schedule_idle);
 *   …
 *   TP_DEFINE_STATIC_CALL(pick_task, schedule_idle);
 *   next = tp_static_call(pick_task)(this_cpu);
 *   if (tp_static_call_update(pick_task, schedule_fair) != TP_OK) …
 *
 * How it works
 *   the trampoline, original   ff 25 xx xx xx xx   jmp *name(%rip)
 *   with a target              2e e9 xx xx xx xx   cs jmp target
 *   with none                  c3 cc cc cc cc cc   ret
 *   returning 0                2e e9 xx xx xx xx   cs jmp tp_return0
 *   The original reads the cell itself, so a call works, and follows updates, before the library has run.
 *   Where records name the call sites themselves (kind STATIC_CALL), those become direct calls, inline forms or
 *   NOPs, and the trampoline is left to callers that take the address.
 *
 * Edge cases
 *   - tp_static_call(name) is a function like any other: it may be called with a tail call, or passed on.
 *   - A call with no target does nothing; its value, if the type has one, is undefined: use the RET0 form.
 *   - Functions with an inline form (textpatch/inline.h) are inlined at call sites, never in the trampoline.
 *   - With -fPIE, see textpatch/hidden.h.
 */
#ifndef TEXTPATCH_STATIC_CALL_H
#define TEXTPATCH_STATIC_CALL_H

#include <textpatch/engine.h>
#include <textpatch/inline.h>
#include <textpatch/record.h>

#ifdef __cplusplus
extern "C" {
#define TP_EXTERN_C extern "C"
#else
#define TP_EXTERN_C extern
#endif

struct tp_static_call {
    void (*target)(void); /* never NULL: tp_nop_function stands for none */
};

/* The target, or NULL. Context: any. */
static inline void (*tp_static_call_target(const struct tp_static_call *call))(void) {
    return call->target == tp_nop_function ? (void (*)(void))0 : call->target;
}

#ifdef __cplusplus
}
#endif

#define TP_DECLARE_STATIC_CALL(name, function)                                                                 \
    TP_EXTERN_C struct tp_static_call tp_static_call_##name __attribute__((visibility("hidden")));             \
    TP_EXTERN_C __typeof__(function) tp_static_call_trampoline_##name __attribute__((visibility("hidden")))

#define TP_DEFINE_STATIC_CALL(name, function) TP_DEFINE_STATIC_CALL_(name, function, function)
#define TP_DEFINE_STATIC_CALL_NULL(name, function) TP_DEFINE_STATIC_CALL_(name, function, tp_nop_function)
#define TP_DEFINE_STATIC_CALL_RET0(name, function) TP_DEFINE_STATIC_CALL_(name, function, tp_return0)

/* Aligned so that the six bytes lie in one aligned quadword, which is what a later live update wants. */
#define TP_DEFINE_STATIC_CALL_(name, function, first)                                                          \
    TP_DECLARE_STATIC_CALL(name, function);                                                                    \
    __attribute__((used)) struct tp_static_call tp_static_call_##name = {(void (*)(void))(first)};             \
    __asm__(".pushsection .text.textpatch_trampolines,\"ax\",@progbits\n\t"                                     \
            ".balign 8, 0xcc\n\t"                                                                               \
            ".globl tp_static_call_trampoline_" #name "\n\t"                                                    \
            ".hidden tp_static_call_trampoline_" #name "\n\t"                                                   \
            ".type tp_static_call_trampoline_" #name ", @function\n"                                            \
            "tp_static_call_trampoline_" #name ":\n"                                                            \
            "7903:\t.byte 0xff, 0x25\n\t.long tp_static_call_" #name " - . - 4\n"                               \
            "7904:\t.byte 0xcc, 0xcc\n\t"                                                                       \
            ".size tp_static_call_trampoline_" #name ", 7904b - 7903b\n\t" TP_EMIT_SITE(                        \
                TP_KIND_TRAMPOLINE, "7903b", "7904b", "tp_static_call_" #name " - .", "0",                      \
                TP_TEXT(TP_BRANCH_JMP)) ".popsection\n\t"                                                       \
            TP_EMIT_KEY(TP_KEY_KIND_STATIC_CALL, "tp_static_call_" #name, #name))

#define tp_static_call(name) (tp_static_call_trampoline_##name)

/*
 * Gives the static call a new target and brings every site that depends on it up to date.
 *   name: of the static call; function: of the declared type, or NULL for no target.
 * Context: tp_image_add() done; as tp_key_update().
 * Returns what tp_key_update() returns (textpatch/engine.h).
 */
#define tp_static_call_update(name, function)                                                                  \
    __extension__({                                                                                            \
        __typeof__(tp_static_call_trampoline_##name) *tp_checked = (function);                                 \
        tp_key_update(&tp_static_call_##name,                                                                  \
                      tp_checked ? (uint64_t)(uintptr_t)tp_checked : (uint64_t)(uintptr_t)tp_nop_function);    \
    })
#define tp_static_call_update_ret0(name)                                                                       \
    tp_key_update(&tp_static_call_##name, (uint64_t)(uintptr_t)tp_return0)

#define tp_static_call_query(name)                                                                             \
    ((__typeof__(tp_static_call_trampoline_##name) *)tp_static_call_target(&tp_static_call_##name))

#endif
