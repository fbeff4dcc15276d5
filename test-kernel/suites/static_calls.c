/* SPDX-License-Identifier: MIT */
/*
 * static_calls: calls whose target changes.
 *
 *   from C and assembler: before the library runs, after apply, after revert, after apply again
 *   updates in each of these; none, RET0, and back; query
 *   the trampoline's bytes: jmp *cell, jmp target, ret
 *   tail calls: jmp and jcc to the trampoline, and taken addresses
 *   a static call that is defined in NASM
 *   call sites with records of their own, jmp and all sixteen jcc included: direct, inline, none
 *   a cell that is changed past the library is not followed, and a changed trampoline is named
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "support.h"

static int add_one(int value) { return value + 1; }
static int add_two(int value) { return value + 2; }
static int times_ten(int value) { return value * 10; }
TP_DEFINE_STATIC_CALL(call_number, add_one);

static unsigned noted;
static void note_one(void) { noted += 1; }
static void note_ten(void) { noted += 10; }
TP_DEFINE_STATIC_CALL_NULL(call_note, note_one);

static long answer(long first, long second, long third, long fourth, long fifth, long sixth) {
    return first + 2 * second + 3 * third + 4 * fourth + 5 * fifth + 6 * sixth;
}
TP_DEFINE_STATIC_CALL_RET0(call_six, answer);

/* The assembler's: it emits records for the calls themselves. */
unsigned long call_nasm_first(void), call_nasm_second(void); /* 41, 42 */
TP_DEFINE_STATIC_CALL(call_site, call_nasm_first);

TP_DECLARE_STATIC_CALL(call_of_nasm, call_nasm_first);

int call_gas_number(int value), call_gas_number_tail(int value), call_nasm_number(int value);
int call_nasm_number_tail(int value);
int call_gas_number_if_zero(int value, long selector); /* else -1 */
unsigned long call_nasm_of_nasm(void), call_site_plain(void), call_site_tail(void);
unsigned long call_site_conditional(unsigned condition); /* taken: the target's, else 7 */

ONE_COPY static int call_number_by_pointer(int value) {
    int (*volatile pointer)(int) = tp_static_call(call_number);
    return pointer(value);
}

static void expect_number(int five) {
    EXPECT_EQUAL(tp_static_call(call_number)(5), five);
    EXPECT_EQUAL(call_number_by_pointer(5), five);
    EXPECT_EQUAL(call_gas_number(5), five);
    EXPECT_EQUAL(call_nasm_number(5), five);
    EXPECT_EQUAL(call_gas_number_tail(5), five);
    EXPECT_EQUAL(call_nasm_number_tail(5), five);
    EXPECT_EQUAL(call_gas_number_if_zero(5, 0), five);
    EXPECT_EQUAL(call_gas_number_if_zero(5, 1), -1);
}

static void expect_all_targets(void) {
    EXPECT_OK(tp_static_call_update(call_number, add_two));
    EXPECT(tp_static_call_query(call_number) == add_two);
    expect_number(7);
    EXPECT_OK(tp_static_call_update(call_number, times_ten));
    EXPECT(tp_static_call_query(call_number) == times_ten);
    expect_number(50);
    EXPECT_OK(tp_static_call_update(call_number, add_one));
    EXPECT(tp_static_call_query(call_number) == add_one);
    expect_number(6);
}

static void follows_targets(void) {
    expect_number(6); /* nothing runs yet */
    REQUIRE(start_library(&alias_port));
    expect_all_targets();
    EXPECT(text_is_pristine());
    REQUIRE_OK(tp_apply());
    expect_number(6);
    expect_all_targets();
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_revert());
    expect_number(6);
    expect_all_targets();
    EXPECT_OK(tp_static_call_update(call_number, add_two));
    REQUIRE_OK(tp_apply());
    expect_number(7);
    EXPECT_OK(tp_static_call_update(call_number, add_one));
}

static void expect_notes(unsigned each) {
    noted = 0;
    tp_static_call(call_note)();
    tp_static_call(call_note)();
    EXPECT_EQUAL(noted, 2 * each);
}

static void expect_no_target_and_back(void) {
    EXPECT(tp_static_call_query(call_note) == NULL);
    expect_notes(0);
    EXPECT_OK(tp_static_call_update(call_note, note_ten));
    EXPECT(tp_static_call_query(call_note) == note_ten);
    expect_notes(10);
    EXPECT_OK(tp_static_call_update(call_note, NULL));
    EXPECT(tp_static_call_query(call_note) == NULL);
    expect_notes(0);
}

static void takes_no_target(void) {
    expect_notes(0);
    REQUIRE(start_library(&alias_port));
    expect_no_target_and_back();
    REQUIRE_OK(tp_apply());
    expect_no_target_and_back();
    REQUIRE_OK(tp_revert());
    expect_no_target_and_back();
}

static void expect_ret0_and_back(void) {
    EXPECT_EQUAL(tp_static_call(call_six)(1, 2, 3, 4, 5, 6), 0);
    EXPECT_OK(tp_static_call_update(call_six, answer));
    EXPECT_EQUAL(tp_static_call(call_six)(1, 2, 3, 4, 5, 6), 91);
    EXPECT_OK(tp_static_call_update_ret0(call_six));
    EXPECT_EQUAL(tp_static_call(call_six)(1, 2, 3, 4, 5, 6), 0);
}

static void returns_zero(void) {
    EXPECT_EQUAL(tp_static_call(call_six)(1, 2, 3, 4, 5, 6), 0);
    REQUIRE(start_library(&alias_port));
    expect_ret0_and_back();
    REQUIRE_OK(tp_apply());
    expect_ret0_and_back();
    REQUIRE_OK(tp_revert());
    expect_ret0_and_back();
}

static void expect_trampoline(uintptr_t trampoline, const void *target) {
    EXPECT_BYTES(trampoline, 0x2e, 0xe9);
    EXPECT_EQUAL(branch_target(trampoline + 1), (uintptr_t)target);
}

static void writes_trampolines(void) {
    REQUIRE(start_library(&alias_port));
    uintptr_t number = (uintptr_t)tp_static_call(call_number), note = (uintptr_t)tp_static_call(call_note),
              six = (uintptr_t)tp_static_call(call_six);
    struct tp_site_info site = find_site(number, 0);
    EXPECT_EQUAL(site.address, number);
    EXPECT_EQUAL(site.kind, TP_KIND_TRAMPOLINE);
    EXPECT_EQUAL(site.length, 6);
    EXPECT_TEXT(site.key, "call_number");
    EXPECT_BYTES(number, 0xff, 0x25);
    EXPECT_EQUAL(branch_target(number + 1), (uintptr_t)&tp_static_call_call_number);
    REQUIRE_OK(tp_apply());
    expect_trampoline(number, add_one);
    EXPECT_BYTES(note, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc);
    expect_trampoline(six, tp_return0);
    EXPECT_OK(tp_static_call_update(call_number, add_two));
    EXPECT_OK(tp_static_call_update(call_note, note_one));
    expect_trampoline(number, add_two);
    expect_trampoline(note, note_one);
    EXPECT_OK(tp_static_call_update(call_number, add_one));
    EXPECT_OK(tp_static_call_update(call_note, NULL));
    EXPECT_EQUAL(find_site(note, 0).form, TP_FORM_RETURN);
    EXPECT_EQUAL(number % 8, 0);
}

static void calls_what_nasm_defines(void) {
    EXPECT_EQUAL(tp_static_call(call_of_nasm)(), 41);
    REQUIRE(start_applied());
    EXPECT_EQUAL(tp_static_call(call_of_nasm)(), 41);
    EXPECT_EQUAL(call_nasm_of_nasm(), 41);
    EXPECT_OK(tp_static_call_update(call_of_nasm, call_nasm_second));
    EXPECT_EQUAL(tp_static_call(call_of_nasm)(), 42);
    EXPECT_EQUAL(call_nasm_of_nasm(), 42);
    EXPECT_OK(tp_static_call_update(call_of_nasm, call_nasm_first));
}

/* Flags for which each of the sixteen conditions holds and doesn't are gone through in assembler. */
static void expect_call_sites(unsigned long value) {
    EXPECT_EQUAL(call_site_plain(), value);
    EXPECT_EQUAL(call_site_tail(), value);
    for (unsigned condition = 0; condition < 16; condition++) {
        EXPECT_EQUAL(call_site_conditional(condition), value);
        EXPECT_EQUAL(call_site_conditional(condition | 16), 7);
    }
}

/* The value that a call without a target leaves is what was in rax, and the assembler put 9 there. */
static void renders_call_sites(void) {
    expect_call_sites(41);
    REQUIRE(start_applied());
    uintptr_t plain = SITE_OF(call_site_plain, 0).address, tail = SITE_OF(call_site_tail, 0).address;
    EXPECT_EQUAL(find_site(plain, 0).kind, TP_KIND_STATIC_CALL);
    EXPECT_BYTES(plain, 0xe8);
    EXPECT_EQUAL(branch_target(plain), (uintptr_t)call_nasm_first);
    EXPECT_BYTES(tail, 0xe9);
    EXPECT_EQUAL(branch_target(tail), (uintptr_t)call_nasm_first);
    expect_call_sites(41);

    EXPECT_OK(tp_static_call_update(call_site, call_nasm_second)); /* has an inline form: mov eax, 42 */
    EXPECT_BYTES(plain, 0xb8, 42, 0, 0, 0);
    EXPECT_EQUAL(find_site(plain, 0).form, TP_FORM_INLINE);
    EXPECT_BYTES(tail, 0xe9);
    expect_call_sites(42);

    EXPECT_OK(tp_static_call_update_ret0(call_site));
    EXPECT_BYTES(plain, 0x2e, 0x2e, 0x2e, 0x31, 0xc0);
    expect_call_sites(0);

    EXPECT_OK(tp_static_call_update(call_site, NULL));
    EXPECT_BYTES(plain, 0x0f, 0x1f, 0x44, 0x00, 0x00);
    EXPECT_BYTES(tail, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
    expect_call_sites(9);
    EXPECT_EQUAL(count_differences(NULL), 0);

    REQUIRE_OK(tp_revert());
    EXPECT_EQUAL(branch_target(plain), (uintptr_t)tp_static_call(call_site));
    expect_call_sites(9);
    EXPECT_OK(tp_static_call_update(call_site, call_nasm_first));
    expect_call_sites(41);
}

static void goes_by_the_library(void) {
    REQUIRE(start_applied());
    tp_static_call_call_number.target = (void (*)(void))add_two;
    EXPECT_EQUAL(tp_static_call(call_number)(5), 6); /* the text reads no cell */
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(tp_static_call(call_number)(5), 7);
    EXPECT_OK(tp_static_call_update(call_number, add_one));

    uintptr_t trampoline = (uintptr_t)tp_static_call(call_note), named;
    poke_text(trampoline, "\x90", 1);
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, trampoline);
    EXPECT_TEXT(tp_last_error()->key, "call_note");
    EXPECT_STATUS(tp_static_call_update(call_note, note_one), TP_ERR_UNEXPECTED_BYTES);
    EXPECT(tp_static_call_query(call_note) == NULL);
    poke_text(trampoline, "\xc3", 1);
}

KTAP_SUITE(static_calls, {"targets from C and assembler, by call, tail call and pointer", follows_targets},
           {"no target", takes_no_target}, {"RET0", returns_zero}, {"bytes of the trampolines", writes_trampolines},
           {"a static call defined in NASM", calls_what_nasm_defines},
           {"call sites with records of their own", renders_call_sites},
           {"the text follows the library only", goes_by_the_library});
