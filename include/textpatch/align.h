/* SPDX-License-Identifier: MIT */
/*
 * textpatch/align.h: sites that one store can change.
 *
 * What it is for
 *   A site that lies in an aligned quadword can be changed live by one 8-byte store (textpatch/live.h, class store), one
 *   that crosses a quadword by three syncs. These macros put padding in front of a site that would cross.
 *
 * The macros
 *   TP_ALIGN_SITES          define it as 1, before any header or on the command line, and every C site of up to 8 bytes
 *                           (op calls, static branches) is kept in one quadword. Default: 0
 *   TP_EMIT_ALIGN(length)   assembler source for asm statements of one's own: in front of a site of `length` bytes
 *   TP_ALIGN_SITE length    the same in .S files (gas.h) and in NASM (textpatch.inc)
 *
 * Example
 *   TP_ALIGN_SITE 6
 *   TP_OP_CALL 6, pv_ops+8
 *
 * What it costs
 *   Bytes, where sites lie anywhere; the padding is NOPs, executed on the way to the site:
 *     length of the site     2      5      6      7      8
 *     bytes on average       0.13   1.25   1.88   2.63   3.5
 *     at most                1      4      5      6      7
 *   A function that holds such a site begins at a multiple of 8.
 *
 * How it works
 *   .p2align 3,,4 in front of 5 bytes: align to 8, unless that takes more than 4 bytes. It takes 1 to 4 exactly where
 *   the site would cross.
 *
 *   at 0x…c   e8 11 22 33|44           becomes   0f 1f 40 00|e8 11 22 33 44
 *
 * Edge cases
 *   A site longer than 8 bytes gets no padding: it can't be stored at once wherever it lies.
 */
#ifndef TEXTPATCH_ALIGN_H
#define TEXTPATCH_ALIGN_H

#ifndef TP_ALIGN_SITES
#define TP_ALIGN_SITES 0
#endif

#ifndef __ASSEMBLER__

#include <textpatch/record.h>

#define TP_EMIT_ALIGN(length)                                                                                  \
    ".if (" TP_TEXT(length) ") > 1 && (" TP_TEXT(length) ") < 9\n\t"                                              \
    ".p2align 3, , (" TP_TEXT(length) ") - 1\n\t.endif\n\t"

/* In front of the sites that the headers emit. */
#if TP_ALIGN_SITES
#define TP_EMIT_ALIGN_IF_WANTED(length) TP_EMIT_ALIGN(length)
#else
#define TP_EMIT_ALIGN_IF_WANTED(length) ""
#endif

#endif /* __ASSEMBLER__ */
#endif
