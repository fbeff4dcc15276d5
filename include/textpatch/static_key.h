/* SPDX-License-Identifier: MIT */
/*
 * textpatch/static_key.h: branches without a branch.
 *
 * What it is for
 *   Code that is almost always off (or on): tracing, debugging, optional work. The test costs one NOP, or one jump.
 *
 * The macros
 *   TP_DECLARE_STATIC_KEY_TRUE(name), TP_DECLARE_STATIC_KEY_FALSE(name)   in a header
 *   TP_DEFINE_STATIC_KEY_TRUE(name), TP_DEFINE_STATIC_KEY_FALSE(name)     in one C file
 *   TP_DEFINE_STATIC_KEY_ARRAY_TRUE(name, count), …_FALSE(name, count)    `count` is a number the assembler knows
 *   tp_static_branch_likely(name)     a bool; the code for true follows in line
 *   tp_static_branch_unlikely(name)   a bool; the code for true is moved out of line
 *   tp_static_branch_likely_short(name), tp_static_branch_unlikely_short(name)   in 2 bytes instead of 5
 *   tp_static_key_enable(name), tp_static_key_disable(name)      to 1, to 0: an enum tp_status
 *   tp_static_key_increment(name), tp_static_key_decrement(name) counted: on while the count is above 0
 *   tp_static_key_count(name)
 *
 * Example
 *   TP_DEFINE_STATIC_KEY_FALSE(tracing);
 *   if (tp_static_branch_unlikely(tracing))
 *       trace_switch(from, to);
 *   …
 *   status = tp_static_key_enable(tracing);
 *
 * How it works
 *                     likely                          unlikely
 *   key is on         0f 1f 44 00 00   nop            e9 xx xx xx xx   jmp to the code
 *   key is off        e9 xx xx xx xx   jmp past it    0f 1f 44 00 00   nop
 *   The assembler emits what is right for the key's first value, so the branch is right before the library has run.
 *
 * Edge cases
 *   - Before the library has applied anything, a changed key is not seen by its branches (they read no memory):
 *     the text follows at tp_apply().
 *   - The short form fails at assembly where the code is out of reach of 8 bits: "value of 1000 too large" from GNU
 *     as, "invalid number of bytes" from clang. A compiler may move the unlikely side that far.
 *   - A count never goes below 0: TP_ERR_BAD_ARGUMENT.
 */
#ifndef TEXTPATCH_STATIC_KEY_H
#define TEXTPATCH_STATIC_KEY_H

#include <stdbool.h>
#include <textpatch/align.h>
#include <textpatch/engine.h>
#include <textpatch/record.h>

struct tp_static_key {
    int64_t count;
};

/* An array's elements are all alike: C says so in its initialiser, C++ in the type. */
#ifdef __cplusplus
#define TP_KEY_TRUE_BY_DEFAULT = {1}
#define TP_ALL_TRUE(count) {}
#else
#define TP_KEY_TRUE_BY_DEFAULT
#define TP_ALL_TRUE(count) {[0 ...(count) - 1] = {{1}}}
#endif

/* The first value is part of the type, as an array's length, so that a branch can ask for it at compile time. */
union tp_static_key_false {
    struct tp_static_key key;
    char starts_as[1];
};
union tp_static_key_true {
    struct tp_static_key key TP_KEY_TRUE_BY_DEFAULT;
    char starts_as[2];
};
#define TP_STARTS_TRUE(name) (sizeof((name).starts_as) - 1)

#ifdef __cplusplus
#define TP_KEY_LINKAGE extern "C"
#else
#define TP_KEY_LINKAGE extern
#endif

#define TP_DECLARE_STATIC_KEY_TRUE(name)                                                                       \
    TP_KEY_LINKAGE union tp_static_key_true name __attribute__((visibility("hidden")))
#define TP_DECLARE_STATIC_KEY_FALSE(name)                                                                      \
    TP_KEY_LINKAGE union tp_static_key_false name __attribute__((visibility("hidden")))

#define TP_DEFINE_STATIC_KEY_TRUE(name)                                                                        \
    TP_DECLARE_STATIC_KEY_TRUE(name);                                                                          \
    __attribute__((used)) union tp_static_key_true name = {{1}};                                               \
    __asm__(TP_EMIT_KEY(TP_KEY_KIND_STATIC_KEY, #name, #name))
#define TP_DEFINE_STATIC_KEY_FALSE(name)                                                                       \
    TP_DECLARE_STATIC_KEY_FALSE(name);                                                                         \
    __attribute__((used)) union tp_static_key_false name = {{0}};                                              \
    __asm__(TP_EMIT_KEY(TP_KEY_KIND_STATIC_KEY, #name, #name))

#define TP_EMIT_KEY_ARRAY(name, count)                                                                         \
    ".set tp_array_offset, 0\n\t.rept " TP_TEXT(count) "\n\t"                                                  \
    TP_EMIT_KEY(TP_KEY_KIND_STATIC_KEY, name " + tp_array_offset", name)                                       \
    ".set tp_array_offset, tp_array_offset + 8\n\t.endr\n\t"
#define TP_DEFINE_STATIC_KEY_ARRAY_TRUE(name, count)                                                           \
    TP_KEY_LINKAGE union tp_static_key_true name[count] __attribute__((visibility("hidden")));                 \
    __attribute__((used)) union tp_static_key_true name[count] = TP_ALL_TRUE(count);                              \
    __asm__(TP_EMIT_KEY_ARRAY(#name, count))
#define TP_DEFINE_STATIC_KEY_ARRAY_FALSE(name, count)                                                          \
    TP_KEY_LINKAGE union tp_static_key_false name[count] __attribute__((visibility("hidden")));                \
    __attribute__((used)) union tp_static_key_false name[count] = {{{0}}};                                     \
    __asm__(TP_EMIT_KEY_ARRAY(#name, count))

/*
 * One branch site. As a NOP it falls through; as a jump it goes to `tp_taken`.
 *   starts: whether it is assembled as a jump; jumps_if_enabled: what an enabled key makes of it.
 */
#define TP_EMIT_BRANCH_LONG                                                                                    \
    TP_EMIT_ALIGN_IF_WANTED(5)                                                                                  \
    "7905:\t.if %c[tp_starts]\n\t.byte 0xe9\n\t.long %l[tp_taken] - . - 4\n\t"                                  \
    ".else\n\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t.endif\n7906:\n\t"
#define TP_EMIT_BRANCH_SHORT                                                                                   \
    TP_EMIT_ALIGN_IF_WANTED(2)                                                                                  \
    "7905:\t.if %c[tp_starts]\n\t.byte 0xeb, %l[tp_taken] - . - 1\n\t"                                          \
    ".else\n\t.byte 0x66, 0x90\n\t.endif\n7906:\n\t"                                                            \
    TP_EMIT_REFUSAL("(%l[tp_taken] - 7906b > 127) + (%l[tp_taken] - 7906b < -128)")

#define TP_STATIC_BRANCH(emitted, cell, starts, jumps_if_enabled)                                              \
    __extension__({                                                                                            \
        __label__ tp_taken, tp_done;                                                                           \
        bool tp_jumped;                                                                                        \
        __asm__ goto(emitted TP_EMIT_SITE(TP_KIND_STATIC_KEY, "7905b", "7906b", "%c[tp_cell] - .",             \
                                          "%l[tp_taken] - .",                                                  \
                                          "%c[tp_starts] | %c[tp_enabled]")                                    \
                     :                                                                                         \
                     : [tp_cell] "i"(&(cell)), [tp_starts] "i"(starts),                                        \
                       [tp_enabled] "i"((jumps_if_enabled) ? TP_KEY_JUMPS_IF_ENABLED : 0)                      \
                     :                                                                                         \
                     : tp_taken);                                                                              \
        tp_jumped = false;                                                                                     \
        goto tp_done;                                                                                          \
    tp_taken:                                                                                                  \
        tp_jumped = true;                                                                                      \
    tp_done:                                                                                                   \
        tp_jumped;                                                                                             \
    })

#define tp_static_branch_likely(name)                                                                          \
    __builtin_expect(!TP_STATIC_BRANCH(TP_EMIT_BRANCH_LONG, name, !TP_STARTS_TRUE(name), 0), 1)
#define tp_static_branch_unlikely(name)                                                                        \
    __builtin_expect(TP_STATIC_BRANCH(TP_EMIT_BRANCH_LONG, name, TP_STARTS_TRUE(name), 1), 0)
#define tp_static_branch_likely_short(name)                                                                    \
    __builtin_expect(!TP_STATIC_BRANCH(TP_EMIT_BRANCH_SHORT, name, !TP_STARTS_TRUE(name), 0), 1)
#define tp_static_branch_unlikely_short(name)                                                                  \
    __builtin_expect(TP_STATIC_BRANCH(TP_EMIT_BRANCH_SHORT, name, TP_STARTS_TRUE(name), 1), 0)

#define tp_static_key_count(name) ((name).key.count)
#define tp_static_key_enable(name) tp_key_update(&(name), 1)
#define tp_static_key_disable(name) tp_key_update(&(name), 0)
#define tp_static_key_increment(name) tp_key_add(&(name), 1)
#define tp_static_key_decrement(name) tp_key_add(&(name), -1)

#endif
