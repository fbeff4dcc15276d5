/* SPDX-License-Identifier: MIT */
/*
 * textpatch/record.h: the record format, the contract between whoever emits a site and the library.
 *
 * What it is for
 *   Every patchable place is described by one 16-byte record, whatever its kind. The macros of the other headers
 *   emit them from C, gas.h from .S files, textpatch.inc from NASM; any language that can place bytes in a section
 *   can do so too. docs/record-abi.md is the same contract with worked bytes.
 *
 * The sections (all gathered by linker/textpatch.ld)
 *   .textpatch.sites         struct tp_site[], 16 bytes each, aligned to 4
 *   .textpatch.keys          struct tp_key[], 32 bytes each, aligned to 8
 *   .textpatch.inlines       struct tp_inline[], 12 bytes each, aligned to 4
 *   .textpatch.originals.*   the originals of alternatives, assembled a second time: struct tp_form
 *   .textpatch.replacements.*  replacements of alternatives (struct tp_form), and patchlets (plain bytes)
 *   .textpatch.names         NUL-terminated names of keys
 *
 * How it works
 *   Addresses are self-relative: the field holds `target - address of the field`, so records need no relocation at
 *   run time and the same object serves a fixed and a position-independent kernel. At init the library sorts the
 *   records by address in place and derives an index of 4 bytes a site, grouped by key.
 *
 * What a site may hold follows from its record alone, and from the state it names:
 *
 *   kind               key points to          form points to        detail
 *   ALTERNATIVE        the replacement's form the original's form   feature, | TP_DETAIL_NOT
 *   OP                 the slot               0                     TP_BRANCH_CALL or _JMP
 *   STATIC_CALL        the static call        its trampoline        TP_BRANCH_CALL, _JMP, or _JCC | condition
 *   TRAMPOLINE         the static call        0                     TP_BRANCH_JMP
 *   STATIC_KEY         the static key         the jump's target     TP_KEY_STARTS_AS_JUMP, TP_KEY_JUMPS_IF_ENABLED
 *   LOCK_PREFIX        0                      0                     0
 *
 * Edge cases
 *   Records may share a place: several alternatives of one site, or an alternative whose original is an op call.
 *   The one with the later replacement wins, and alternatives come before op calls. A record may lie wholly inside
 *   an alternative's site (nested use). Any other overlap is refused.
 *   A record inside .textpatch.originals describes the copy of a nested site and is dropped; one inside
 *   .textpatch.replacements describes a site inside a replacement and is rendered along with it.
 *   Bits 10 to 14 of `detail` belong to the library at run time and must be 0 in the file.
 */
#ifndef TEXTPATCH_RECORD_H
#define TEXTPATCH_RECORD_H

/* Constants that assembler source may use too. */
#define TP_RECORD_VERSION 1
#define TP_SITE_LENGTH_MAX 255
#define TP_OP_LENGTH_MAX 15 /* one instruction, Intel SDM vol. 2 section 2.3.11 */

#define TP_KIND_ALTERNATIVE 1
#define TP_KIND_OP 2
#define TP_KIND_STATIC_CALL 3
#define TP_KIND_TRAMPOLINE 4
#define TP_KIND_STATIC_KEY 5
#define TP_KIND_LOCK_PREFIX 6

#define TP_BRANCH_CALL 0x00
#define TP_BRANCH_JMP 0x01
#define TP_BRANCH_JCC 0x10 /* | condition, 0 to 15 as in the opcode's low nibble */

#define TP_KEY_STARTS_AS_JUMP 0x01
#define TP_KEY_JUMPS_IF_ENABLED 0x02

#define TP_DETAIL_NOT 0x8000

#define TP_KEY_KIND_OP 1
#define TP_KEY_KIND_STATIC_CALL 2
#define TP_KEY_KIND_STATIC_KEY 3

/* Some assemblers see this header only for the constants above. */
#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct tp_site {
    int32_t text;    /* the site's first byte */
    int32_t key;     /* see the table above */
    int32_t form;    /* see the table above; 0: none */
    uint8_t length;  /* of the site, in bytes, 1 to 255 */
    uint8_t kind;    /* TP_RECORD_VERSION << 4 | TP_KIND_…; bit 7 is the library's and 0 in a file */
    uint16_t detail; /* see the table above */
};

/* One instruction sequence, stored out of line. */
struct tp_form {
    uint8_t length; /* bytes that follow */
#ifndef __cplusplus /* where an array without a length is no member */
    uint8_t bytes[];
#endif
};

/*
 * A cell of state: an op slot, a static call or a static key. The cell is 8 bytes wide and lives with the kernel's
 * data; sites in their original form read it directly, so the kernel works before the library has run.
 */
struct tp_key {
    int32_t cell;      /* the 8 bytes of state: a function's address, or a count (enabled while > 0) */
    int32_t name;      /* NUL-terminated, for messages */
    uint16_t kind;     /* TP_KEY_KIND_… */
    uint16_t reserved; /* 0 */
    uint32_t noted;    /* the library's: 1 while a pass under way sets the cell */
    uint64_t applied;  /* the library's: the value that the text shows */
    uint64_t wanted;   /* the library's: the value that a pass under way reads, latched once */
};

/* A function and the inline form that may stand for a call of it. */
struct tp_inline {
    int32_t function;
    int32_t start; /* of the patchlet */
    int32_t end;
};

#ifdef __cplusplus
#define TP_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define TP_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

TP_STATIC_ASSERT(sizeof(struct tp_site) == 16, "the record ABI: 16 bytes a site");
TP_STATIC_ASSERT(offsetof(struct tp_site, length) == 12, "the record ABI: length at 12");
TP_STATIC_ASSERT(offsetof(struct tp_site, detail) == 14, "the record ABI: detail at 14");
TP_STATIC_ASSERT(sizeof(struct tp_key) == 32, "the record ABI: 32 bytes a key");
TP_STATIC_ASSERT(sizeof(struct tp_inline) == 12, "the record ABI: 12 bytes an inline form");

/*
 * The stack pointer as an operand: the compiler must have set the frame up before a statement that calls. As a
 * variable of the file, since clang gives a local one a slot on the stack and loads rsp from there.
 */
__extension__ register unsigned long tp_stack __asm__("rsp");

/* The text of a macro's value. */
#define TP_TEXT_(...) #__VA_ARGS__
#define TP_TEXT(...) TP_TEXT_(__VA_ARGS__)

/*
 * Assembler source of one record. `start` and `end` are labels around the site, `key` and `form` assembler
 * expressions such as "some_symbol - ." or "0". The `?` puts the record into the group of the function that holds
 * the site, so that a COMDAT function which the linker drops takes its records with it.
 */
#define TP_EMIT_SITE(kind, start, end, key, form, detail)                                                      \
    ".pushsection .textpatch.sites,\"aw?\",@progbits\n\t"                                                       \
    ".balign 4\n\t"                                                                                             \
    ".long " start " - .\n\t"                                                                                   \
    ".long " key "\n\t"                                                                                         \
    ".long " form "\n\t"                                                                                        \
    ".byte " end " - " start ", " TP_TEXT(TP_RECORD_VERSION) " << 4 | " TP_TEXT(kind) "\n\t"                    \
    ".short " detail "\n\t"                                                                                     \
    ".popsection\n\t"

/*
 * Has the assembler refuse a place where `condition` holds: what .if can't ask, since it depends on labels that are
 * still to come. GNU as stops at the .byte ("value of 1000 too large"), clang at the .skip ("invalid number of
 * bytes"); neither checks both. True is -1 to them. What is emitted otherwise is discarded by the linker.
 */
#define TP_EMIT_REFUSAL(condition)                                                                             \
    ".pushsection .textpatch.discard.checks,\"a\",@progbits\n\t"                                                \
    ".skip 1 + 2 * (" condition ")\n\t.byte -1000 * (" condition ")\n\t.popsection\n\t"

/* Assembler source of one key record. `cell` is an assembler expression, `name` plain text. */
#define TP_EMIT_KEY(kind, cell, name)                                                                          \
    ".pushsection .textpatch.names,\"aw\",@progbits\n"                                                          \
    "7900:\t.asciz \"" name "\"\n\t"                                                                            \
    ".popsection\n\t"                                                                                           \
    ".pushsection .textpatch.keys,\"aw\",@progbits\n\t"                                                         \
    ".balign 8\n\t"                                                                                             \
    ".long " cell " - .\n\t"                                                                                    \
    ".long 7900b - .\n\t"                                                                                       \
    ".short " TP_TEXT(kind) ", 0\n\t"                                                                           \
    ".long 0\n\t"                                                                                               \
    ".quad 0, 0\n\t"                                                                                            \
    ".popsection\n\t"

/*
 * Assembler statements that need operands can't stand outside a function (GCC 12), so they stand in one that is
 * never linked: the fragment discards its section, while the sections which the statements fill stay.
 */
#define TP_TABLE_FUNCTION(name)                                                                                \
    __attribute__((used, noinline, section(".textpatch.discard"))) static void name(void)

#endif /* __ASSEMBLER__ */
#endif
