/* SPDX-License-Identifier: MIT */
/*
 * textpatch/gas.h: sites, keys and inline forms in .S files.
 *
 * What it is for
 *   Assembler macros for GNU as and clang's integrated assembler. #include this in a .S file; for NASM there is
 *   textpatch.inc, for C each header has its own. Their records are the same (textpatch/record.h).
 *
 * Patchable places
 *   TP_ALTERNATIVE "original", "replacement", feature
 *   TP_ALTERNATIVE_2 "original", "replacement1", feature1, "replacement2", feature2
 *   TP_ALTERNATIVE_3 …                        the last eligible replacement wins; features are in feature.h
 *   TP_OP_CALL width, slot                    call *slot(%rip) in `width` bytes, 6 to 15
 *   TP_OP_JMP width, slot                     the same as a jump: iret, sysret, tail calls
 *   TP_STATIC_CALL name                       a call of what TP_DEFINE_STATIC_CALL(name, …) defined
 *   TP_STATIC_BRANCH key, starts, jumps_if_enabled, label        5 bytes: a NOP, or a jump to `label`
 *   TP_STATIC_BRANCH_SHORT key, starts, jumps_if_enabled, label  2 bytes
 *   TP_LOCK [instruction]                     a lock prefix in front of the instruction that follows
 *   TP_ALIGN_SITE length                      in front of a site: keeps it in one quadword (align.h has the cost)
 * State
 *   TP_OP_KEY slot, "name"                    the slot's key record, once a slot; in C it is TP_OP()
 * Inline forms
 *   TP_PATCHLET name … TP_PATCHLET_END        instructions between the labels `name` and `name_end`
 *   TP_INLINE function, patchlet              registers the patchlet as the function's inline form
 *
 * Example
 *   #include <textpatch/gas.h>
 *   interrupt_exit:
 *       TP_ALTERNATIVE "nop", "verw selector(%rip)", TP_FEATURE_MD_CLEAR
 *       TP_OP_JMP 6, pv_ops+IRET
 *
 * How it works
 *   TP_OP_CALL 7, pv_ops+8
 *     .text              2e ff 15 xx xx xx xx    cs call *pv_ops+8(%rip)
 *     .textpatch.sites   site - ., pv_ops+8 - ., 0, 07, 12, 0000
 *
 * Edge cases
 *   - An argument with a space or a comma stands in quotes; features don't need them.
 *   - Feature names are the preprocessor's: it doesn't see them inside quotes. Several instructions of one form are
 *     separated by `;`, and a form that is an alternative again is a .macro of one's own that invokes it.
 *   - Labels inside a form must be numeric or made with \@, since an original is assembled twice. A jump out of an
 *     original must be written `{disp32} jmp`: its copy lies in another section and gets the long form.
 *   - "value of 1000 too large" (GNU as) or "invalid number of bytes" (clang) at a use means that the original and
 *     its copy differ in length, that a form is longer than 255 bytes, or that a short branch doesn't reach.
 *   - With -fPIE, symbols of other files must be hidden.
 */
#ifndef TEXTPATCH_GAS_H
#define TEXTPATCH_GAS_H

#ifndef __ASSEMBLER__
#error "textpatch: gas.h is for .S files"
#endif

#include <textpatch/feature.h>
#include <textpatch/record.h>

/* Macro names are the same to the assembler in upper and in lower case: the helpers have names of their own. */

.macro tp_emit_site start:req, end:req, key:req, form:req, kind:req, detail:req
    .pushsection .textpatch.sites, "aw?", @progbits
    .balign 4
    .long \start - .
    .ifc "\key","0"
        .long 0
    .else
        .long \key - .
    .endif
    .ifc "\form","0"
        .long 0
    .else
        .long \form - .
    .endif
    .byte \end - \start, TP_RECORD_VERSION << 4 | \kind
    .short \detail
    .popsection
.endm

/* See TP_EMIT_REFUSAL in record.h. */
.macro tp_refuse condition:req
    .pushsection .textpatch.discard.checks, "a", @progbits
    .skip 1 + 2 * \condition
    .byte -1000 * \condition
    .popsection
.endm

/* Op calls */

/* CS prefixes: see TP_EMIT_OP in op.h. */
.macro tp_emit_op modrm:req, branch:req, width:req, slot:req
    .if (\width) < 6 || (\width) > TP_OP_LENGTH_MAX
        .error "textpatch: an op site is 6 to 15 bytes wide, not \width"
    .else
.Ltp_op\@:
        .if (\width) > 6
            .skip (\width) - 6, 0x2e
        .endif
        .byte 0xff, \modrm
        .long \slot - . - 4
.Ltp_op_end\@:
        tp_emit_site .Ltp_op\@, .Ltp_op_end\@, "\slot", 0, TP_KIND_OP, \branch
    .endif
.endm

.macro TP_OP_CALL width:req, slot:req
    tp_emit_op 0x15, TP_BRANCH_CALL, "\width", "\slot"
.endm

.macro TP_OP_JMP width:req, slot:req
    tp_emit_op 0x25, TP_BRANCH_JMP, "\width", "\slot"
.endm

.macro TP_OP_KEY slot:req, name:req
    .pushsection .textpatch.names, "aw", @progbits
.Ltp_name\@:
    .asciz "\name"
    .popsection
    .pushsection .textpatch.keys, "aw", @progbits
    .balign 8
    .long \slot - .
    .long .Ltp_name\@ - .
    .short TP_KEY_KIND_OP, 0
    .long 0
    .quad 0, 0
    .popsection
.endm

.macro TP_ALIGN_SITE length:req
    .if (\length) < 1 || (\length) > TP_SITE_LENGTH_MAX
        .error "textpatch: a site is 1 to 255 bytes long, not \length"
    .elseif (\length) > 1 && (\length) <= 8
        .p2align 3, , (\length) - 1
    .endif
.endm

/* Static calls and static keys */

.macro TP_STATIC_CALL name:req
    call tp_static_call_trampoline_\name
.endm

.macro tp_require_flags starts:req, jumps_if_enabled:req
    .if ((\starts) & ~1) || ((\jumps_if_enabled) & ~1)
        .error "textpatch: `starts` and `jumps_if_enabled` of a static branch are 0 or 1"
    .endif
.endm

.macro TP_STATIC_BRANCH key:req, starts:req, jumps_if_enabled:req, label:req
    tp_require_flags "\starts", "\jumps_if_enabled"
.Ltp_branch\@:
    .if \starts
        .byte 0xe9
        .long \label - . - 4
    .else
        .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    .endif
.Ltp_branch_end\@:
    tp_emit_site .Ltp_branch\@, .Ltp_branch_end\@, "\key", "\label", TP_KIND_STATIC_KEY, \
        "(\starts) | (\jumps_if_enabled) << 1"
.endm

.macro TP_STATIC_BRANCH_SHORT key:req, starts:req, jumps_if_enabled:req, label:req
    tp_require_flags "\starts", "\jumps_if_enabled"
.Ltp_branch\@:
    .if \starts
        .byte 0xeb, \label - . - 1
    .else
        .byte 0x66, 0x90
    .endif
.Ltp_branch_end\@:
    tp_refuse ((\label - .Ltp_branch_end\@ > 127) + (\label - .Ltp_branch_end\@ < -128))
    tp_emit_site .Ltp_branch\@, .Ltp_branch_end\@, "\key", "\label", TP_KIND_STATIC_KEY, \
        "(\starts) | (\jumps_if_enabled) << 1"
.endm

/* Lock prefixes */

.macro TP_LOCK instruction:vararg
.Ltp_lock\@:
    .byte 0xf0
.Ltp_lock_end\@:
    tp_emit_site .Ltp_lock\@, .Ltp_lock_end\@, 0, 0, TP_KIND_LOCK_PREFIX, 0
    \instruction
.endm

/* Alternatives */

/* A form, as struct tp_form, in a section of its own: a form inside a form must not land in the middle of it. */
.macro tp_emit_form section:req, label:req, source:req
    .pushsection \section\().\@, "aw?", @progbits
\label:
    .byte \label\()_end - \label - 1
    \source
\label\()_end:
    .popsection
    tp_refuse (\label\()_end - \label - 1 > TP_SITE_LENGTH_MAX)
.endm

.macro tp_pad_site number:req, form:req
.Ltp_filled_\form\number:
    .skip -(((\form\number\()_end - \form\number - 1) - (.Ltp_filled_\form\number - .Ltp_site\number)) > 0) * \
        ((\form\number\()_end - \form\number - 1) - (.Ltp_filled_\form\number - .Ltp_site\number)), 0x90
.endm

.macro tp_emit_choice number:req, form:req, feature:req
    .if ((\feature) & 0x7fff) >= TP_FEATURE_WORDS * 32
        .error "textpatch: TP_ALTERNATIVE: there is no feature \feature"
    .endif
    tp_emit_site .Ltp_site\number, .Ltp_site_end\number, \form\number, .Ltp_copy\number, TP_KIND_ALTERNATIVE, \
        "\feature"
.endm

.macro TP_ALTERNATIVE original:req, replacement:req, feature:req
.Ltp_site\@:
    \original
.Ltp_original_end\@:
    tp_refuse (.Ltp_copy\@_end - .Ltp_copy\@ - 1 != .Ltp_original_end\@ - .Ltp_site\@)
    tp_pad_site \@, .Ltp_first
.Ltp_site_end\@:
    tp_emit_form .textpatch.originals, .Ltp_copy\@, "\original"
    tp_emit_form .textpatch.replacements, .Ltp_first\@, "\replacement"
    tp_emit_choice \@, .Ltp_first, "\feature"
.endm

.macro TP_ALTERNATIVE_2 original:req, replacement1:req, feature1:req, replacement2:req, feature2:req
.Ltp_site\@:
    \original
.Ltp_original_end\@:
    tp_refuse (.Ltp_copy\@_end - .Ltp_copy\@ - 1 != .Ltp_original_end\@ - .Ltp_site\@)
    tp_pad_site \@, .Ltp_first
    tp_pad_site \@, .Ltp_second
.Ltp_site_end\@:
    tp_emit_form .textpatch.originals, .Ltp_copy\@, "\original"
    tp_emit_form .textpatch.replacements, .Ltp_first\@, "\replacement1"
    tp_emit_form .textpatch.replacements, .Ltp_second\@, "\replacement2"
    tp_emit_choice \@, .Ltp_first, "\feature1"
    tp_emit_choice \@, .Ltp_second, "\feature2"
.endm

.macro TP_ALTERNATIVE_3 original:req, replacement1:req, feature1:req, replacement2:req, feature2:req, \
        replacement3:req, feature3:req
.Ltp_site\@:
    \original
.Ltp_original_end\@:
    tp_refuse (.Ltp_copy\@_end - .Ltp_copy\@ - 1 != .Ltp_original_end\@ - .Ltp_site\@)
    tp_pad_site \@, .Ltp_first
    tp_pad_site \@, .Ltp_second
    tp_pad_site \@, .Ltp_third
.Ltp_site_end\@:
    tp_emit_form .textpatch.originals, .Ltp_copy\@, "\original"
    tp_emit_form .textpatch.replacements, .Ltp_first\@, "\replacement1"
    tp_emit_form .textpatch.replacements, .Ltp_second\@, "\replacement2"
    tp_emit_form .textpatch.replacements, .Ltp_third\@, "\replacement3"
    tp_emit_choice \@, .Ltp_first, "\feature1"
    tp_emit_choice \@, .Ltp_second, "\feature2"
    tp_emit_choice \@, .Ltp_third, "\feature3"
.endm

/* Inline forms */

.set .Ltp_patchlet_open, 0

.macro TP_PATCHLET name:req
    .if .Ltp_patchlet_open
        .error "textpatch: TP_PATCHLET \name: TP_PATCHLET_END is missing before this one"
    .else
        .set .Ltp_patchlet_open, 1
        .pushsection .textpatch.replacements, "aw", @progbits
        .globl \name, \name\()_end
        .hidden \name, \name\()_end
        .type \name, @object
        .type \name\()_end, @object
\name:
        .macro tp_close_patchlet
\name\()_end:
        .endm
    .endif
.endm

.macro TP_PATCHLET_END
    .if .Ltp_patchlet_open
        tp_close_patchlet
        .purgem tp_close_patchlet
        .popsection
        .set .Ltp_patchlet_open, 0
    .else
        .error "textpatch: TP_PATCHLET_END: there is no TP_PATCHLET before it"
    .endif
.endm

.macro TP_INLINE function:req, patchlet:req
    .pushsection .textpatch.inlines, "aw", @progbits
    .balign 4
    .long \function - ., \patchlet - ., \patchlet\()_end - .
    .popsection
.endm

#endif
