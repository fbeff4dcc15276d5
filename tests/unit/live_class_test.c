/* SPDX-License-Identifier: MIT */
/*
 * How a site would be changed while CPUs run: lib/commit/transition.c.
 *
 * Cases
 *   documented     AMD: one instruction inside a quadword by a store, across one by traps, several by rendezvous
 *   by_vendor      Intel: no store unless practice will do; traps on the vendor's word, unless less is asked for
 *   quadwords      every length at every offset: a store exactly where no quadword is crossed
 *   one            what counts as one instruction: prefixes, ret and what lies behind it, a byte of its own; and what not
 *   return_address a call that does not end the old form: impossible, but for a form never left by its end
 *   kinds          only sites with a key may trap
 *   prefix         TP_SCHEME_PREFIX: traps only where a 2e is all that changes hands
 *   one_way        what could not be stored back
 *   demands        least_class
 *   planned        tp_plan() tells the same
 */
#include "expect.h"

#include "commit/transition.h"

enum { FORM = 15 };

/* Both padded with int3 to FORM bytes, of which `length` count. */
struct pair {
    const char *old_bytes, *new_bytes;
    unsigned length;
};

static const struct pair call_call = {"\x2e\xe8\1\2\3\4", "\x2e\xe8\5\6\7\x8", 6};
static const struct pair call_inline = {"\x2e\xe8\1\2\3\4", "\x9c\x58\x0f\x1f\x40\0", 6};
static const struct pair inline_call = {"\x9c\x58\x0f\x1f\x40\0", "\x2e\xe8\1\2\3\4", 6};
static const struct pair nop_jump = {"\x0f\x1f\x44\0\0", "\xe9\1\2\3\4", 5};
static const struct pair ret_jump = {"\xc3\xcc\xcc\xcc\xcc\xcc", "\x2e\xe9\1\2\3\4", 6};
static const struct pair indirect_call = {"\xff\x15\1\2\3\4", "\x2e\xe8\1\2\3\4", 6};

static void use_cpu(bool amd, unsigned assurance, unsigned scheme) {
    const struct tp_live_options options = {.least_assurance = (uint8_t)assurance, .call_scheme = (uint8_t)scheme};
    start_library();
    assert_int_equal(tp_feature_clear(TP_FEATURE_VENDOR_INTEL), TP_OK);
    assert_int_equal(amd ? tp_feature_set(TP_FEATURE_VENDOR_AMD) : tp_feature_set(TP_FEATURE_VENDOR_INTEL), TP_OK);
    assert_int_equal(tp_set_live_options(&options), TP_OK);
}

static void demand(unsigned class_chosen) {
    struct tp_live_options options;
    tp_get_live_options(&options);
    options.least_class = (uint8_t)class_chosen;
    assert_int_equal(tp_set_live_options(&options), TP_OK);
}

static unsigned choose(const struct pair *pair, unsigned kind, unsigned offset) {
    const struct tp_transition transition = {(const uint8_t *)pair->old_bytes, (const uint8_t *)pair->new_bytes,
                                             (uint8_t)pair->length, (uint8_t)kind};
    unsigned class_chosen = tp_class_at(tp_choose_classes(&transition), offset);
    assert_int_equal(class_chosen, tp_choose_class(&transition, 0x1000 + offset));
    return class_chosen;
}

static void expect_class(const struct pair *pair, unsigned kind, unsigned offset, unsigned expected) {
    unsigned found = choose(pair, kind, offset);
    if (found != expected)
        fail_msg("%u bytes at %u, kind %u: %s, not %s", pair->length, offset, kind, tp_class_text(found),
                 tp_class_text(expected));
}

static void documented(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_STORE);
    expect_class(&call_call, TP_KIND_OP, 3, TP_CLASS_TRAP);
    expect_class(&call_inline, TP_KIND_OP, 2, TP_CLASS_STORE);
    expect_class(&call_inline, TP_KIND_OP, 61, TP_CLASS_TRAP);
    expect_class(&inline_call, TP_KIND_OP, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&indirect_call, TP_KIND_OP, 0, TP_CLASS_STORE);
    expect_class(&nop_jump, TP_KIND_STATIC_KEY, 3, TP_CLASS_STORE);
    expect_class(&nop_jump, TP_KIND_STATIC_KEY, 4, TP_CLASS_TRAP);
    for (unsigned class_chosen = TP_CLASS_STORE; class_chosen <= TP_CLASS_RENDEZVOUS; class_chosen++)
        assert_int_equal(tp_assurance_of(class_chosen, TP_KIND_OP), TP_ASSURANCE_DOCUMENTED);
    stop_library();
}

static void by_vendor(void **state) {
    (void)state;
    use_cpu(false, TP_ASSURANCE_VENDOR, TP_SCHEME_EMULATE);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_TRAP);
    assert_int_equal(tp_assurance_of(TP_CLASS_STORE, TP_KIND_OP), TP_ASSURANCE_PRACTICE);
    assert_int_equal(tp_assurance_of(TP_CLASS_TRAP, TP_KIND_OP), TP_ASSURANCE_VENDOR);
    assert_int_equal(tp_assurance_of(TP_CLASS_RENDEZVOUS, TP_KIND_OP), TP_ASSURANCE_DOCUMENTED);
    stop_library();
    use_cpu(false, TP_ASSURANCE_PRACTICE, TP_SCHEME_EMULATE);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_STORE);
    expect_class(&call_call, TP_KIND_OP, 3, TP_CLASS_TRAP);
    stop_library();
    use_cpu(false, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_RENDEZVOUS);
    stop_library();
}

static void quadwords(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    for (unsigned length = 6; length <= FORM; length++) {
        char old_bytes[FORM], new_bytes[FORM];
        memset(old_bytes, 0x2e, sizeof old_bytes);
        memcpy(old_bytes + length - 5, "\xe8\1\2\3\4", 5);
        memcpy(new_bytes, old_bytes, sizeof new_bytes);
        new_bytes[length - 1] ^= 0x55;
        const struct pair pair = {old_bytes, new_bytes, length};
        for (unsigned offset = 0; offset < 64; offset++) {
            bool inside = offset / 8 == (offset + length - 1) / 8;
            expect_class(&pair, TP_KIND_OP, offset, inside ? TP_CLASS_STORE : TP_CLASS_TRAP);
        }
    }
    stop_library();
}

static void one(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    const struct pair ud2 = {"\x0f\x0b\xcc\xcc\xcc\xcc", "\x2e\xe8\1\2\3\4", 6};
    const struct pair lock = {"\xf0", "\x3e", 1};
    const struct pair five_nops = {"\x90\x90\x90\x90\x90", "\xe9\1\2\3\4", 5}; /* bug 31 */
    const struct pair two_nops = {"\x0f\x1f\0\x66\x90", "\xe9\1\2\3\4", 5};
    const struct pair jumps_inside = {"\xeb\x01\xcc\x9c\x58\x90", "\x2e\xe8\1\2\3\4", 6};
    const struct pair jumps_out = {"\xeb\x04\xcc\x9c\x58\x90", "\x2e\xe8\1\2\3\4", 6};
    const struct pair int3s = {"\xcc\xcc\xcc\xcc\xcc", "\xe9\1\2\3\4", 5};
    const struct pair nothing = {"\x06\x06\x06\x06\x06", "\xe9\1\2\3\4", 5};
    expect_class(&ret_jump, TP_KIND_TRAMPOLINE, 0, TP_CLASS_STORE);
    expect_class(&ret_jump, TP_KIND_TRAMPOLINE, 4, TP_CLASS_TRAP);
    expect_class(&ud2, TP_KIND_OP, 0, TP_CLASS_STORE);
    expect_class(&lock, TP_KIND_LOCK_PREFIX, 7, TP_CLASS_STORE);
    expect_class(&five_nops, TP_KIND_STATIC_KEY, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&two_nops, TP_KIND_STATIC_KEY, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&jumps_inside, TP_KIND_ALTERNATIVE, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&jumps_out, TP_KIND_ALTERNATIVE, 0, TP_CLASS_STORE);
    expect_class(&int3s, TP_KIND_STATIC_KEY, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&nothing, TP_KIND_STATIC_KEY, 0, TP_CLASS_NONE);
    stop_library();
}

static void return_address(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    const struct pair padded_behind = {"\xe8\1\2\3\4\x90", "\x2e\xe8\1\2\3\4", 6}; /* bug 25 */
    const struct pair indirect = {"\xff\xd0\x31\xc0", "\x0f\x1f\x40\0", 4};
    const struct pair software = {"\xcd\x80\x31\xc0", "\x0f\x1f\x40\0", 4};
    const struct pair at_end = {"\x31\xc0\xff\xd0", "\x0f\x1f\x40\0", 4};
    const struct pair never_reached = {"\x31\xc0\xc3\xe8\1\2\3\4\x90", "\x66\x0f\x1f\x84\0\0\0\0\0", 9};
    expect_class(&padded_behind, TP_KIND_OP, 0, TP_CLASS_NONE);
    expect_class(&indirect, TP_KIND_ALTERNATIVE, 0, TP_CLASS_NONE);
    expect_class(&software, TP_KIND_ALTERNATIVE, 0, TP_CLASS_NONE);
    expect_class(&at_end, TP_KIND_ALTERNATIVE, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&never_reached, TP_KIND_ALTERNATIVE, 0, TP_CLASS_NONE); /* a jump over the ret might lead there */
    stop_library();
}

static void kinds(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    expect_class(&call_call, TP_KIND_STATIC_CALL, 4, TP_CLASS_TRAP);
    expect_class(&call_call, TP_KIND_TRAMPOLINE, 4, TP_CLASS_TRAP);
    expect_class(&nop_jump, TP_KIND_ALTERNATIVE, 4, TP_CLASS_RENDEZVOUS);
    expect_class(&nop_jump, TP_KIND_ALTERNATIVE, 0, TP_CLASS_STORE);
    stop_library();
}

static void prefix(void **state) {
    (void)state;
    use_cpu(false, TP_ASSURANCE_VENDOR, TP_SCHEME_PREFIX);
    expect_class(&call_call, TP_KIND_OP, 7, TP_CLASS_RENDEZVOUS); /* its tail is executed while it is stored */
    expect_class(&nop_jump, TP_KIND_STATIC_KEY, 4, TP_CLASS_TRAP);
    assert_int_equal(tp_assurance_of(TP_CLASS_TRAP, TP_KIND_OP), TP_ASSURANCE_PRACTICE);
    assert_int_equal(tp_assurance_of(TP_CLASS_TRAP, TP_KIND_STATIC_KEY), TP_ASSURANCE_VENDOR);
    stop_library();
    use_cpu(false, TP_ASSURANCE_PRACTICE, TP_SCHEME_PREFIX);
    demand(TP_CLASS_TRAP);
    expect_class(&call_call, TP_KIND_OP, 7, TP_CLASS_TRAP); /* e8 at the beginning of a quadword */
    expect_class(&call_call, TP_KIND_OP, 2, TP_CLASS_TRAP);
    expect_class(&call_call, TP_KIND_OP, 3, TP_CLASS_RENDEZVOUS);
    expect_class(&indirect_call, TP_KIND_OP, 0, TP_CLASS_RENDEZVOUS);
    expect_class(&call_inline, TP_KIND_OP, 0, TP_CLASS_RENDEZVOUS);
    stop_library();
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_PREFIX);
    expect_class(&call_call, TP_KIND_OP, 2, TP_CLASS_STORE);
    expect_class(&call_inline, TP_KIND_OP, 2, TP_CLASS_RENDEZVOUS); /* a CPU may stand behind the 2e */
    expect_class(&call_inline, TP_KIND_ALTERNATIVE, 2, TP_CLASS_STORE);
    expect_class(&nop_jump, TP_KIND_STATIC_KEY, 4, TP_CLASS_TRAP); /* branches are emulated whatever the scheme */
    stop_library();
}

static bool is_one_way(const struct pair *pair) {
    const struct tp_transition transition = {(const uint8_t *)pair->old_bytes, (const uint8_t *)pair->new_bytes,
                                             (uint8_t)pair->length, TP_KIND_OP};
    return tp_is_one_way(&transition);
}

static void one_way(void **state) {
    (void)state;
    assert_true(is_one_way(&call_inline)); /* someone may stand behind the pushf */
    assert_false(is_one_way(&call_call));
    assert_false(is_one_way(&inline_call));
    assert_false(is_one_way(&indirect_call));
}

static void demands(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_VENDOR, TP_SCHEME_EMULATE);
    demand(TP_CLASS_TRAP);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_TRAP);
    demand(TP_CLASS_RENDEZVOUS);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_RENDEZVOUS);
    assert_int_equal(tp_set_live_options(NULL), TP_OK);
    expect_class(&call_call, TP_KIND_OP, 0, TP_CLASS_STORE);
    stop_library();
}

struct planned {
    unsigned stores, traps, others;
};

static bool note_plan(const struct tp_edit_info *info, void *argument) {
    struct planned *planned = argument;
    assert_int_equal(info->assurance, tp_assurance_of(info->class_chosen, info->site.kind));
    planned->stores += info->class_chosen == TP_CLASS_STORE;
    planned->traps += info->class_chosen == TP_CLASS_TRAP;
    planned->others += info->class_chosen > TP_CLASS_TRAP;
    return true;
}

static void planned(void **state) {
    (void)state;
    use_cpu(true, TP_ASSURANCE_DOCUMENTED, TP_SCHEME_EMULATE);
    struct world *world = &worlds[0];
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "slot", WORK);
    put_op(world, slot, 6, TP_BRANCH_CALL);
    put_op(world, slot, 6, TP_BRANCH_CALL);
    put_op(world, slot, 11, TP_BRANCH_CALL);
    use_image(world);
    struct planned planned = {0};
    assert_int_equal(tp_plan(note_plan, &planned), TP_OK);
    assert_int_equal(planned.stores, 1);
    assert_int_equal(planned.traps, 2);
    assert_int_equal(planned.others, 0);
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented), cmocka_unit_test(by_vendor), cmocka_unit_test(quadwords),
        cmocka_unit_test(one),        cmocka_unit_test(return_address), cmocka_unit_test(kinds),
        cmocka_unit_test(prefix),     cmocka_unit_test(one_way),        cmocka_unit_test(demands),
        cmocka_unit_test(planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
