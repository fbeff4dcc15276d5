/* SPDX-License-Identifier: MIT */
/*
 * Places that the suites live_… have changed while CPUs execute them: live_sites.asm. Each is executed by a visit,
 * which puts known values into every register and onto the stack, right where an interrupted rsp points, and looks for
 * damage.
 */
#ifndef LIVE_SITES_H
#define LIVE_SITES_H

#include <stdint.h>

#include <textpatch/textpatch.h>

struct live_visit {
    uint64_t skew;   /* 0 or 8: how rsp stands to 16 when the site is executed */
    uint64_t damage; /* visits after which a register or the stack was not as before */
};

/* The site's value: its target's, or 9 if it has none; a branch's: LIVE_FELL or LIVE_JUMPED. */
typedef uint64_t live_visitor(struct live_visit *visit);
/* The code of all visits but that of the site across pages. */
extern const uint8_t live_visits_start[], live_visits_end[];
enum { LIVE_NONE = 9, LIVE_FELL = 21, LIVE_JUMPED = 22 };

/* Functions that change rax alone. */
unsigned long live_one(void), live_two(void), live_three(void);
unsigned long live_inline_one(void), live_inline_two(void);   /* have inline forms of one instruction */
unsigned long live_several_one(void), live_several_two(void); /* of three, of the same lengths, a pause in between */
unsigned long live_stack(void);                               /* of three: push, pop, mov */
/* What no function may do: they write above their frame, to rcx. LIVE_TWO. */
unsigned long live_damage_stack(void), live_damage_register(void);
enum {
    LIVE_ONE = 1001,
    LIVE_TWO = 1002,
    LIVE_THREE = 1003,
    LIVE_INLINE_ONE = 1011,
    LIVE_INLINE_TWO = 1012,
    LIVE_SEVERAL_ONE = 0x1111,
    LIVE_SEVERAL_TWO = 0x2222,
    LIVE_STACK = 0x55,
};

extern struct live_ops {
    unsigned long (*plain)(void);
    unsigned long (*mixed)(void);
    unsigned long (*companion)(void);
} live_ops;

/* In an aligned quadword, across two of them, across two lines, across two pages, and of 14 bytes. */
live_visitor visit_op_store, visit_op_quadword, visit_op_line, visit_op_page, visit_op_wide;
/* mixed: in an aligned quadword, and across two lines. */
live_visitor visit_mixed_store, visit_mixed_line;
/* companion: across two quadwords. */
live_visitor visit_companion;

/* No site: an int3 in the text. */
live_visitor visit_int3;

/* live_call: through the trampoline; sites with records of their own, as call in a quadword and across two lines, as
 * jmp and as jz, taken and not. */
TP_DECLARE_STATIC_CALL(live_call, live_one);
live_visitor visit_trampoline, visit_call_store, visit_call_line, visit_tail, visit_taken, visit_not_taken;

/* An alternative whose original calls, and goes on behind the call; LIVE_FEATURE has it be LIVE_NONE instead. */
enum { LIVE_FEATURE = TP_FEATURE_KERNEL(40) };
unsigned long live_calls_inside(void);

/* live_key: enabled they jump, those of the second line fall through. */
extern union tp_static_key_false live_key;
live_visitor visit_key_store, visit_key_line, visit_key_short, visit_key_short_line;
live_visitor visit_key_inverse, visit_key_inverse_line;

#endif
