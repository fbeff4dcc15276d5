/* SPDX-License-Identifier: MIT */
/*
 * What is known of the stack at each byte of the text: the work of `textpatch orc`, shared by its parts.
 *
 * The parts, in the order in which they run
 *   cfi.c            .eh_frame, for what a compiler has made
 *   cfi_cover.c      whether it speaks of all of that
 *   flow_frames.c    what inline assembler does to rsp and rbp in there, of which the compiler doesn't know
 *   orc_hints.c      what assembler macros say (section .debug_textpatch_hints)
 *   orc_sites.c      the sites, with all forms of each
 *   flow.c           assembler functions, from hints and function starts on, instruction by instruction
 *   flow_check.c     whether they return where they were called from
 *   orc_union.c      every form that a site may hold
 *   orc_write.c      sorted, merged, as assembler source
 * and flow_state.c, what one instruction does to a state; flow_form.c, all ways through one form of a site.
 *
 * How it works
 *   Each byte of the text has the number of a state; 0 is TP_ORC_UNDEFINED. All bytes of an instruction have the state
 *   before it: a walk looks up the byte before a return address, and the call's own push is none of the caller's.
 */
#ifndef TOOL_ORC_H
#define TOOL_ORC_H

#include <stdio.h>

#include "elf.h"
#include "forms.h"
#include "image.h"

#include <textpatch/unwind.h>

struct orc_options {
    bool without_union;
    bool quiet; /* no warnings */
    uint8_t call_scheme; /* TP_SCHEME_… of textpatch/live.h */
};

/* An entry in the making, with offsets that may still be too wide. */
struct orc_state {
    int32_t sp_offset;
    int32_t bp_offset;
    uint8_t registers;
    uint8_t type;
    /* While code is followed: rbp was made from rsp, and holds the frame less this; 0: it wasn't. */
    int32_t bp_is_below;
    bool bp_is_kept; /* likewise: rbp has been saved, and nothing has changed it since */
};

struct orc_text {
    const struct kernel *kernel;
    uint64_t start, end; /* the addresses that the table speaks of */
    const char *anchor_name; /* a symbol that has the same place in the next link */
    uint64_t anchor;
    uint32_t *numbers;   /* one for each byte */
    uint8_t *marks;      /* likewise: enum orc_mark */
    struct orc_state *states;
    uint32_t state_count, state_room;
    uint32_t *slots; /* states by their contents */
    uint32_t slot_count;
    struct site_forms *sites; /* the outermost ones, by address, and whole ones only */
    uint32_t site_count;
};

enum orc_mark {
    MARK_FRAME = 1,   /* .eh_frame speaks of it */
    MARK_FIXED = 2,   /* a hint speaks of it: not followed */
    MARK_BEGIN = 4,   /* an instruction begins here that has been followed */
    MARK_HINT = 8,    /* a hint says the state here */
    MARK_CALLED = 16, /* something calls this */
    MARK_AGREED = 32, /* what the hint here says is so by another way, too */
};

struct orc_text *make_text(const struct kernel *kernel, uint64_t start, uint64_t end);

static inline bool lies_in_text(const struct orc_text *text, uint64_t address) {
    return address >= text->start && address < text->end;
}

static inline bool has_mark(const struct orc_text *text, uint64_t address, enum orc_mark mark) {
    return text->marks[address - text->start] & mark;
}

static inline void set_mark(const struct orc_text *text, uint64_t address, enum orc_mark mark) {
    text->marks[address - text->start] |= (uint8_t)mark;
}

static inline bool has_state(const struct orc_text *text, uint64_t address) {
    return text->numbers[address - text->start] != 0;
}

static inline struct orc_state state_at(const struct orc_text *text, uint64_t address) {
    return text->states[text->numbers[address - text->start]];
}

/* For [address, address + size), as much of it as is text. */
void set_states(struct orc_text *text, uint64_t address, uint64_t size, const struct orc_state *state);

bool same_state(const struct orc_state *left, const struct orc_state *right);
/* As it goes into the table: what a walk doesn't look at is 0. */
struct orc_state plain_state(const struct orc_state *state);
const char *describe_state(const struct orc_state *state);

/* A function's first byte: a return address at rsp. */
static const struct orc_state called_state = {.sp_offset = 8, .registers = TP_ORC_BASE_SP, .type = TP_ORC_CALL};

/* ---- The parts ---- */

struct frame_range {
    uint64_t start, end;
    uint64_t offset; /* of its description in .eh_frame */
};

/* False: the kernel has no .eh_frame. The ranges are sorted and don't overlap. */
bool read_frames(struct orc_text *text, struct frame_range **ranges, uint32_t *count);
/* Most of what was compiled, as far as that can be seen, has no description in there: what hasn't may be C. */
bool lacks_frames(const struct orc_text *text);
void follow_frames(struct orc_text *text, const struct frame_range *ranges, uint32_t count);
void read_hints(struct orc_text *text);
/* The section that a table was made of and that has been taken from the kernel since; NULL if a table can be made of it. */
const char *find_stripped(const struct kernel *kernel, uint64_t start, uint64_t end);
void find_sites(struct orc_text *text, const struct image *image);
/* The site that begins here; NULL if there is none. */
const struct site_forms *site_at(const struct orc_text *text, uint64_t address);
/* has_frames: what .eh_frame doesn't speak of is assembler. Without it nobody knows which is, and only hints are followed. */
void follow_assembler(struct orc_text *text, bool has_frames);
/* Complains of what that has found to be at odds with itself. */
void check_flow(const struct orc_text *text);
void unite_forms(struct orc_text *text, uint8_t call_scheme);

/* All of these, but for the last; NULL if the records are no good. */
struct orc_text *describe_text(const struct kernel *kernel, const struct orc_options *options);
/* The same of one whose records have been taken. */
struct orc_text *describe_image(struct image *image, const struct orc_options *options);

/* What the table holds: neighbours with one state are one entry. */
struct orc_entries {
    uint32_t *ips;
    struct orc_state *states;
    uint32_t count, room;
};

struct orc_entries collect_entries(const struct orc_text *text);
/* Nothing is written where anything has been complained of. */
void write_table(const struct orc_text *text, FILE *out);

/* Tells something that is no error: on stderr, or to a test. */
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);
void set_warning_listener(void (*listener)(const char *message));

#endif
