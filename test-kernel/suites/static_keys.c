/* SPDX-License-Identifier: MIT */
/*
 * static_keys: NOPs and jumps of 2 and 5 bytes.
 *
 *   likely and unlikely, of keys that start true and false, enabled and disabled, before and after apply, after revert
 *   the bytes of each: a NOP or a jump to the right place
 *   counted: on while the count is above 0, never below
 *   arrays: each element by itself
 *   sites in NASM and GAS
 *   a key that changes before the first apply is followed by the text at apply, and not before
 *   a branch changed behind the library's back runs the wrong way, and is named
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "support.h"

TP_DEFINE_STATIC_KEY_TRUE(key_starts_true);
TP_DEFINE_STATIC_KEY_FALSE(key_starts_false);
TP_DEFINE_STATIC_KEY_FALSE(key_counted);
TP_DEFINE_STATIC_KEY_ARRAY_FALSE(keys_false, 3);
TP_DEFINE_STATIC_KEY_ARRAY_TRUE(keys_true, 2);
/* A key by itself, for the assembler's sites: starts true there. */
TP_DEFINE_STATIC_KEY_TRUE(key_of_assembler);

bool key_gas_long(void), key_gas_short(void), key_nasm_long(void), key_nasm_short(void);

#define BRANCH(function, form, key)                                                                          \
    ONE_COPY static bool function(void) { return form(key); }

BRANCH(likely_true, tp_static_branch_likely, key_starts_true)
BRANCH(unlikely_true, tp_static_branch_unlikely, key_starts_true)
BRANCH(likely_true_short, tp_static_branch_likely_short, key_starts_true)
BRANCH(unlikely_true_short, tp_static_branch_unlikely_short, key_starts_true)
BRANCH(likely_false, tp_static_branch_likely, key_starts_false)
BRANCH(unlikely_false, tp_static_branch_unlikely, key_starts_false)
BRANCH(likely_false_short, tp_static_branch_likely_short, key_starts_false)
BRANCH(unlikely_false_short, tp_static_branch_unlikely_short, key_starts_false)
BRANCH(counted, tp_static_branch_unlikely, key_counted)
BRANCH(element0, tp_static_branch_unlikely, keys_false[0])
BRANCH(element1, tp_static_branch_likely, keys_false[1])
BRANCH(element2, tp_static_branch_unlikely_short, keys_false[2])
BRANCH(true_element0, tp_static_branch_likely, keys_true[0])
BRANCH(true_element1, tp_static_branch_unlikely, keys_true[1])

struct branch {
    bool (*function)(void);
    bool starts_true, jumps_if_enabled;
    unsigned length;
};

static const struct branch branches[] = {
    {likely_true, true, false, 5},         {unlikely_true, true, true, 5},
    {likely_true_short, true, false, 2},   {unlikely_true_short, true, true, 2},
    {likely_false, false, false, 5},       {unlikely_false, false, true, 5},
    {likely_false_short, false, false, 2}, {unlikely_false_short, false, true, 2},
};
enum { BRANCHES = sizeof branches / sizeof *branches };

static void expect_branch(const struct branch *branch, bool enabled) {
    struct tp_site_info site = SITE_OF(branch->function, 0);
    const volatile uint8_t *text = (const volatile uint8_t *)site.address;
    EXPECT_EQUAL(branch->function(), enabled);
    EXPECT_EQUAL(site.kind, TP_KIND_STATIC_KEY);
    EXPECT_EQUAL(site.length, branch->length);
    if (enabled == branch->jumps_if_enabled)
        EXPECT_EQUAL(text[0], branch->length == 2 ? 0xeb : 0xe9);
    else if (branch->length == 2)
        EXPECT_BYTES(text, 0x66, 0x90);
    else
        EXPECT_BYTES(text, 0x0f, 0x1f, 0x44, 0x00, 0x00);
}

static void expect_branches(bool true_key, bool false_key) {
    for (unsigned i = 0; i < BRANCHES; i++)
        expect_branch(&branches[i], branches[i].starts_true ? true_key : false_key);
}

static void set_keys(bool true_key, bool false_key) {
    EXPECT_OK(true_key ? tp_static_key_enable(key_starts_true) : tp_static_key_disable(key_starts_true));
    EXPECT_OK(false_key ? tp_static_key_enable(key_starts_false) : tp_static_key_disable(key_starts_false));
}

static void branches_in_all_states(void) {
    REQUIRE(start_library(&alias_port));
    expect_branches(true, false);
    REQUIRE_OK(tp_apply());
    for (unsigned state = 0; state < 4; state++) {
        set_keys(state & 1, state & 2);
        expect_branches(state & 1, state & 2);
        EXPECT_EQUAL(count_differences(NULL), 0);
    }
    REQUIRE_OK(tp_revert());
    expect_branches(true, false); /* whatever the keys are */
    REQUIRE_OK(tp_apply());
    expect_branches(true, true);
    set_keys(true, false);
}

static void follows_at_apply_only(void) {
    REQUIRE(start_library(&alias_port));
    set_keys(false, true);
    EXPECT(text_is_pristine());
    expect_branches(true, false);
    REQUIRE_OK(tp_apply());
    expect_branches(false, true);
    set_keys(true, false);
    expect_branches(true, false);
}

static void counts(void) {
    REQUIRE(start_applied());
    EXPECT(!counted());
    for (unsigned i = 1; i <= 3; i++) {
        EXPECT_OK(tp_static_key_increment(key_counted));
        EXPECT_EQUAL(tp_static_key_count(key_counted), i);
        EXPECT(counted());
    }
    for (unsigned i = 3; i-- > 0;) {
        EXPECT_OK(tp_static_key_decrement(key_counted));
        EXPECT_EQUAL(tp_static_key_count(key_counted), i);
        EXPECT_EQUAL(counted(), i > 0);
    }
    EXPECT_STATUS(tp_static_key_decrement(key_counted), TP_ERR_BAD_ARGUMENT);
    EXPECT_EQUAL(tp_static_key_count(key_counted), 0);
    EXPECT(!counted());
    EXPECT_OK(tp_static_key_enable(key_counted));
    EXPECT_OK(tp_static_key_enable(key_counted));
    EXPECT_EQUAL(tp_static_key_count(key_counted), 1);
    EXPECT_OK(tp_static_key_disable(key_counted));
}

static unsigned elements(void) {
    return (unsigned)element0() | (unsigned)element1() << 1 | (unsigned)element2() << 2 |
           (unsigned)true_element0() << 3 | (unsigned)true_element1() << 4;
}

static void keeps_elements_apart(void) {
    REQUIRE(start_applied());
    EXPECT_EQUAL(elements(), 0x18);
    EXPECT_OK(tp_static_key_enable(keys_false[1]));
    EXPECT_EQUAL(elements(), 0x1a);
    EXPECT_OK(tp_static_key_enable(keys_false[2]));
    EXPECT_OK(tp_static_key_disable(keys_true[0]));
    EXPECT_EQUAL(elements(), 0x16);
    EXPECT_OK(tp_static_key_enable(keys_false[0]));
    EXPECT_OK(tp_static_key_disable(keys_true[1]));
    EXPECT_EQUAL(elements(), 0x07);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_OK(tp_key_update(&keys_false[i], 0));
    for (unsigned i = 0; i < 2; i++)
        EXPECT_OK(tp_key_update(&keys_true[i], 1));
    EXPECT_EQUAL(elements(), 0x18);
}

static const struct branch assembler_branches[] = {
    {key_gas_long, true, true, 5},
    {key_gas_short, true, false, 2},
    {key_nasm_long, true, true, 5},
    {key_nasm_short, true, false, 2},
};

static void expect_assembler_branches(bool enabled) {
    for (unsigned i = 0; i < 4; i++)
        expect_branch(&assembler_branches[i], enabled);
}

static void branches_in_assembler(void) {
    REQUIRE(start_library(&alias_port));
    expect_assembler_branches(true);
    REQUIRE_OK(tp_apply());
    expect_assembler_branches(true);
    EXPECT_OK(tp_static_key_disable(key_of_assembler));
    expect_assembler_branches(false);
    REQUIRE_OK(tp_revert());
    expect_assembler_branches(true);
    REQUIRE_OK(tp_apply());
    expect_assembler_branches(false);
    EXPECT_OK(tp_static_key_enable(key_of_assembler));
    expect_assembler_branches(true);
}

static void names_a_changed_branch(void) {
    REQUIRE(start_applied());
    struct tp_site_info site = SITE_OF(unlikely_true, 0);
    uint8_t jump[5];
    uintptr_t named;
    EXPECT(unlikely_true());
    for (unsigned i = 0; i < sizeof jump; i++)
        jump[i] = ((const volatile uint8_t *)site.address)[i];
    poke_text(site.address, "\xe9\0\0\0\0", 5); /* a jump to the next instruction */
    EXPECT(!unlikely_true()); /* the text decides, not the key */
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, site.address);
    EXPECT_TEXT(tp_last_error()->key, "key_starts_true");
    EXPECT_STATUS(tp_static_key_disable(key_starts_true), TP_ERR_UNEXPECTED_BYTES);
    EXPECT_EQUAL(tp_static_key_count(key_starts_true), 1);
    EXPECT(likely_true()); /* nor were the key's other sites changed */
    poke_text(site.address, jump, sizeof jump);
    EXPECT(unlikely_true());
}

static void knows_its_keys_only(void) {
    static uint64_t stranger;
    REQUIRE(start_applied());
    EXPECT_STATUS(tp_key_update(&stranger, 1), TP_ERR_UNKNOWN_KEY);
    EXPECT_EQUAL(stranger, 0);
    EXPECT_STATUS(tp_key_add(&stranger, 1), TP_ERR_UNKNOWN_KEY);
}

KTAP_SUITE(static_keys, {"all forms in all states", branches_in_all_states},
           {"text follows at apply, and not before", follows_at_apply_only}, {"counted", counts},
           {"arrays", keeps_elements_apart}, {"NASM and GAS sites", branches_in_assembler},
           {"a changed branch is named", names_a_changed_branch}, {"a cell that is no key", knows_its_keys_only});
