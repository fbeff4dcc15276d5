/* SPDX-License-Identifier: MIT */
/*
 * The kernel of frames.S with one fault each: `textpatch orc` refuses each with the right message, and with the place. The
 * control: the good one, between any two of them, has one and the same table, which the library takes.
 *
 *   frames     .eh_frame: what an entry can't hold, what can't be read, what contradicts itself
 *   hints      cut, unsound, of no code
 *   flow       two stacks at one place, too deep a stack
 *   file       stripped, records of another version
 *   no frames  is no fault: one warning for all of the kernel, and a table of what hints lead to
 *   unions     forms that disagree where a walk has to look up a call's last byte, and behind a prefix by
 *              TP_SCHEME_PREFIX; `check` refuses them too. The controls: the boundary moved, the other schemes, a site that
 *              the scheme leaves alone
 *   aligned    GCC's description of a function that aligns its stack
 */
#include "frames.h"

#include <textpatch/live.h>

struct fault {
    const char *name;
    void (*make)(void);
    const char *place, *wanted; /* in what is said; place NULL: it is in `wanted` */
};

/* ---- .eh_frame ---- */

/* In place of what a function's description says of its frame. */
static void set_program(const char *function, const char *program, size_t size) {
    struct description of = find_description(function);
    assert_true(size <= of.size);
    memset(of.program, 0 /* DW_CFA_nop */, of.size);
    memcpy(of.program, program, size);
}

#define SET_PROGRAM(function, program) set_program(function, program, sizeof(program) - 1)

static const char *place_of(const char *function) {
    struct description of = find_description(function);
    size_t offset = (size_t)(of.start - bytes) - find_section(good, ".eh_frame")->offset;
    return format_text(".eh_frame+0x%zx", offset);
}

/* What GNU ld says of a PLT: rsp + 8 + ((rip & 15) >= 11) << 3 */
static void make_expression(void) { SET_PROGRAM("aligns", "\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"); }
static void make_two_loads(void) { SET_PROGRAM("aligns", "\x0f\x04\x76\x78\x06\x06"); }
static void make_load_by_r10(void) { SET_PROGRAM("aligns", "\x0f\x03\x7a\x78\x06"); }
static void make_rbx(void) { SET_PROGRAM("aligns", "\x0c\x03\x08"); }
static void make_far_frame(void) { SET_PROGRAM("aligns", "\x0c\x07\x80\x80\x02"); }
static void make_return_address(void) { SET_PROGRAM("aligns", "\x90\x02"); }
static void make_rbp_by_rbx(void) { SET_PROGRAM("aligns", "\x10\x06\x02\x73\x00"); }
static void make_rbp_far(void) { SET_PROGRAM("aligns", "\x86\x81\x80\x01"); }
static void make_rbp_register(void) { SET_PROGRAM("aligns", "\x09\x06\x03"); }
static void make_unknown_rule(void) { SET_PROGRAM("aligns", "\x3f"); }
static void make_restored_state(void) { SET_PROGRAM("aligns", "\x0b"); }
static void make_long_block(void) { SET_PROGRAM("aligns", "\x0f\x7f\x76"); }
static void make_twice(void) {
    int32_t *start = (int32_t *)(find_description("pushes").start + 8);
    aim(start, address_of("aligns") + 1);
}
static void make_endless(void) {
    uint32_t size = 0x1000;
    memcpy(find_description("pushes").start + 12, &size, sizeof size);
}
static void make_cut_description(void) {
    uint32_t size = 0x7fffff00;
    memcpy(find_description("aligns").start, &size, sizeof size);
}
static void make_no_description(void) {
    uint32_t distance = 0x40;
    memcpy(find_description("aligns").start + 4, &distance, sizeof distance);
}
/* The byte behind "zR" and three numbers of the first entry. */
static uint8_t *encoding(void) { return bytes + find_section(good, ".eh_frame")->offset + 16; }
static void make_uleb_addresses(void) { *encoding() = 0x01; }
static void make_indirect_addresses(void) { *encoding() = 0x9b; }

/* ---- Hints ---- */

enum { HINT = 24, HINT_REGISTERS = 20, HINT_TYPE = 21, HINT_KIND = 22 };

static uint8_t *hint(unsigned number) {
    return bytes + find_section(good, ".debug_textpatch_hints")->offset + HINT * number;
}
static Elf64_Shdr *header_of(const char *name) {
    return (Elf64_Shdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_shoff) + find_section(good, name)->index;
}
static void make_hints_cut(void) { header_of(".debug_textpatch_hints")->sh_size -= 1; }
static void make_hint_elsewhere(void) { hint(1)[1] = 0xff; }
static void make_hint_type(void) { hint(1)[HINT_TYPE] = TP_ORC_TYPES; }
static void make_hint_base(void) { hint(1)[HINT_REGISTERS] = TP_ORC_BASES; }
static void make_hint_without_base(void) { hint(1)[HINT_REGISTERS] = TP_ORC_BP_SAVED; }
static void make_hint_flag(void) { hint(1)[HINT_TYPE] |= 0x10; }
static void make_hint_trapped_call(void) { hint(2)[HINT_TYPE] |= TP_ORC_TRAP; }
static void make_hint_kind(void) { hint(1)[HINT_KIND] = 9; }

/* ---- Code, records, the file ---- */

/* `pop %rbp; ret` of by_hand: behind it the stack is another one, by way of the conditional jump and by falling through. */
static void make_two_stacks(void) {
    uint8_t *code = bytes_of(address_of("by_hand"));
    while (code[0] != 0x58)
        code++;
    code[-6 - 1] -= 1; /* the jump's distance, in front of the site: to the site's last byte */
    code[-1] = 0x50;
}
static void make_deep_stack(void) { /* push $0; push $14; sub $120, %rsp: the last of it is sub $0x7f000000 */
    static const uint8_t deep[] = {0x48, 0x81, 0xec, 0, 0, 0, 0x7f};
    memcpy(bytes_of(address_of("entry")), deep, sizeof deep);
}
static void make_stripped(void) { header_of(".symtab")->sh_type = SHT_PROGBITS; }
static void make_version(void) { find_record(TP_KIND_OP, 6)->kind = 2 << 4 | TP_KIND_OP; }

static void make_growing_form(void) { memcpy(bytes_of(address_of("save_flags_inline")), "\x9c\x90\x90", 3); }

static const struct fault faults[] = {
    {"expression", make_expression, "aligns", "for aligns: the frame is an expression that an entry can't hold"},
    {"two loads", make_two_loads, "aligns", "for aligns: the frame is an expression that an entry can't hold"},
    {"a load by r10", make_load_by_r10, "aligns", "the frame is counted from a register that an entry can't name"},
    {"frame by rbx", make_rbx, "aligns", "the frame is counted from a register that an entry can't name"},
    {"far frame", make_far_frame, "aligns", "the frame is farther away than an entry can say"},
    {"return address", make_return_address, "aligns", "the return address doesn't lie 8 bytes below the frame"},
    {"rbp by rbx", make_rbp_by_rbx, "aligns", "rbp is saved where an entry can't say"},
    {"rbp far away", make_rbp_far, "aligns", "rbp is saved farther away than an entry can say"},
    {"rbp in a register", make_rbp_register, "aligns", "rbp is saved where an entry can't say"},
    {"no such rule", make_unknown_rule, "aligns", "for aligns: "},
    {"no remembered state", make_restored_state, "aligns", "for aligns: "},
    {"an expression over the end", make_long_block, "aligns", "for aligns: "},
    {"two descriptions", make_twice, "pushes", "both speak of aligns+0x1"},
    {"over the text's end", make_endless, "pushes", "go past the end of the text"},
    {"description cut", make_cut_description, NULL, ".eh_frame+0x"},
    {"description of none", make_no_description, "aligns", "the addresses that this speaks of can't be read"},
    {"addresses as ULEB128", make_uleb_addresses, "aligns", "the addresses that this speaks of can't be read"},
    {"addresses by pointers", make_indirect_addresses, "aligns", "the addresses that this speaks of can't be read"},
    {"hints cut", make_hints_cut, NULL, ".debug_textpatch_hints: 0x47 bytes are no array of hints"},
    {"hint elsewhere", make_hint_elsewhere, NULL, ".debug_textpatch_hints+0x18: this is no hint for code of this kernel"},
    {"hint's type", make_hint_type, NULL, ".debug_textpatch_hints+0x18: this is no hint"},
    {"hint's base", make_hint_base, NULL, ".debug_textpatch_hints+0x18: this is no hint"},
    {"hint without a base", make_hint_without_base, NULL, ".debug_textpatch_hints+0x18: this is no hint"},
    {"hint's flag", make_hint_flag, NULL, ".debug_textpatch_hints+0x18: this is no hint"},
    {"hint of a call in #BP", make_hint_trapped_call, NULL, ".debug_textpatch_hints+0x30: this is no hint"},
    {"hint's kind", make_hint_kind, NULL, ".debug_textpatch_hints+0x18: a hint of a kind that this tool doesn't know"},
    {"two stacks", make_two_stacks, NULL, "a hint must say which holds"},
    {"deep stack", make_deep_stack, NULL, "an entry can't hold such distances"},
    {"a form that pushes", make_growing_form, NULL, "this form leaves another stack than it found:\n  inline save_flags"},
    {"stripped", make_stripped, NULL, "has no symbols: it was stripped"},
    {"version", make_version, NULL, "its record has version 2, this tool knows 1"},
};

static char *good_table;

static void expect_good(void) {
    restore();
    if (orc_complaint_of()[0])
        fail_msg("the good kernel is refused: %s", said);
    assert_int_equal(warnings, 0);
    assert_true(table_is_sound());
    if (!good_table)
        good_table = strdup(table);
    assert_string_equal(table, good_table);
}

static void test_faults(void **state) {
    unsigned wrong = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) {
        expect_good();
        faults[i].make();
        const char *place = faults[i].place ? place_of(faults[i].place) : "";
        orc_complaint_of();
        if (!strstr(said, faults[i].wanted) || !strstr(said, place)) {
            print_error("%s: wanted \"%s\" at \"%s\", got \"%.600s\"\n", faults[i].name, faults[i].wanted, place, said);
            wrong++;
        }
    }
    print_message("%zu broken kernels\n", sizeof faults / sizeof *faults);
    assert_int_equal(wrong, 0);
}

/* ---- Kernels without frames ---- */

static void expect_fallback(const char *wanted, const char *unknown) {
    assert_string_equal(orc_complaint_of(), "");
    assert_int_equal(warnings, 1);
    if (!strstr(warned, wanted) || !strstr(warned, "-fasynchronous-unwind-tables") || !strstr(warned, "frame pointers"))
        fail_msg("wanted \"%s\", got \"%s\"", wanted, warned);
    assert_true(table_is_sound());
    assert_int_equal(entry_at(address_of(unknown)).type, TP_ORC_UNDEFINED);
    assert_int_equal(entry_at(address_of("entry")).type, TP_ORC_WORDS);
}

static void test_no_frames(void **state) {
    (void)state;
    expect_good();
    assert_int_equal(entry_at(address_of("pushes")).type, TP_ORC_CALL);
    assert_int_equal(entry_at(address_of("keeps_frame")).type, TP_ORC_CALL);
    restore();
    header_of(".eh_frame")->sh_name++;
    expect_fallback("no .eh_frame, ", "pushes");
    restore();
    header_of(".eh_frame")->sh_size = 0;
    expect_fallback("no .eh_frame, ", "pushes");
    /* The first description is the last one. */
    restore();
    uint32_t end = 0;
    memcpy(find_description("keeps_frame").start, &end, sizeof end);
    expect_fallback("its .eh_frame speaks of the lesser part of its functions", "keeps_frame");
}

/* ---- Unions ---- */

static void set_form(const char *patchlet, const char *form, size_t size) {
    assert_int_equal(address_of(format_text("%s_end", patchlet)) - address_of(patchlet), size);
    memcpy(bytes_of(address_of(patchlet)), form, size);
}

/* NULL: accepted */
static void expect_union(const char *site, const char *one, const char *other) {
    for (unsigned i = 0; i < 2; i++) {
        const char *heard = i ? complaint_of() : orc_complaint_of();
        if (!site && heard[0])
            fail_msg("it is refused: %s", heard);
        if (site && !(strstr(heard, site) && strstr(heard, one) && strstr(heard, other)))
            fail_msg("wanted %s, %s and %s, got \"%s\"", site, one, other, heard);
    }
}

static void test_last_byte_of_call(void **state) {
    (void)state;
    expect_good();
    /* pushf; nopl 8(%rax); pop %rax: who was called from this site finds the pop's depth at the byte before the return */
    set_form("widest_inline", "\x9c\x0f\x1f\x40\x08\x58", 6);
    expect_union("uses_ops+0x8", "at byte 5", "9c 0f 1f 40 08 58");
    expect_union("uses_ops+0x8", "call *slot", "ff 15 ");
    /* pushf; nopl (%rax); pop %rax; nop */
    set_form("widest_inline", "\x9c\x0f\x1f\x00\x58\x90", 6);
    expect_union(NULL, NULL, NULL);
    orc_complaint_of();
    assert_int_equal(entry_at(address_of("uses_ops") + 8 + 4).sp_offset, 24);
    assert_int_equal(entry_at(address_of("uses_ops") + 8 + 5).sp_offset, 16);
}

static bool find_stack(uintptr_t sp, struct tp_stack *stack, void *argument) {
    *stack = *(const struct tp_stack *)argument;
    return sp >= stack->start && sp <= stack->end;
}

/* Whether a walk by the table finds who called uses_ops, if a CPU is in front of the first site's call, at this byte. */
static bool finds_caller(unsigned byte) {
    struct read_table read = read_table();
    const uint64_t text = find_section(good, ".text")->address;
    const uintptr_t caller = read.table.text_start + 5, ip = read.table.text_start + address_of("uses_ops") + 8 + byte - text;
    uintptr_t words[] = {0x1111, caller, 0x2222, 0x3333}; /* rbx, the return address, the caller's */
    struct tp_stack stack = {(uintptr_t)words, (uintptr_t)(words + 4)};
    struct tp_unwind frame;
    assert_int_equal(tp_unwind_add(&read.table), TP_OK);
    tp_unwind_start_at(&frame, ip, (uintptr_t)words, 0, find_stack, &stack);
    bool found = tp_unwind_next(&frame) && frame.ip == caller && frame.sp == (uintptr_t)(words + 2);
    assert_int_equal(tp_unwind_remove(&read.table), TP_OK);
    free_table(&read);
    return found;
}

static void test_prefix_scheme(void **state) {
    (void)state;
    /* 9c 58 90: the table's byte 1 is the pop's, by every scheme but one. */
    for (uint8_t scheme = TP_SCHEME_EMULATE; scheme <= TP_SCHEME_STORE; scheme++) {
        restore();
        check_options.call_scheme = orc_options.call_scheme = scheme;
        if (scheme != TP_SCHEME_PREFIX) {
            expect_union(NULL, NULL, NULL);
            orc_complaint_of();
            assert_int_equal(entry_at(address_of("uses_ops") + 8 + 1).sp_offset, 24);
            /* What is refused below: who stands behind a direct call's prefix has no such word on the stack. */
            assert_true(finds_caller(0));
            assert_false(finds_caller(1));
            continue;
        }
        expect_union("uses_ops+0x8", "at byte 1", "9c 58 90");
        expect_union("uses_ops+0x8", "2e e8 ", "TP_SCHEME_PREFIX");
        /* The other site crosses a quadword behind its first byte: rendezvous. */
        assert_null(strstr(orc_complaint_of(), "uses_ops+0x14"));
        assert_null(strstr(complaint_of(), "uses_ops+0x14"));
    }
    /* cs pushf; pop: byte 1 is nobody else's. */
    check_options.call_scheme = orc_options.call_scheme = TP_SCHEME_PREFIX;
    set_form("save_flags_inline", "\x2e\x9c\x58", 3);
    expect_union(NULL, NULL, NULL);
    orc_complaint_of();
    assert_int_equal(entry_at(address_of("uses_ops") + 8 + 1).sp_offset, 16);
    assert_int_equal(entry_at(address_of("uses_ops") + 8 + 2).sp_offset, 24);
    assert_true(finds_caller(0));
    assert_true(finds_caller(1));
    check_options.call_scheme = orc_options.call_scheme = TP_SCHEME_EMULATE;
}

/* ---- GCC's aligned stacks ---- */

static void test_aligned(void **state) {
    (void)state;
    expect_good();
    uint64_t function = address_of("aligns");
    struct tp_orc_entry begun = entry_at(function + 5), inside = entry_at(function + 19);
    assert_int_equal(begun.registers, TP_ORC_BASE_R10 | TP_ORC_BP_SAME);
    assert_int_equal(inside.registers, TP_ORC_BASE_AT_BP | TP_ORC_BP_AT_BP);
    assert_int_equal(inside.sp_offset, -8);
    assert_int_equal(inside.bp_offset, 0);
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults), cmocka_unit_test(test_no_frames),
                                       cmocka_unit_test(test_last_byte_of_call), cmocka_unit_test(test_prefix_scheme),
                                       cmocka_unit_test(test_aligned)};
    if (count != 2)
        return 2;
    read_file(words[1]);
    good = read_kernel("good", pristine, file_size);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
