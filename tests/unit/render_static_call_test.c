/* SPDX-License-Identifier: MIT */
/*
 * Static calls and trampolines: (record, target) -> bytes, read back by Zydis.
 *
 * Cases
 *   static_calls        call, jmp, all sixteen jcc (bug 26) x pristine, NULL, RET0, inline, other
 *   static_call_widths  call and jmp sites of 5 to 15 bytes
 *   trampolines         pristine, none, RET0, function with an inline form
 *   wrong_is_noticed    negative control: the next condition, and a call for a jump
 */
#include "render.h"

static const char *const conditions[16] = {"jo", "jno", "jb", "jnb", "jz", "jnz", "jbe", "jnbe",
                                           "js", "jns", "jp", "jnp", "jl", "jnl", "jle", "jnle"};

static void static_calls(void **state) {
    (void)state;
    static const struct {
        uintptr_t target;
        const char *call, *jump, *jcc;
    } rows[] = {
        {WORK, "5:call work", "5:jmp work", "work"},
        {OTHER, "5:call other", "5:jmp other", "other"},
        {0, "5:nop", "1:ret; 4:int3", "none"},
        {NONE, "5:nop", "1:ret; 4:int3", "none"},
        {RETURN0, "5:xor eax, eax", "5:jmp return0", "return0"},
        {INLINED(CLI), "5:cli", "5:jmp cli_", "cli_"},
        {INLINED(SAVE), "1:pushfq; 1:pop rax; 3:nop", "5:jmp save_", "save_"},
        {INLINED(SYSRET), "5:call sysret_", "5:jmp sysret_", "sysret_"},
        {INLINED(XEN), "5:call xen_", "5:jmp xen_", "xen_"},
    };
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    char text[64];
    uintptr_t jcc[16];
    add_patchlets(world);
    add_inline(world, RETURN0, tp_patchlet_ret0, tp_patchlet_ret0_end);
    uintptr_t trampoline = put_trampoline(world, cell);
    name_address(trampoline, "trampoline");
    uintptr_t call = put_static_call(world, cell, trampoline, TP_BRANCH_CALL);
    uintptr_t jump = put_static_call(world, cell, trampoline, TP_BRANCH_JMP);
    for (unsigned condition = 0; condition < 16; condition++)
        jcc[condition] = put_static_call(world, cell, trampoline, TP_BRANCH_JCC | condition);
    use_image(world);
    check_render(world, call, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, "5:call trampoline");
    check_render(world, jump, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, "5:jmp trampoline");
    for (unsigned row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        *cell = rows[row].target;
        latch();
        assert_true(renders_as(world, call, TP_VIEW_WANTED, rows[row].call));
        assert_true(renders_as(world, jump, TP_VIEW_WANTED, rows[row].jump));
        for (unsigned condition = 0; condition < 16; condition++) {
            snprintf(text, sizeof text, "6:%s %s", conditions[condition], rows[row].jcc);
            check_render(world, jcc[condition], TP_VIEW_WANTED, TP_FORM_DIRECT, text);
            snprintf(text, sizeof text, "6:%s trampoline", conditions[condition]);
            check_render(world, jcc[condition], TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, text);
        }
    }
    stop_library();
}

static void static_call_widths(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    uintptr_t calls[16], jumps[16];
    name_functions();
    uintptr_t trampoline = put_trampoline(world, cell);
    for (unsigned width = 5; width <= 15; width++) {
        calls[width] = put_code(world, CALL_TO(trampoline), width);
        add_site(world, TP_KIND_STATIC_CALL, calls[width], width, (uintptr_t)cell, trampoline,
                 TP_BRANCH_CALL);
        jumps[width] = put_code(world, CALL_TO(trampoline), width);
        add_site(world, TP_KIND_STATIC_CALL, jumps[width], width, (uintptr_t)cell, trampoline, TP_BRANCH_JMP);
    }
    use_image(world);
    latch();
    for (unsigned width = 5; width <= 15; width++) {
        check_render(world, calls[width], TP_VIEW_WANTED, TP_FORM_DIRECT, "W:call work");
        check_render(world, jumps[width], TP_VIEW_WANTED, TP_FORM_DIRECT, "W:jmp work");
    }
    stop_library();
}

static void trampolines(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    add_patchlets(world);
    uintptr_t trampoline = put_trampoline(world, cell);
    name_address((uintptr_t)cell, "cell");
    use_image(world);
    check_render(world, trampoline, TP_VIEW_PRISTINE, TP_FORM_ORIGINAL, "6:jmp [cell]");
    static const struct {
        uintptr_t target;
        unsigned form;
        const char *pattern;
    } rows[] = {
        {WORK, TP_FORM_DIRECT, "6:jmp work"},         {NONE, TP_FORM_RETURN, "1:ret; 5:int3"},
        {0, TP_FORM_RETURN, "1:ret; 5:int3"},         {RETURN0, TP_FORM_DIRECT, "6:jmp return0"},
        {INLINED(CLI), TP_FORM_DIRECT, "6:jmp cli_"},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        *cell = rows[row].target;
        latch();
        check_render(world, trampoline, TP_VIEW_WANTED, rows[row].form, rows[row].pattern);
    }
    stop_library();
}

static void wrong_is_noticed(void **state) {
    (void)state;
    struct world *world = start_library();
    uint64_t *cell = add_cell(world, TP_KEY_KIND_STATIC_CALL, "call", WORK);
    name_functions();
    uintptr_t jcc = put_static_call(world, cell, (uintptr_t)world->text, TP_BRANCH_JCC | 4);
    uintptr_t jump = put_static_call(world, cell, (uintptr_t)world->text, TP_BRANCH_JMP);
    use_image(world);
    latch();
    assert_true(renders_as(world, jcc, TP_VIEW_WANTED, "6:jz work"));
    assert_false(renders_as(world, jcc, TP_VIEW_WANTED, "6:jnz work"));
    assert_true(renders_as(world, jump, TP_VIEW_WANTED, "5:jmp work"));
    assert_false(renders_as(world, jump, TP_VIEW_WANTED, "5:call work"));
    stop_library();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_calls),
        cmocka_unit_test(static_call_widths),
        cmocka_unit_test(trampolines),
        cmocka_unit_test(wrong_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
