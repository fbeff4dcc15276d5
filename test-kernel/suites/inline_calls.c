/* SPDX-License-Identifier: MIT */
/*
 * inline_calls: plain calls of static calls, found by `textpatch sites` in the linked kernel, are sites of their own.
 *
 *   a call in the middle, two in one function, a tail call, a jmp and two jcc: as linked each leads to the trampoline
 *   applied, each holds a call, jmp or jcc of its target; with another function, none, RET0 and an inlined one what
 *     textpatch/static_call.h says; arguments and values are right in each; reverted it is as linked
 * In a kernel that was linked without the tool all but the values is skipped. live_inline_calls changes them while they run.
 */
#include "ktap.h"
#include "plain_calls.h"
#include "platform.h"
#include "support.h"

/* ---- Where they are ---- */

enum { MIDDLE, TWICE, AGAIN, LAST, JUMPED, IF_ZERO, NOTE_MIDDLE, NOTE_LAST, NOTE_IF, SITES };
_Static_assert((int)SITES == (int)PLAIN_CALLS, "each of them");

static struct call_site {
    const void *function;
    const void *cell;
    unsigned nth;
    uint8_t opcode; /* 0: the compiler's choice of e8 and e9 */
    uintptr_t address;
} sites[SITES] = {
    [MIDDLE] = {(const void *)value_in_middle, &tp_static_call_inline_value, 0, 0xe8, 0},
    [TWICE] = {(const void *)value_twice, &tp_static_call_inline_value, 0, 0xe8, 0},
    [AGAIN] = {(const void *)value_twice, &tp_static_call_inline_value, 1, 0, 0},
    [LAST] = {(const void *)value_last, &tp_static_call_inline_value, 0, 0, 0},
    [JUMPED] = {(const void *)value_jumped, &tp_static_call_inline_value, 0, 0xe9, 0},
    [IF_ZERO] = {(const void *)value_if_zero, &tp_static_call_inline_value, 0, 0x84, 0},
    [NOTE_MIDDLE] = {(const void *)note_in_middle, &tp_static_call_inline_note, 0, 0xe8, 0},
    [NOTE_LAST] = {(const void *)note_last, &tp_static_call_inline_note, 0, 0, 0},
    [NOTE_IF] = {(const void *)note_if_not_zero, &tp_static_call_inline_note, 0, 0x85, 0},
};

static uintptr_t trampoline_of(const struct call_site *site) {
    return site->cell == &tp_static_call_inline_value ? (uintptr_t)tp_static_call(inline_value)
                                                      : (uintptr_t)tp_static_call(inline_note);
}

static uint8_t byte_at(uintptr_t address) { return *(const volatile uint8_t *)address; }

/* What a branch of any of the three kinds leads to. */
static uintptr_t leads_to(uintptr_t address) { return branch_target(address + (byte_at(address) == 0x0f)); }

/* As linked: the opcode is known from here on. */
static void find_call(struct call_site *site) {
    struct tp_site_info info = find_site((uintptr_t)site->function, site->nth);
    bool conditional = byte_at(info.address) == 0x0f;
    uint8_t opcode = byte_at(info.address + conditional);
    site->address = info.address;
    EXPECT_EQUAL(info.kind, TP_KIND_STATIC_CALL);
    EXPECT(info.cell == site->cell);
    EXPECT_EQUAL(info.length, conditional ? 6 : 5);
    EXPECT_EQUAL(info.form, TP_FORM_ORIGINAL);
    EXPECT(site->opcode ? opcode == site->opcode : opcode == 0xe8 || opcode == 0xe9);
    EXPECT_EQUAL(leads_to(info.address), trampoline_of(site));
    site->opcode = opcode;
}

static void expect_branches(const void *cell, const void *target) {
    for (unsigned i = 0; i < SITES; i++) {
        if (sites[i].cell != cell)
            continue;
        EXPECT_EQUAL(byte_at(sites[i].address + (sites[i].opcode >> 4 == 8)), sites[i].opcode);
        EXPECT_EQUAL(leads_to(sites[i].address), (uintptr_t)target);
    }
}

/* Calls hold these bytes, jmp and jcc lead to a function. */
static void expect_calls_hold(const void *cell, const uint8_t bytes[5], const void *target) {
    for (unsigned i = 0; i < SITES; i++) {
        if (sites[i].cell != cell)
            continue;
        if (sites[i].opcode == 0xe8)
            expect_bytes((const void *)sites[i].address, bytes, 5, __func__, __LINE__);
        else
            EXPECT_EQUAL(leads_to(sites[i].address), (uintptr_t)target);
    }
}

/* ---- Values ---- */

static void expect_values(long (*function)(long)) {
    EXPECT_EQUAL(value_in_middle(5), function(5) + BEHIND);
    EXPECT_EQUAL(value_twice(5), function(function(5) + BEHIND));
    EXPECT_EQUAL(value_last(5), function(4));
    EXPECT_EQUAL(value_jumped(5), function(6));
    EXPECT_EQUAL(value_if_zero(5, 0), function(5));
    EXPECT_EQUAL(value_if_zero(5, 1), -1);
}

static void note_nothing(long *to, long by) { (void)to, (void)by; }
static long value_zero(long value) { return value - value; }

static void expect_notes(void (*function)(long *, long)) {
    long note = 50, expected = 50, untouched = 50;
    function(&expected, 3);
    EXPECT_EQUAL(note_in_middle(50, 3), expected + BEHIND);
    note_last(&note, 3);
    EXPECT_EQUAL(note, expected);
    note = 50;
    note_if_not_zero(&note, 3, 1);
    EXPECT_EQUAL(note, expected);
    note_if_not_zero(&untouched, 3, 0);
    EXPECT_EQUAL(untouched, 50);
}

/* ---- At boot ---- */

static const uint8_t ret0[] = {0x2e, 0x2e, 0x2e, 0x31, 0xc0}, plus_five[] = {0x2e, 0x48, 0x8d, 0x47, 0x05},
                     less[] = {0x2e, 0x2e, 0x48, 0x29, 0x37};

static void find_calls(void) {
    for (unsigned i = 0; i < SITES; i++)
        find_call(&sites[i]);
}

static void are_sites(void) {
    expect_values(value_plus_one); /* nothing runs yet */
    expect_notes(note_nothing);
    REQUIRE(start_library(&alias_port));
    REQUIRE_FOUND(calls_are_found());
    find_calls();
    REQUIRE_OK(tp_apply());
    expect_branches(&tp_static_call_inline_value, (const void *)value_plus_one);
    expect_values(value_plus_one);
    expect_notes(note_nothing);
    REQUIRE_OK(tp_revert());
    for (unsigned i = 0; i < SITES; i++)
        EXPECT_EQUAL(leads_to(sites[i].address), trampoline_of(&sites[i]));
}

static void move_values(void) {
    const void *cell = &tp_static_call_inline_value;
    EXPECT_OK(tp_static_call_update(inline_value, value_times_ten));
    expect_branches(cell, (const void *)value_times_ten);
    expect_values(value_times_ten);
    EXPECT_OK(tp_static_call_update(inline_value, value_plus_five));
    expect_calls_hold(cell, plus_five, (const void *)value_plus_five);
    EXPECT_EQUAL(find_site(sites[MIDDLE].address, 0).form, TP_FORM_INLINE);
    expect_values(value_plus_five);
    EXPECT_OK(tp_static_call_update_ret0(inline_value));
    expect_calls_hold(cell, ret0, (const void *)tp_return0);
    expect_values(value_zero);
    EXPECT_OK(tp_static_call_update(inline_value, value_plus_one));
    expect_branches(cell, (const void *)value_plus_one);
    expect_values(value_plus_one);
}

/* Of a tail call without a target a return is left, and of a conditional one a jcc to the nearest. */
static void expect_no_notes(void) {
    EXPECT_BYTES(sites[NOTE_MIDDLE].address, 0x0f, 0x1f, 0x44, 0x00, 0x00);
    if (sites[NOTE_LAST].opcode == 0xe9)
        EXPECT_BYTES(sites[NOTE_LAST].address, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
    else
        EXPECT_BYTES(sites[NOTE_LAST].address, 0x0f, 0x1f, 0x44, 0x00, 0x00); /* the compiler made it a call */
    EXPECT_EQUAL(leads_to(sites[NOTE_IF].address), (uintptr_t)tp_nop_function);
    expect_notes(note_nothing);
}

static void move_notes(void) {
    const void *cell = &tp_static_call_inline_note;
    expect_no_notes();
    EXPECT_OK(tp_static_call_update(inline_note, note_more));
    expect_branches(cell, (const void *)note_more);
    expect_notes(note_more);
    EXPECT_OK(tp_static_call_update(inline_note, note_less));
    expect_calls_hold(cell, less, (const void *)note_less);
    expect_notes(note_less);
    EXPECT_OK(tp_static_call_update(inline_note, NULL));
    expect_no_notes();
}

static void follow_targets(void) {
    REQUIRE(start_library(&alias_port));
    REQUIRE_FOUND(calls_are_found());
    find_calls();
    REQUIRE_OK(tp_apply());
    move_values();
    move_notes();
    EXPECT_EQUAL(count_differences(NULL), 0);
}

KTAP_SUITE(inline_calls, {"each plain call is a site", are_sites},
           {"function, none, RET0 and inlined", follow_targets});
