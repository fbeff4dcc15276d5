/* SPDX-License-Identifier: MIT */
/*
 * alternatives: one place, several forms.
 *
 *   the same places in C, GAS and NASM: two and three replacements, NOT, nested in an original and in a replacement,
 *   a load, a call and a conditional jump that are relocated; all combinations of features, alike in all languages
 *   the same bytes from all languages, padded with the longest NOPs
 *   inputs and outputs; a jump in an original; tp_alternative_call
 *   what features say: this world, this CPU, the kernel's own; unknown ones are refused
 *   a feature that changes is followed at apply, and not before
 *   an alternative and an op call in one place
 *   a form that is not the chosen one is named, though it would run
 */
#include <textpatch/textpatch.h>

#include "alternatives.h"
#include "ktap.h"
#include "platform.h"
#include "support.h"

__attribute__((used)) int alternative_variable = 2;

#define PLACE(name, ...)                                                                                     \
    ONE_COPY static int c_##name(void) {                                                                     \
        int value;                                                                                           \
        __asm__ volatile(__VA_ARGS__ : "=a"(value), "+r"(tp_stack) : : "memory", "cc");                         \
        return value;                                                                                        \
    }

PLACE(two, TP_ALTERNATIVE_2("movl $1, %%eax", "movl $2, %%eax", CHOICE_A, "movl $3, %%eax", CHOICE_B))
PLACE(three, TP_ALTERNATIVE_3("movl $1, %%eax", "xorl %%eax, %%eax; movb $2, %%al", CHOICE_A, "movq $3, %%rax",
                              CHOICE_B, "movabsq $4, %%rax", CHOICE_C))
PLACE(unless, TP_ALTERNATIVE("movl $1, %%eax", "movl $2, %%eax", TP_NOT(CHOICE_A)))
PLACE(outer, TP_ALTERNATIVE(TP_ALTERNATIVE("movl $1, %%eax", "movl $2, %%eax", CHOICE_A), "movl $3, %%eax", CHOICE_B))
PLACE(inner, TP_ALTERNATIVE("movl $1, %%eax", TP_ALTERNATIVE("movl $2, %%eax", "movl $3, %%eax", CHOICE_A), CHOICE_B))
PLACE(load, TP_ALTERNATIVE("movl $1, %%eax", "movl alternative_variable(%%rip), %%eax", CHOICE_A))
PLACE(call, TP_ALTERNATIVE("call alternative_one", "call alternative_two", CHOICE_A))

ONE_COPY static int c_jump(int value) {
    __asm__ goto(TP_ALTERNATIVE("nop", "testl %%edi, %%edi; jz %l[zero]", CHOICE_A) : : "D"(value) : "cc" : zero);
    return 1;
zero:
    return 2;
}

static const struct places languages[] = {
    {c_two, c_three, c_unless, c_outer, c_inner, c_load, c_call, c_jump},
    {gas_two, gas_three, gas_unless, gas_outer, gas_inner, gas_load, gas_call, gas_jump},
    {nasm_two, nasm_three, nasm_unless, nasm_outer, nasm_inner, nasm_load, nasm_call, nasm_jump},
};
enum { LANGUAGES = 3 };

static void set_feature(uint16_t feature, bool on) {
    EXPECT_OK(on ? tp_feature_set(feature) : tp_feature_clear(feature));
}

static void choose(unsigned choice) {
    set_feature(CHOICE_A, choice & 1);
    set_feature(CHOICE_B, choice & 2);
    set_feature(CHOICE_C, choice & 4);
}

static void expect_place(const struct places *place, bool a, bool b, bool c) {
    EXPECT_EQUAL(place->two(), b ? 3 : a ? 2 : 1);
    EXPECT_EQUAL(place->three(), c ? 4 : b ? 3 : a ? 2 : 1);
    EXPECT_EQUAL(place->unless(), a ? 1 : 2);
    EXPECT_EQUAL(place->outer(), b ? 3 : a ? 2 : 1);
    EXPECT_EQUAL(place->inner(), !b ? 1 : a ? 3 : 2);
    EXPECT_EQUAL(place->load(), a ? alternative_variable : 1);
    EXPECT_EQUAL(place->call(), a ? 2 : 1);
    EXPECT_EQUAL(place->jump(0), a ? 2 : 1);
    EXPECT_EQUAL(place->jump(5), 1);
}

static void expect_originals(void) {
    for (unsigned i = 0; i < LANGUAGES; i++) {
        EXPECT_EQUAL(languages[i].unless(), 1);
        EXPECT_EQUAL(languages[i].three(), 1);
        EXPECT_EQUAL(languages[i].inner(), 1);
        EXPECT_EQUAL(languages[i].call(), 1);
    }
}

static void chooses_by_features(void) {
    expect_originals();
    REQUIRE(start_library(&alias_port));
    for (unsigned step = 0; step < 16; step++) {
        unsigned choice = step ^ step >> 1; /* one change at a time, and all combinations twice */
        choose(choice);
        REQUIRE_OK(tp_apply());
        for (unsigned i = 0; i < LANGUAGES; i++)
            expect_place(&languages[i], choice & 1, choice & 2, choice & 4);
        EXPECT_EQUAL(count_differences(NULL), 0);
    }
    REQUIRE_OK(tp_revert());
    expect_originals();
}

/* Places of which no form has an operand that depends on the address. */
static void expect_alike(unsigned offset_of_function) {
    uintptr_t function[LANGUAGES];
    for (unsigned i = 0; i < LANGUAGES; i++)
        function[i] = *(const uintptr_t *)((const uint8_t *)&languages[i] + offset_of_function);
    struct tp_site_info first = find_site(function[0], 0);
    for (unsigned i = 1; i < LANGUAGES; i++) {
        struct tp_site_info other = find_site(function[i], 0);
        EXPECT_EQUAL(other.length, first.length);
        expect_bytes((const void *)other.address, (const uint8_t *)first.address, first.length, __func__, __LINE__);
    }
}

static void writes_the_same_in_all_languages(void) {
    REQUIRE(start_library(&alias_port));
    for (unsigned choice = 0; choice < 8; choice++) {
        choose(choice);
        REQUIRE_OK(tp_apply());
        expect_alike(offsetof(struct places, two));
        expect_alike(offsetof(struct places, three));
        expect_alike(offsetof(struct places, unless));
        expect_alike(offsetof(struct places, outer));
        expect_alike(offsetof(struct places, inner));
    }
    choose(1);
    REQUIRE_OK(tp_apply());
    uintptr_t three = SITE_OF(c_three, 0).address;
    EXPECT_EQUAL(SITE_OF(c_three, 0).length, 10);
    EXPECT_BYTES(three, 0x31, 0xc0, 0xb0, 0x02, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00);
    choose(0);
    REQUIRE_OK(tp_apply());
    EXPECT_BYTES(three, 0xb8, 1, 0, 0, 0, 0x0f, 0x1f, 0x44, 0x00, 0x00);
    REQUIRE_OK(tp_revert());
    EXPECT_BYTES(three, 0xb8, 1, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90);
}

ONE_COPY static long combine(long first, long second) {
    __asm__ volatile(TP_ALTERNATIVE("addq %1, %0", "imulq %1, %0", CHOICE_A) : "+r"(first) : "r"(second) : "cc");
    return first;
}

/* The original's copy lies in another section and gets the long jump, so the original must have it too. */
ONE_COPY static int jump_at_first(void) {
    __asm__ goto(TP_ALTERNATIVE("%{disp32%} jmp %l[taken]", "nop", CHOICE_A) : : : : taken);
    return 2;
taken:
    return 1;
}

ONE_COPY static int call_either(void) {
    int value;
    tp_alternative_call(alternative_one, alternative_two, CHOICE_A, TP_OPERANDS("=a"(value)));
    return value;
}

static void takes_operands(void) {
    REQUIRE(start_applied());
    EXPECT_EQUAL(combine(7, 5), 12);
    EXPECT_EQUAL(jump_at_first(), 1);
    EXPECT_EQUAL(call_either(), 1);
    choose(1);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(combine(7, 5), 35);
    EXPECT_EQUAL(jump_at_first(), 2);
    EXPECT_EQUAL(call_either(), 2);
    choose(0);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(combine(7, 5), 12);
    EXPECT_EQUAL(jump_at_first(), 1);
    EXPECT_EQUAL(call_either(), 1);
}

PLACE(world, TP_ALTERNATIVE("movl $0, %%eax", "movl $1, %%eax", TP_FEATURE_XEN_PV))
PLACE(fixed, TP_ALTERNATIVE_2("movl $0, %%eax", "movl $1, %%eax", TP_FEATURE_ALWAYS, "movl $2, %%eax",
                              TP_FEATURE_NEVER))
PLACE(last_own, TP_ALTERNATIVE("movl $0, %%eax", "movl $1, %%eax", TP_FEATURE_KERNEL(95)))

ONE_COPY static unsigned long count_ones(unsigned long value) {
    unsigned long count;
    __asm__ volatile(TP_ALTERNATIVE("xorl %%ecx, %%ecx; 1: testq %1, %1; jz 2f; leaq -1(%1), %0; andq %0, %1; "
                                    "incl %%ecx; jmp 1b; 2: movl %%ecx, %%eax",
                                    "popcntq %1, %0", TP_FEATURE_POPCNT)
                     : "=&a"(count), "+d"(value) : : "rcx", "cc");
    return count;
}

static void knows_features(void) {
    EXPECT_EQUAL(count_ones(0xf0f0000000000001), 9);
    REQUIRE(start_applied());
    EXPECT_EQUAL(c_world(), world == WORLD_XEN_PV);
    EXPECT_EQUAL(c_fixed(), 1);
    EXPECT(tp_feature_test(TP_FEATURE_POPCNT) && tp_feature_test(TP_FEATURE_LM));
    EXPECT_EQUAL(count_ones(0xf0f0000000000001), 9);
    EXPECT_EQUAL(SITE_OF(count_ones, 0).form, TP_FORM_REPLACEMENT);
    EXPECT_OK(tp_feature_clear(TP_FEATURE_POPCNT));
    EXPECT_OK(tp_feature_set(TP_FEATURE_KERNEL(95)));
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(count_ones(0xf0f0000000000001), 9);
    EXPECT_EQUAL(SITE_OF(count_ones, 0).form, TP_FORM_ORIGINAL);
    EXPECT_EQUAL(c_last_own(), 1);

    static const uint16_t refused[] = {TP_FEATURE_ALWAYS, TP_FEATURE_NEVER, TP_FEATURE(12, 31), TP_FEATURE(16, 0),
                                       TP_NOT(TP_FEATURE_FPU)};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        EXPECT_STATUS(tp_feature_set(refused[i]), TP_ERR_UNKNOWN_FEATURE);
        EXPECT_STATUS(tp_feature_clear(refused[i]), TP_ERR_UNKNOWN_FEATURE);
    }
    EXPECT(tp_feature_test(TP_FEATURE_ALWAYS) && !tp_feature_test(TP_FEATURE_NEVER));
    EXPECT(!tp_feature_test(TP_FEATURE(12, 31)) && !tp_feature_test(TP_FEATURE(16, 0)));
}

static void follows_at_apply_only(void) {
    REQUIRE(start_applied());
    uint64_t first = hash_text();
    choose(7);
    EXPECT_EQUAL(c_two(), 1);
    EXPECT_EQUAL(hash_text(), first);
    EXPECT_EQUAL(count_differences(NULL), 0); /* an audit is about what was applied */
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(c_two(), 3);
    EXPECT(hash_text() != first);
    choose(0);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), first);
}

static unsigned long answer_five(void) { return 5; }
struct {
    unsigned long (*answer)(void);
} alternative_ops = {answer_five};
TP_OPS(alternative) { TP_OP(alternative_ops.answer); }

ONE_COPY static unsigned long shared_place(void) {
    unsigned long value;
    __asm__ volatile(TP_ALTERNATIVE(TP_EMIT_OP_CALL(6), "movl $3, %%eax", CHOICE_A)
                     : "=a"(value), "+r"(tp_stack)
                     : [tp_slot] "i"(&alternative_ops.answer)
                     : TP_C_CLOBBERS_0);
    return value;
}

static void shares_a_place_with_an_op(void) {
    EXPECT_EQUAL(shared_place(), 5);
    REQUIRE(start_applied());
    uintptr_t site = SITE_OF(shared_place, 0).address;
    EXPECT_EQUAL(shared_place(), 5);
    EXPECT_BYTES(site, 0x2e, 0xe8);
    choose(1);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(shared_place(), 3);
    EXPECT_OK(tp_op_update(alternative_ops.answer, tp_return0));
    EXPECT_EQUAL(shared_place(), 3);
    choose(0);
    EXPECT_OK(tp_op_update(alternative_ops.answer, tp_return0));
    EXPECT_EQUAL(shared_place(), 3); /* an update moves its own key, and no feature */
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(shared_place(), 0);
    EXPECT_BYTES(site, 0x2e, 0x2e, 0x2e, 0x2e, 0x31, 0xc0);
    EXPECT_OK(tp_op_update(alternative_ops.answer, answer_five));
    EXPECT_EQUAL(shared_place(), 5);
    EXPECT_EQUAL(count_differences(NULL), 0);
    struct tp_site_info innermost;
    EXPECT(tp_describe_site(site + 2, &innermost));
    EXPECT_TEXT(innermost.key, "alternative_ops.answer");
    EXPECT(innermost.nested);
}

static void names_a_stale_form(void) {
    REQUIRE(start_applied());
    struct tp_site_info site = SITE_OF(gas_two, 0);
    uintptr_t named;
    poke_text(site.address, "\xb8\x03\0\0\0", 5); /* what B would have chosen */
    EXPECT_EQUAL(gas_two(), 3);
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, site.address);
    choose(1);
    EXPECT_STATUS(tp_apply(), TP_ERR_UNEXPECTED_BYTES);
    EXPECT_EQUAL(tp_last_error()->site, site.address);
    EXPECT_EQUAL(c_two(), 1); /* nothing was written */
    poke_text(site.address, "\xb8\x01\0\0\0", 5);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(gas_two(), 2);
    EXPECT_EQUAL(c_two(), 2);
}

KTAP_SUITE(alternatives, {"all combinations of features in C, GAS and NASM", chooses_by_features},
           {"the same bytes in all languages", writes_the_same_in_all_languages},
           {"operands, jumps out, tp_alternative_call", takes_operands},
           {"features of the CPU, of the world, of the kernel", knows_features},
           {"text follows at apply, and not before", follows_at_apply_only},
           {"an op call in the same place", shares_a_place_with_an_op}, {"a stale form is named", names_a_stale_form});
