/* SPDX-License-Identifier: MIT */
/*
 * Alternatives: (record, features) -> bytes, read back by Zydis.
 *
 * Cases
 *   choices            1, 2 and 3 choices x every combination of features: the last eligible one wins
 *   negated            TP_NOT, alone and against its opposite
 *   unknown_feature    bug 32: a feature that nobody set is clear, for every feature that exists
 *   padding            pristine 90s; applied forms of every length in sites of every length: the longest NOPs, and
 *                      bug 33, nothing left of the form before
 *   relocated          call, jmp, jcc, short and RIP-relative operands, out of the form and into it
 *   relocated_too_far  TP_ERR_OUT_OF_REACH, with the place of the operand and the distance
 *   in_original        an alternative, an op call and a lock prefix in the middle of an original
 *   in_replacement     an op call and an alternative inside a replacement; chosen, unchosen and pristine
 *   shared_place       bug 9: an original that is an op call, alternatives first
 *   shared_start       an original that begins with an op call
 *   deepest            three alternatives in one another, each with its own feature
 *   wrong_is_noticed   negative control
 */
#include "render.h"

static void set_features(unsigned bits) {
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bits >> i & 1 ? tp_feature_set(FEATURE(i)) : tp_feature_clear(FEATURE(i)), TP_OK);
    latch();
}

static void choices(void **state) {
    (void)state;
    static const char *const forms[] = {"6:call [slot]", "2:xor eax, eax; 4:nop", "6:call work",
                                        "3:mov rax, rdi; 3:nop"};
    for (unsigned count = 1; count <= 3; count++) {
        struct world *world = start_library();
        uintptr_t slot = (uintptr_t)world->tables->cells;
        const struct choice all[] = {
            {CODE("\x31\xc0"), FEATURE(0)}, {CALL_TO(WORK), FEATURE(1)}, {CODE("\x48\x89\xf8"), FEATURE(2)}};
        name_functions();
        name_address(slot, "slot");
        uintptr_t site = put_alternative(world, 0, CODE_TO("\xff\x15\0\0\0\0", 2, 6, slot), all, count);
        use_image(world);
        for (unsigned bits = 0; bits < 8; bits++) {
            unsigned chosen = 0;
            for (unsigned i = 0; i < count; i++)
                chosen = bits >> i & 1 ? i + 1 : chosen;
            set_features(bits);
            check_render(world, site, TP_VIEW_WANTED, chosen ? TP_FORM_REPLACEMENT : TP_FORM_ORIGINAL,
                         forms[chosen]);
            check_render(world, site, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, forms[0]);
        }
        stop_library();
    }
}

static void negated(void **state) {
    (void)state;
    struct world *world = start_library();
    const struct choice without = {CODE("\xfb"), TP_NOT(FEATURE(0))};
    const struct choice both[] = {{CODE("\xf4"), FEATURE(0)}, {CODE("\xfb"), TP_NOT(FEATURE(0))}};
    uintptr_t alone = put_alternative(world, 0, CODE("\xfa"), &without, 1);
    uintptr_t against = put_alternative(world, 0, CODE("\xfa"), both, 2);
    use_image(world);
    set_features(0);
    check_render(world, alone, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "1:sti");
    check_render(world, against, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "1:sti");
    check_render(world, alone, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, "1:cli");
    set_features(1);
    check_render(world, alone, TP_VIEW_WANTED, TP_FORM_ORIGINAL, "1:cli");
    check_render(world, against, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "1:hlt");
    stop_library();
}

static void unknown_feature(void **state) {
    (void)state;
    unsigned known = 0;
    for (unsigned feature = 0; feature < 0x8000; feature += feature < 1100 ? 1 : 127) {
        struct world *world = start_library();
        const struct choice choice = {CODE("\xfb"), (uint16_t)feature};
        uintptr_t site = put_alternative(world, 0, CODE("\xfa"), &choice, 1);
        enum tp_status status = tp_image_add(&world->image);
        assert_int_equal(status, tp_feature_exists(feature) ? TP_OK : TP_ERR_UNKNOWN_FEATURE);
        if (status == TP_OK) {
            latch();
            check_render(world, site, TP_VIEW_WANTED,
                         tp_feature_test((uint16_t)feature) ? TP_FORM_REPLACEMENT : TP_FORM_ORIGINAL,
                         tp_feature_test((uint16_t)feature) ? "1:sti" : "1:cli");
            known++;
        }
        stop_library();
    }
    assert_int_equal(known, TP_FEATURE_WORDS * 32 - 24);
}

/* `count` bytes of instructions, none of them a NOP: push rdi. */
static struct code fill_code(char *bytes, unsigned count) {
    memset(bytes, 0x57, count);
    return (struct code){bytes, count, 0, 0, 0};
}

static void padding(void **state) {
    (void)state;
    char bytes[TP_SITE_LENGTH_MAX];
    for (unsigned length = 1; length <= TP_SITE_LENGTH_MAX; length += length < 40 ? 1 : 43) {
        struct world *world = start_library();
        uintptr_t sites[TP_SITE_LENGTH_MAX + 1];
        for (unsigned used = 0; used <= length; used++) {
            struct choice choice = {fill_code(bytes, used), FEATURE(0)};
            sites[used] = put_alternative(world, length, CODE("\xfa"), &choice, 1);
        }
        use_image(world);
        set_features(1);
        for (unsigned used = 0; used <= length; used++) {
            struct rendered rendered = render_at(world, sites[used], TP_VIEW_WANTED);
            uint8_t nops[TP_SITE_LENGTH_MAX];
            unsigned count = 0;
            tp_fill_nops(nops, length - used, 9);
            assert_memory_equal(rendered.bytes, fill_code(bytes, used).bytes, used);
            assert_memory_equal(rendered.bytes + used, nops, length - used);
            for (const char *at = show(nops, length - used, 0); (at = strstr(at, "nop")) != NULL; at++)
                count++;
            assert_true(count <= 2);
            rendered = render_at(world, sites[used], TP_VIEW_PRISTINE);
            assert_int_equal(rendered.bytes[0], 0xfa);
            for (unsigned i = 1; i < length; i++)
                assert_int_equal(rendered.bytes[i], 0x90);
        }
        stop_library();
    }
}

static void relocated(void **state) {
    (void)state;
    const struct {
        struct code code;
        const char *text;
    } rows[] = {
        {CALL_TO(WORK), "10:call work"},
        {CODE_TO("\xe9\0\0\0\0", 1, 5, WORK), "5:jmp work; 5:nop"},
        {CODE_TO("\x0f\x85\0\0\0\0", 2, 6, WORK), "6:jnz work; 4:nop"},
        {CODE_TO("\x48\x8b\x05\0\0\0\0", 3, 7, WORK), "7:mov rax, [work]; 3:nop"},
        {CODE_TO("\xc6\x05\0\0\0\0\x07", 2, 7, WORK), "7:mov byte ptr [work], 0x07; 3:nop"},
        {CODE_TO("\xff\x15\0\0\0\0", 2, 6, WORK), "10:call [work]"},
        /* a call at the end, behind others: padding in front, so that it returns to the site's end */
        {CODE_TO("\xf8\xe8\0\0\0\0", 2, 6, OTHER), "4:nop; 1:clc; 5:call other"},
        {CODE_TO("\x50\xe8\0\0\0\0\x58", 2, 6, OTHER), "1:push rax; 5:call other; 1:pop rax; 3:nop"},
        {CODE_TO("\xf0\xff\x05\0\0\0\0", 3, 7, OTHER), "7:lock inc [other]; 3:nop"},
        {CODE("\xb8\x90\x90\x90\x90"), "5:mov eax, 0x90909090; 5:nop"}, /* bug 11: an operand is no padding */
        /* into the form: a loop, and a jump to its end */
        {CODE("\xff\xc8\x75\xfc"), "2:dec eax; 2:jnz begin; 6:nop"},
        {CODE("\x74\x02\xfa\xfb"), "2:jz end; 1:cli; 1:sti; 6:nop"},
        {CODE("\x0f\x84\xfa\xff\xff\xff"), "6:jz begin; 4:nop"},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct world *world = start_library();
        const struct choice choice = {rows[row].code, FEATURE(0)}, unused = {CODE("\xf4"), FEATURE(1)};
        name_functions();
        uintptr_t as_replacement = put_alternative(world, 10, CODE("\xfa"), &choice, 1);
        uintptr_t as_original = put_alternative(world, 10, rows[row].code, &unused, 1);
        use_image(world);
        set_features(1);
        name_address(as_replacement, "begin");
        name_address(as_replacement + rows[row].code.length, "end");
        check_render(world, as_replacement, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, rows[row].text);
        name_address(as_original, "begin");
        name_address(as_original + rows[row].code.length, "end");
        check_render(world, as_original, TP_VIEW_WANTED, TP_FORM_ORIGINAL, rows[row].text);
        assert_memory_equal(render_at(world, as_original, TP_VIEW_PRISTINE).bytes, (void *)as_original, 10);
        name_count = 0;
        stop_library();
    }
}

static void relocated_too_far(void **state) {
    (void)state;
    struct world *world = start_library();
    /* A short jump out of the form, and a call that only the form's own section is near enough for. */
    const struct choice near = {CODE("\xfa\xeb\x10"), FEATURE(0)};
    uintptr_t edge = (uintptr_t)world->tables + UINT64_C(0x7fff0000);
    const struct choice call = {CALL_TO(edge), FEATURE(1)};
    uintptr_t first = put_alternative(world, 0, CODE("\xfa"), &near, 1);
    uintptr_t second = put_alternative(world, 0, CODE("\xfa"), &call, 1);
    use_image(world);
    set_features(3);
    uintptr_t form = tp_relative(&world->image.sites[0].key) + 1;
    assert_int_equal(render_at(world, first, TP_VIEW_WANTED).status, TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_last_error()->site, first);
    assert_int_equal(tp_last_error()->value, first + 2);
    assert_int_equal(tp_last_error()->distance, (int64_t)(form + 0x13 - (first + 3)));
    assert_int_equal(render_at(world, second, TP_VIEW_WANTED).status, TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_last_error()->distance, (int64_t)(edge - (second + 5)));
    stop_library();
}

/* push rdi; [op call or alternative or lock prefix]; pop rdi */
static void in_original(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", OTHER);
    const struct choice outer = {CALL_TO(WORK), FEATURE(0)};
    add_inline(world, NONE, tp_patchlet_nop, tp_patchlet_nop_end);
    name_functions();
    name_address((uintptr_t)slot, "slot");
    struct code original = CODE_TO("\x57\xff\x15\0\0\0\0\xf0\xff\x07\xfa\x90\x90\x5f", 3, 7, (uintptr_t)slot);
    uintptr_t site = put_alternative(world, 0, original, &outer, 1);
    add_site(world, TP_KIND_OP, site + 1, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
    add_site(world, TP_KIND_LOCK_PREFIX, site + 7, 1, 0, 0, 0);
    add_site(world, TP_KIND_ALTERNATIVE, site + 10, 3, put_replacement(world, CODE("\x0f\x01\xca")),
             put_original(world, CODE("\xfa")), FEATURE(1));
    use_image(world);
    set_features(0);
    check_render(world, site, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL,
                 "1:push rdi; 6:call [slot]; 3:lock inc [rdi]; 1:cli; 1:nop; 1:nop; 1:pop rdi");
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_ORIGINAL,
                 "1:push rdi; 6:call other; 3:inc [rdi]; 1:cli; 2:nop; 1:pop rdi");
    *slot = NONE;
    set_features(2);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_ORIGINAL,
                 "1:push rdi; 6:nop; 3:inc [rdi]; 3:clac; 1:pop rdi");
    set_features(3);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "14:call work");
    stop_library();
}

static void in_replacement(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", OTHER);
    name_functions();
    name_address((uintptr_t)slot, "slot");
    const struct choice first = {CODE("\xf4"), FEATURE(2)};
    const struct choice holder = {CODE_TO("\x57\xff\x15\0\0\0\0\xfa\x90\x90\x5f", 3, 7, (uintptr_t)slot),
                                  FEATURE(0)};
    put_alternative(world, 0, CODE("\xfb"), &first, 1); /* a form before it in the section */
    uintptr_t site = put_alternative(world, 0, CODE("\xfa"), &holder, 1);
    uintptr_t form = tp_relative(&world->image.sites[1].key) + 1;
    put_alternative(world, 0, CODE("\xfb"), &first, 1); /* and one behind it */
    add_site(world, TP_KIND_OP, form + 1, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
    add_site(world, TP_KIND_ALTERNATIVE, form + 7, 3, put_replacement(world, CODE("\x0f\x01\xca")),
             put_original(world, CODE("\xfa")), FEATURE(1));
    use_image(world);
    set_features(0);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_ORIGINAL, "1:cli; 9:nop; 1:nop");
    set_features(1);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT,
                 "1:push rdi; 6:call other; 1:cli; 2:nop; 1:pop rdi");
    *slot = 0;
    set_features(3);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT,
                 "1:push rdi; 2:ud2; 4:int3; 3:clac; 1:pop rdi");
    assert_int_equal(render_at(world, site, TP_VIEW_PRISTINE).bytes[0], 0xfa);
    stop_library();
}

static void shared_place(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", OTHER);
    const struct choice choice = {CALL_TO(WORK), FEATURE(0)};
    name_functions();
    name_address((uintptr_t)slot, "slot");
    uintptr_t site =
        put_alternative(world, 0, CODE_TO("\xff\x15\0\0\0\0", 2, 6, (uintptr_t)slot), &choice, 1);
    add_site(world, TP_KIND_OP, site, 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
    use_image(world);
    set_features(0);
    check_render(world, site, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, "6:call [slot]");
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_DIRECT, "6:call other");
    set_features(1);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "6:call work");
    /* Bug 9: back again, and the call is still that of the slot. */
    assert_int_equal(tp_apply(), TP_OK);
    set_features(0);
    assert_int_equal(tp_apply(), TP_OK);
    assert_string_equal(show((void *)site, 6, site), "6:call other");
    stop_library();
}

/* The op call is shorter than the alternative around it, and neither is first in the table. */
static void shared_start(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", OTHER);
    const struct choice choice = {CALL_TO(WORK), FEATURE(0)};
    name_functions();
    struct code original = CODE_TO("\xff\x15\0\0\0\0\x58", 2, 6, (uintptr_t)slot);
    add_site(world, TP_KIND_OP, next_address(world), 6, (uintptr_t)slot, 0, TP_BRANCH_CALL);
    uintptr_t site = put_alternative(world, 9, original, &choice, 1);
    use_image(world);
    set_features(0);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_ORIGINAL, "6:call other; 1:pop rax; 2:nop");
    set_features(1);
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_REPLACEMENT, "9:call work");
    stop_library();
}

static void deepest(void **state) {
    (void)state;
    static const char *const texts[8] = {"1:cli; 2:nop", "1:sti; 2:nop", "1:hlt; 2:nop", "1:hlt; 2:nop",
                                         "3:clac",       "3:clac",       "3:clac",       "3:clac"};
    struct world *world = start_library();
    const struct choice inner = {CODE("\xfb"), FEATURE(0)};
    uintptr_t copy = put_original(world, CODE("\xfa"));
    uintptr_t site = put_alternative(world, 3, CODE("\xfa"), &inner, 1);
    add_site(world, TP_KIND_ALTERNATIVE, site, 3, put_replacement(world, CODE("\xf4")), copy, FEATURE(1));
    add_site(world, TP_KIND_ALTERNATIVE, site, 3, put_replacement(world, CODE("\x0f\x01\xca")), copy,
             FEATURE(2));
    use_image(world);
    for (unsigned bits = 0; bits < 8; bits++) {
        set_features(bits);
        check_render(world, site, TP_VIEW_WANTED, bits ? TP_FORM_REPLACEMENT : TP_FORM_ORIGINAL, texts[bits]);
    }
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_library();
    const struct choice choice = {CALL_TO(WORK), FEATURE(0)};
    name_functions();
    uintptr_t site = put_alternative(world, 8, CODE("\xfa"), &choice, 1);
    use_image(world);
    set_features(1);
    assert_true(renders_as(world, site, TP_VIEW_WANTED, "8:call work"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "8:call other"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "5:call work; 3:nop"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "1:cli; 7:nop"));
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices),      cmocka_unit_test(negated),        cmocka_unit_test(unknown_feature),
        cmocka_unit_test(padding),      cmocka_unit_test(relocated),      cmocka_unit_test(relocated_too_far),
        cmocka_unit_test(in_original),  cmocka_unit_test(in_replacement), cmocka_unit_test(shared_place),
        cmocka_unit_test(shared_start), cmocka_unit_test(deepest),        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
