/* SPDX-License-Identifier: MIT */
/*
 * Op calls, and what they share with static calls: (record, target) -> bytes, read back by Zydis.
 *
 * Cases
 *   op_calls, op_jumps    a table of targets x all widths: direct, trap, nothing, inline in front and behind
 *   nothing               a function that does nothing: NOPs as long as the vendor likes, or a return
 *   literal_bytes         the forms that op.h and static_call.h print, byte for byte
 *   calls_end_the_site    bug 25: every call form of every width and target ends where the site ends
 *   inline_too_long       each patchlet x each width: a direct call exactly where it doesn't fit
 *   rip_relative_inline   a patchlet with such an operand, alone (padded) and with a second instruction
 *   no_stale_tail         bug 33: from any form to any form, the bytes are those of a fresh rendering
 *   far_targets           TP_ERR_OUT_OF_REACH with site, key and distance, for every form that has a target
 *   wrong_is_noticed      negative controls of the comparison
 */
#include "render.h"

static const unsigned inlined_lengths[INLINED_COUNT] = {1, 2, 9, 7, 10, 6, 2, 15, 2};

struct row {
    uintptr_t target;
    unsigned form;
    const char *pattern;
    unsigned least; /* narrower sites take `narrow` */
};

static const struct row op_calls_table[] = {
    {0, TP_FORM_TRAP, "2:ud2; R:int3", 0},
    {WORK, TP_FORM_DIRECT, "W:call work", 0},
    {INLINED(CLI), TP_FORM_INLINE, "W:cli", 0},
    {INLINED(SAVE), TP_FORM_INLINE, "1:pushfq; 1:pop rax; *", 0},
    {INLINED(PAUSE), TP_FORM_INLINE, "W:pause", 0},
    {INLINED(RET0), TP_FORM_INLINE, "W:xor eax, eax", 0},
    {INLINED(XEN), TP_FORM_INLINE, "9:mov byte ptr gs:[0x0000000000000010], 0x01; *", 9},
    {INLINED(XEN), TP_FORM_DIRECT, "W:call xen_", 0},
    {INLINED(COUNTER), TP_FORM_INLINE, "W:mov rax, [counter]", 7},
    {INLINED(COUNTER), TP_FORM_DIRECT, "W:call counter_", 0},
    {INLINED(COUNTER_TWICE), TP_FORM_INLINE, "7:mov rax, [counter]; 3:add rax, rax; *", 10},
    {INLINED(FIFTEEN), TP_FORM_INLINE, "15:nop", 15},
    {INLINED(FIFTEEN), TP_FORM_DIRECT, "W:call fifteen_", 0},
    {INLINED(SYSRET), TP_FORM_DIRECT, "W:call sysret_", 0}, /* it wouldn't come back to what follows a call */
};

static const struct row op_jumps_table[] = {
    {0, TP_FORM_TRAP, "2:ud2; R:int3", 0},
    {WORK, TP_FORM_DIRECT, "W:jmp work", 0},
    {INLINED(SYSRET), TP_FORM_INLINE, "5:mov rsp, [rsp+0x18]; 3:swapgs; 3:sysret; *", 11},
    {INLINED(SYSRET), TP_FORM_DIRECT, "W:jmp sysret_", 0},
    {INLINED(CLI), TP_FORM_DIRECT, "W:jmp cli_", 0}, /* it falls through, where a jump would return */
    {INLINED(SAVE), TP_FORM_DIRECT, "W:jmp save_", 0},
};

enum { NARROWEST = 6, WIDEST = 15, WIDTHS = WIDEST - NARROWEST + 1 };

static void check_op_table(const struct row *rows, unsigned count, unsigned branch) {
    struct world *world = start_library();
    uintptr_t sites[WIDTHS];
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    name_address((uintptr_t)slot, "slot");
    add_patchlets(world);
    for (unsigned i = 0; i < WIDTHS; i++)
        sites[i] = put_op(world, slot, NARROWEST + i, branch);
    use_image(world);
    const char *pristine = branch == TP_BRANCH_CALL ? "W:call [slot]" : "W:jmp [slot]";
    for (unsigned i = 0; i < WIDTHS; i++)
        check_render(world, sites[i], TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, pristine);
    for (unsigned row = 0; row < count; row++) {
        *slot = rows[row].target;
        latch();
        for (unsigned i = 0; i < WIDTHS; i++) {
            bool has_wider_row = row > 0 && rows[row - 1].target == rows[row].target;
            if (NARROWEST + i < rows[row].least || (has_wider_row && NARROWEST + i >= rows[row - 1].least))
                continue;
            check_render(world, sites[i], TP_VIEW_WANTED, rows[row].form, rows[row].pattern);
        }
    }
    stop_library();
}

static void op_calls(void **state) {
    (void)state;
    check_op_table(op_calls_table, sizeof op_calls_table / sizeof op_calls_table[0], TP_BRANCH_CALL);
}

static void op_jumps(void **state) {
    (void)state;
    check_op_table(op_jumps_table, sizeof op_jumps_table / sizeof op_jumps_table[0], TP_BRANCH_JMP);
}

static void nothing(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", NONE);
    uintptr_t calls[WIDTHS], jumps[WIDTHS];
    add_patchlets(world);
    for (unsigned i = 0; i < WIDTHS; i++) {
        calls[i] = put_op(world, slot, NARROWEST + i, TP_BRANCH_CALL);
        jumps[i] = put_op(world, slot, NARROWEST + i, TP_BRANCH_JMP);
    }
    use_image(world);
    latch();
    for (unsigned i = 0; i < WIDTHS; i++) {
        check_render(world, calls[i], TP_VIEW_WANTED, TP_FORM_NOP, "*");
        check_render(world, jumps[i], TP_VIEW_WANTED, TP_FORM_RETURN, "1:ret; R:int3");
    }
    /* AMD's CPUs like longer NOPs. */
    assert_int_equal(tp_feature_set(TP_FEATURE_VENDOR_AMD), TP_OK);
    latch();
    for (unsigned width = NARROWEST; width <= WIDEST; width++)
        check_render(world, calls[width - NARROWEST], TP_VIEW_WANTED, TP_FORM_NOP,
                     width <= 11 ? "W:nop" : expand("11:nop; *", width));
    stop_library();
}

/* The page of op.h and static_call.h, with addresses filled in: the slot 0x100 behind, the target 0x200 behind. */
static void literal_bytes(void **state) {
    (void)state;
    static const struct {
        uintptr_t target; /* 1: 0x200 behind the site's end */
        bool is_wide;
        const char *bytes;
    } rows[] = {
        {1, false, "\x2e\xe8\x00\x02\x00\x00"},
        {INLINED(SAVE), false, "\x9c\x58\x0f\x1f\x40\x00"},
        {INLINED(CLI), false, "\x2e\x2e\x2e\x2e\x2e\xfa"},
        {NONE, false, "\x66\x0f\x1f\x44\x00\x00"},
        {0, false, "\x0f\x0b\xcc\xcc\xcc\xcc"},
        {1, true, "\x2e\x2e\x2e\x2e\xe8\x00\x02\x00\x00"},
        {INLINED(XEN), true, "\x65\xc6\x04\x25\x10\x00\x00\x00\x01"},
        {NONE, true, "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00"},
    };
    struct world *world = start_library();
    add_patchlets(world);
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    uintptr_t narrow = put_op(world, slot, 6, TP_BRANCH_CALL), wide = put_op(world, slot, 9, TP_BRANCH_CALL);
    use_image(world);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uintptr_t site = rows[i].is_wide ? wide : narrow;
        *slot = rows[i].target == 1 ? site + (rows[i].is_wide ? 9 : 6) + 0x200 : rows[i].target;
        latch();
        struct rendered rendered = render_at(world, site, TP_VIEW_WANTED);
        assert_memory_equal(rendered.bytes, rows[i].bytes, rendered.length);
    }
    stop_library();
}

static bool call_ends_the_site(const uint8_t *bytes, unsigned length) {
    const char *text = show(bytes, length, WORK);
    const char *call = strstr(text, "call");
    return !call || !strchr(call, ';');
}

static void calls_end_the_site(void **state) {
    (void)state;
    static const uint8_t padded_behind[] = {0xe8, 0, 0, 0, 0, 0x90};
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    uint64_t *call = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    uintptr_t sites[2 * WIDTHS];
    unsigned count = 0, calls = 0;
    add_patchlets(world);
    uintptr_t trampoline = put_trampoline(world, call);
    for (unsigned width = NARROWEST; width <= WIDEST; width++)
        sites[count++] = put_op(world, slot, width, TP_BRANCH_CALL);
    sites[count++] = put_static_call(world, call, trampoline, TP_BRANCH_CALL);
    use_image(world);
    for (unsigned row = 0; row < sizeof op_calls_table / sizeof op_calls_table[0]; row++) {
        *slot = *call = op_calls_table[row].target;
        latch();
        for (unsigned i = 0; i < count; i++)
            for (enum tp_view view = TP_VIEW_PRISTINE; view <= TP_VIEW_WANTED; view += 2) {
                struct rendered rendered = render_at(world, sites[i], view);
                assert_true(call_ends_the_site(rendered.bytes, rendered.length));
                calls += strstr(show(rendered.bytes, rendered.length, sites[i]), "call") != NULL;
            }
    }
    assert_true(calls > 200);
    assert_false(call_ends_the_site(padded_behind, sizeof padded_behind));
    stop_library();
}

static void inline_too_long(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    uintptr_t sites[WIDTHS];
    add_patchlets(world);
    for (unsigned i = 0; i < WIDTHS; i++)
        sites[i] = put_op(world, slot, NARROWEST + i, TP_BRANCH_CALL);
    use_image(world);
    for (unsigned function = 0; function < INLINED_COUNT; function++) {
        *slot = INLINED(function);
        latch();
        for (unsigned i = 0; i < WIDTHS; i++) {
            bool fits = inlined_lengths[function] <= NARROWEST + i && function != SYSRET;
            unsigned form = render_at(world, sites[i], TP_VIEW_WANTED).form;
            assert_int_equal(form, fits ? TP_FORM_INLINE : TP_FORM_DIRECT);
        }
    }
    stop_library();
}

/* 2 GiB is as far as the operand reaches: the same patchlet, from a place too far from what it names. */
static void rip_relative_inline(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    add_patchlets(world);
    add_patchlet(world, INLINED(20), CODE_TO("\x48\x8b\x05\0\0\0\0", 3, 7, UINT64_C(0xd4000000)));
    uintptr_t site = put_op(world, slot, 12, TP_BRANCH_CALL);
    use_image(world);
    *slot = INLINED(COUNTER);
    latch();
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_INLINE, "12:mov rax, [counter]");
    *slot = INLINED(COUNTER_TWICE);
    latch();
    check_render(world, site, TP_VIEW_WANTED, TP_FORM_INLINE, "7:mov rax, [counter]; 3:add rax, rax; 2:nop");
    *slot = INLINED(20);
    latch();
    assert_int_equal(render_at(world, site, TP_VIEW_WANTED).status, TP_ERR_OUT_OF_REACH);
    assert_int_equal(tp_last_error()->distance, (int64_t)(0xd4000000 - (site + 12)));
    stop_library();
}

static void no_stale_tail(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", 0);
    enum { ROWS = sizeof op_calls_table / sizeof op_calls_table[0] };
    uint8_t fresh[ROWS][WIDEST];
    add_patchlets(world);
    uintptr_t site = put_op(world, slot, WIDEST, TP_BRANCH_CALL);
    use_image(world);
    for (unsigned row = 0; row < ROWS; row++) {
        *slot = op_calls_table[row].target;
        latch();
        memcpy(fresh[row], render_at(world, site, TP_VIEW_WANTED).bytes, WIDEST);
    }
    for (unsigned from = 0; from < ROWS; from++)
        for (unsigned to = 0; to < ROWS; to++) {
            *slot = op_calls_table[from].target;
            assert_int_equal(tp_apply(), TP_OK);
            assert_memory_equal((void *)site, fresh[from], WIDEST);
            assert_int_equal(tp_key_update(slot, op_calls_table[to].target), TP_OK);
            assert_memory_equal((void *)site, fresh[to], WIDEST);
        }
    stop_library();
}

static void far_targets(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.far", FAR);
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "far_call", FAR);
    uintptr_t sites[6];
    unsigned lengths[6] = {6, 15, 6, 5, 5, 6};
    sites[0] = put_op(world, slot, 6, TP_BRANCH_CALL);
    sites[1] = put_op(world, slot, 15, TP_BRANCH_JMP);
    sites[2] = put_trampoline(world, cell);
    sites[3] = put_static_call(world, cell, sites[2], TP_BRANCH_CALL);
    sites[4] = put_static_call(world, cell, sites[2], TP_BRANCH_JMP);
    sites[5] = put_static_call(world, cell, sites[2], TP_BRANCH_JCC | 4);
    use_image(world);
    latch();
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(render_at(world, sites[i], TP_VIEW_WANTED).status, TP_ERR_OUT_OF_REACH);
        assert_int_equal(tp_last_error()->site, sites[i]);
        assert_int_equal(tp_last_error()->distance, (int64_t)(FAR - (sites[i] + lengths[i])));
        assert_string_equal(tp_last_error()->key, i < 2 ? "ops.far" : "far_call");
    }
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.slot", WORK);
    name_functions();
    uintptr_t site = put_op(world, slot, 7, TP_BRANCH_CALL);
    use_image(world);
    latch();
    assert_true(renders_as(world, site, TP_VIEW_WANTED, "W:call work"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "W:call other"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "W:jmp work"));
    assert_false(renders_as(world, site, TP_VIEW_WANTED, "5:call work; *"));
    assert_false(renders_as(world, site, TP_VIEW_PRISTINE, "W:call work"));
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_calls),
        cmocka_unit_test(op_jumps),
        cmocka_unit_test(nothing),
        cmocka_unit_test(literal_bytes),
        cmocka_unit_test(calls_end_the_site),
        cmocka_unit_test(inline_too_long),
        cmocka_unit_test(rip_relative_inline),
        cmocka_unit_test(no_stale_tail),
        cmocka_unit_test(far_targets),
        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
