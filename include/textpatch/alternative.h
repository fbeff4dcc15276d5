/* SPDX-License-Identifier: MIT */
/*
 * textpatch/alternative.h: instructions chosen by CPU feature.
 *
 * What it is for
 *   One place in the text, an original that is right on every machine, and replacements that are better where a
 *   feature is set. The library puts the best one in place, with no branch left behind.
 *
 * The macros
 *   TP_ALTERNATIVE(original, replacement, feature)
 *   TP_ALTERNATIVE_2(original, replacement1, feature1, replacement2, feature2)
 *   TP_ALTERNATIVE_3(…)                                  the last eligible replacement wins
 *   TP_NOT(feature)                                      eligible where the feature is clear
 *   Each yields assembler source, so operands, clobbers and `volatile` are those of the asm statement around it.
 *   tp_alternative(…), tp_alternative_2(…)               the whole statement, no operands
 *   tp_alternative_call(original, replacement, feature, outputs, inputs…)   a call of one of two functions
 *
 * Example
 *   asm volatile(TP_ALTERNATIVE("call copy_words", "rep movsb", TP_FEATURE_ERMS)
 *                : "+D"(to), "+S"(from), "+c"(count) : : "memory", "rax");
 *
 * How it works
 *   before (feature clear)   e8 xx xx xx xx    call copy_words
 *   after (feature set)      f3 a4 0f 1f 00    rep movsb; nopl (%rax)
 *   The site is as long as the longest of original and replacements; the assembler pads it. The original is
 *   assembled a second time out of line, so that the site can be checked, reverted and selected anew. Operands that
 *   are relative to the instruction pointer are adjusted when a form moves into the site.
 *
 * Edge cases
 *   - Use nests: an original or a replacement may itself be a TP_ALTERNATIVE or hold an op call.
 *   - Labels inside a form must be numeric ("1:"), since the original is assembled twice. A jump in an original to
 *     a label outside it must be written in its long form (`{disp32} jmp`; in a statement with operands
 *     `%{disp32%} jmp`, since braces mean something else there): its copy, being in another section,
 *     gets the long form anyway.
 *   - "value of 1000 too large" (GNU as) or "invalid number of bytes" (clang) at a use means that the original and
 *     its copy differ in length, or that a form is longer than 255 bytes.
 *   - `feature` is a #define or a literal, not an enum's name: the assembler has to know it.
 *   - All forms must leave the stack pointer as they found it.
 *   - A form that ends in a call is padded in front, so that the call returns to the site's end.
 *   - The padding of an unpatched original is one-byte NOPs; any applied form is padded with the longest NOPs.
 *   - With -fPIE, symbols named in the text of a form must be hidden (textpatch/hidden.h).
 */
#ifndef TEXTPATCH_ALTERNATIVE_H
#define TEXTPATCH_ALTERNATIVE_H

#include <textpatch/feature.h>
#include <textpatch/record.h>

/*
 * Labels are numeric and made from a counter, so that nested uses differ and inlined copies don't clash: <n>1 the
 * site, <n>2 its end (again after each padding), <n>3 and <n>4 the original's copy and its end, <n>5 to <n>7 the
 * replacements, <n>8, <n>9 and <n>0 their ends.
 */
#define TP_LABEL(n, digit) TP_TEXT(n) #digit

/* Each use has sections of its own: a form that nests another use must not have that one's forms in its middle. */
#define TP_EMIT_FORM(section, start, end, source)                                                              \
    ".pushsection " section ",\"aw?\",@progbits\n" start                                                        \
    ":\t.byte " end "f - " start "b - 1\n\t" source "\n" end ":\n\t"                                            \
    ".popsection\n\t"                                                                                          \
    TP_EMIT_REFUSAL(end "b - " start "b - 1 > " TP_TEXT(TP_SITE_LENGTH_MAX))

/* How many bytes the site lacks to hold the form between two labels that are still to come. */
#define TP_LACKING(n, form, form_end)                                                                          \
    "((" TP_LABEL(n, form_end) "f - " TP_LABEL(n, form) "f - 1) - (" TP_LABEL(n, 2) "b - " TP_LABEL(n, 1) "b))"

/* True is -1 to the assembler, hence the sign. */
#define TP_EMIT_PADDING(n, form, form_end)                                                                     \
    TP_LABEL(n, 2)                                                                                             \
    ":\t.skip -(" TP_LACKING(n, form, form_end) " > 0) * " TP_LACKING(n, form, form_end) ", 0x90\n"

/* Stands between the original and its padding. */
#define TP_EMIT_COPY_CHECK(n)                                                                                  \
    TP_LABEL(n, 2)                                                                                             \
    ":\n\t" TP_EMIT_REFUSAL(TP_LABEL(n, 4) "f - " TP_LABEL(n, 3) "f - 1 != " TP_LABEL(n, 2) "b - "             \
                            TP_LABEL(n, 1) "b")

#define TP_EMIT_ORIGINAL(n, original)                                                                          \
    TP_LABEL(n, 2) ":\n\t"                                                                                     \
    TP_EMIT_FORM(".textpatch.originals." TP_TEXT(n), TP_LABEL(n, 3), TP_LABEL(n, 4), original)

#define TP_EMIT_CHOICE(n, form, form_end, replacement, feature)                                                \
    TP_EMIT_FORM(".textpatch.replacements." TP_TEXT(n), TP_LABEL(n, form), TP_LABEL(n, form_end), replacement) \
    TP_EMIT_SITE(TP_KIND_ALTERNATIVE, TP_LABEL(n, 1) "b", TP_LABEL(n, 2) "b", TP_LABEL(n, form) "b - .",       \
                 TP_LABEL(n, 3) "b - .", TP_TEXT(feature))

#define TP_ALTERNATIVE_N(n, original, replacement, feature)                                                    \
    "\n" TP_LABEL(n, 1) ":\t" original "\n"                                                                     \
    TP_EMIT_COPY_CHECK(n)                                                                                      \
    TP_EMIT_PADDING(n, 5, 8)                                                                                   \
    TP_EMIT_ORIGINAL(n, original)                                                                              \
    TP_EMIT_CHOICE(n, 5, 8, replacement, feature)

#define TP_ALTERNATIVE_2_N(n, original, replacement1, feature1, replacement2, feature2)                        \
    "\n" TP_LABEL(n, 1) ":\t" original "\n"                                                                     \
    TP_EMIT_COPY_CHECK(n)                                                                                      \
    TP_EMIT_PADDING(n, 5, 8)                                                                                   \
    TP_EMIT_PADDING(n, 6, 9)                                                                                   \
    TP_EMIT_ORIGINAL(n, original)                                                                              \
    TP_EMIT_CHOICE(n, 5, 8, replacement1, feature1)                                                            \
    TP_EMIT_CHOICE(n, 6, 9, replacement2, feature2)

#define TP_ALTERNATIVE_3_N(n, original, replacement1, feature1, replacement2, feature2, replacement3,          \
                           feature3)                                                                           \
    "\n" TP_LABEL(n, 1) ":\t" original "\n"                                                                     \
    TP_EMIT_COPY_CHECK(n)                                                                                      \
    TP_EMIT_PADDING(n, 5, 8)                                                                                   \
    TP_EMIT_PADDING(n, 6, 9)                                                                                   \
    TP_EMIT_PADDING(n, 7, 0)                                                                                   \
    TP_EMIT_ORIGINAL(n, original)                                                                              \
    TP_EMIT_CHOICE(n, 5, 8, replacement1, feature1)                                                            \
    TP_EMIT_CHOICE(n, 6, 9, replacement2, feature2)                                                            \
    TP_EMIT_CHOICE(n, 7, 0, replacement3, feature3)

/* __COUNTER__ must be expanded before it is pasted into many places; 77 keeps clear of hand-written labels. */
#define TP_COUNTED_(macro, counter, ...) macro(77##counter, __VA_ARGS__)
#define TP_COUNTED(macro, counter, ...) TP_COUNTED_(macro, counter, __VA_ARGS__)

#define TP_ALTERNATIVE(...) TP_COUNTED(TP_ALTERNATIVE_N, __COUNTER__, __VA_ARGS__)
#define TP_ALTERNATIVE_2(...) TP_COUNTED(TP_ALTERNATIVE_2_N, __COUNTER__, __VA_ARGS__)
#define TP_ALTERNATIVE_3(...) TP_COUNTED(TP_ALTERNATIVE_3_N, __COUNTER__, __VA_ARGS__)

/* Whole statements without operands. */
#define tp_alternative(...) __asm__ volatile(TP_ALTERNATIVE(__VA_ARGS__) : : : "memory")
#define tp_alternative_2(...) __asm__ volatile(TP_ALTERNATIVE_2(__VA_ARGS__) : : : "memory")

/*
 * A direct call of `function`, or where the feature is set of `better`. Both take and return what the operands say;
 * `outputs` and further operands are those of an asm statement, e.g.
 *   tp_alternative_call(copy_plain, copy_erms, TP_FEATURE_ERMS, TP_OPERANDS("+D"(to), "+c"(n)), "a"(0));
 * At least one output. The functions may clobber what their own clobber list (the caller's to give by outputs) says, and no more.
 */
#define TP_OPERANDS(...) __VA_ARGS__
#define tp_alternative_call(function, better, feature, outputs, ...)                                           \
    __asm__ volatile(TP_ALTERNATIVE("call %c[tp_function]", "call %c[tp_better]", feature)                     \
                     : "+r"(tp_stack), outputs                                                                 \
                     : [tp_function] "i"(function), [tp_better] "i"(better), ##__VA_ARGS__                     \
                     : "memory", "cc")

#endif
