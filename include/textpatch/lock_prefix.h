/* SPDX-License-Identifier: MIT */
/*
 * textpatch/lock_prefix.h: lock prefixes that one CPU alone does not need.
 *
 * What it is for
 *   `lock` costs some twenty cycles even where no second CPU exists. A prefix written with TP_LOCK_PREFIX becomes a
 *   DS segment prefix, which means nothing, while one CPU runs, and `lock` again when a second one arrives.
 *
 * The macro
 *   TP_LOCK_PREFIX    assembler source, in front of an instruction that takes `lock`
 *   tp_set_cpu_count() (textpatch/engine.h) tells the library; the text follows at tp_apply()
 *
 * Example
 *   asm volatile(TP_LOCK_PREFIX "incl %0" : "+m"(counter->value) : : "cc");
 *
 * How it works
 *   more than one CPU (original)   f0 ff 07   lock incl (%rdi)
 *   one CPU                        3e ff 07   ds incl (%rdi)
 *
 * Edge cases
 *   - Memory shared with devices or with another guest needs a real `lock` for ever: don't use this there.
 *   - A second CPU must not run before the prefixes are back: tp_set_cpu_count(2), tp_apply(), then start it.
 */
#ifndef TEXTPATCH_LOCK_PREFIX_H
#define TEXTPATCH_LOCK_PREFIX_H

#include <textpatch/record.h>

#define TP_LOCK_PREFIX                                                                                         \
    "7907:\t.byte 0xf0\n7908:\n\t" TP_EMIT_SITE(TP_KIND_LOCK_PREFIX, "7907b", "7908b", "0", "0", "0")

#endif
