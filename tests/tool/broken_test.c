/* SPDX-License-Identifier: MIT */
/*
 * Kernels with one fault each, made from a good one: `textpatch check` refuses each with the right message. The control:
 * the good one, checked between any two of them, and by the same code, is fine.
 *
 *   sites      version, kind, detail, lengths, where they lie, overlaps, what they refer to, their bytes
 *   forms      outside their sections, too long, cut
 *   keys       kind, zeroes, cell, name, value
 *   inlines    function, order, length, instructions, twins
 *   text       instructions across a site's ends, branches into sites, sites where none may be
 *   union      two forms with another stack at the same byte
 *   file       permissions, tables' symbols, no symbols
 */
#include "broken.h"

#include "../../tools/textpatch/disassemble.h"

struct fault {
    const char *name;
    void (*make)(void);
    const char *wanted; /* in what is said */
};

static struct tp_site *any(unsigned kind) { return find_record(kind, 0); }
static uint8_t *text_of(const struct tp_site *site) { return bytes_of(target_of(&site->text)); }
static struct tp_form *replacement_of(struct tp_site *site) { return (struct tp_form *)bytes_of(target_of(&site->key)); }
static uint64_t *cell_of(const struct tp_key *key) { return (uint64_t *)bytes_of(target_of(&key->cell)); }

static void make_version(void) { any(TP_KIND_OP)->kind = 2 << 4 | TP_KIND_OP; }
static void make_kind_0(void) { any(TP_KIND_OP)->kind = 1 << 4; }
static void make_kind_9(void) { any(TP_KIND_OP)->kind = 1 << 4 | 9; }
static void make_op_detail(void) { any(TP_KIND_OP)->detail = 2; }
static void make_jcc_detail(void) { any(TP_KIND_STATIC_CALL)->detail = 0x20; }
static void make_library_bits(void) { any(TP_KIND_ALTERNATIVE)->detail |= 0x1000; }
static void make_empty(void) { any(TP_KIND_ALTERNATIVE)->length = 0; }
static void make_op_short(void) { any(TP_KIND_OP)->length = 5; }
static void make_op_long(void) { any(TP_KIND_OP)->length = 16; }
static void make_key_length(void) { any(TP_KIND_STATIC_KEY)->length = 3; }
static void make_lock_length(void) { any(TP_KIND_LOCK_PREFIX)->length = 2; }
static void make_trampoline_length(void) { any(TP_KIND_TRAMPOLINE)->length = 3; }
static void make_outside(void) { any(TP_KIND_OP)->text += 0x10000000; }
static void make_in_data(void) { aim(&any(TP_KIND_LOCK_PREFIX)->text, address_of("__tp_keys")); }
static void make_behind_text(void) {
    const struct kernel_section *text = find_section(good, ".text");
    aim(&any(TP_KIND_OP)->text, text->address + text->size - 2);
}
static void make_no_feature(void) { any(TP_KIND_ALTERNATIVE)->detail = 12 * 32 + 30; }
static void make_original_outside(void) { aim(&any(TP_KIND_ALTERNATIVE)->form, address_of("__tp_sites")); }
static void make_replacement_outside(void) { aim(&any(TP_KIND_ALTERNATIVE)->key, address_of("__tp_originals")); }
static void make_replacement_at_end(void) {
    struct tp_site *site = any(TP_KIND_ALTERNATIVE);
    uint64_t last = address_of("__tp_replacements_end") - 1;
    aim(&site->key, last);
    *bytes_of(last) = 5;
}
static void make_replacement_long(void) {
    struct tp_site *site = any(TP_KIND_ALTERNATIVE);
    replacement_of(site)->length = (uint8_t)(site->length + 1);
}
static void make_replacement_cut(void) {
    struct tp_form *form = replacement_of(find_record(TP_KIND_ALTERNATIVE, 5));
    form->length = 4;
    memcpy(form->bytes, "\xe8\0\0\0", 4);
}
static void make_replacement_stuck(void) {
    struct tp_form *form = replacement_of(find_record(TP_KIND_ALTERNATIVE, 6));
    form->length = 6;
    memcpy(form->bytes, "\x66\xe8\0\0\0\0", 6);
}
static void make_unknown_key(void) { any(TP_KIND_OP)->key += 4; }
static void make_wrong_key(void) {
    aim(&any(TP_KIND_OP)->key, target_of(&find_key(TP_KEY_KIND_STATIC_KEY)->cell));
}
static void make_op_form(void) { any(TP_KIND_OP)->form = 4; }
static void make_no_trampoline(void) { any(TP_KIND_STATIC_CALL)->form = 0; }
static void make_wrong_trampoline(void) {
    struct tp_site *call = any(TP_KIND_STATIC_CALL), *other = any(TP_KIND_TRAMPOLINE);
    while ((other->kind & 15) != TP_KIND_TRAMPOLINE || target_of(&other->text) == target_of(&call->form))
        other++;
    aim(&call->form, target_of(&other->text));
}
static void make_far_jump(void) { aim(&any(TP_KIND_STATIC_KEY)->form, address_of("__tp_keys")); }
static void make_short_jump_far(void) {
    struct tp_site *site = find_record(TP_KIND_STATIC_KEY, 2);
    site->form += target_of(&site->form) - find_section(good, ".text")->address > 0x8000 ? -0x4000 : 0x4000;
}

static void make_key_kind(void) { first_key()->kind = 0; }
static void make_key_reserved(void) { first_key()->reserved = 1; }
static void make_key_noted(void) { first_key()->applied = 1; }
static void make_key_misaligned(void) { first_key()->cell += 4; }
static void make_key_in_text(void) { aim(&first_key()->cell, find_section(good, ".text")->address); }
static void make_key_outside(void) { first_key()->cell = 0x40000000 - (int32_t)(address_in(&first_key()->cell) & 7); }
static void make_key_twice(void) { aim(&first_key()[1].cell, target_of(&first_key()[0].cell)); }
static void make_name_outside(void) { aim(&first_key()->name, address_of("__tp_sites")); }
static void make_name_endless(void) {
    uint64_t last = address_of("__tp_index") - 1;
    *bytes_of(last) = 'x';
    aim(&first_key()->name, last);
}
static void make_op_value(void) { *cell_of(find_key(TP_KEY_KIND_OP)) = address_of("__tp_keys"); }
static void make_call_value(void) { *cell_of(find_key(TP_KEY_KIND_STATIC_CALL)) = 0; }
static void make_key_value(void) {
    const struct tp_site *site = any(TP_KIND_STATIC_KEY);
    uint64_t *cell = (uint64_t *)bytes_of(target_of(&site->key));
    *cell = *cell ? 0 : 1;
}
static void make_key_negative(void) { *cell_of(find_key(TP_KEY_KIND_STATIC_KEY)) = UINT64_MAX; }

static void make_inline_function(void) { aim(&first_inline()->function, address_of("__tp_keys")); }
static void make_inline_backwards(void) { aim(&first_inline()->end, target_of(&first_inline()->start) - 1); }
static void make_inline_long(void) { aim(&first_inline()->end, target_of(&first_inline()->start) + 16); }
static void make_inline_outside(void) {
    aim(&first_inline()->start, address_of("__tp_originals"));
    aim(&first_inline()->end, address_of("__tp_originals") + 1);
}
static void make_inline_cut(void) {
    uint64_t start = address_of("tp_patchlet_ret0");
    aim(&first_inline()->start, start);
    aim(&first_inline()->end, start + 1);
}
static void make_inline_twice(void) { aim(&first_inline()[1].function, target_of(&first_inline()[0].function)); }

static void make_op_bytes(void) { text_of(any(TP_KIND_OP))[1] = 0x25; }
static void make_lock_bytes(void) { *text_of(any(TP_KIND_LOCK_PREFIX)) = 0x3e; }
static void make_trampoline_bytes(void) { text_of(any(TP_KIND_TRAMPOLINE))[2] ^= 8; }
static void make_branch_bytes(void) { text_of(find_record(TP_KIND_STATIC_KEY, 5))[0] ^= 1; }
static void make_original_bytes(void) { ((struct tp_form *)bytes_of(target_of(&any(TP_KIND_ALTERNATIVE)->form)))->bytes[0] ^= 1; }
static void make_inside(void) { any(TP_KIND_OP)->text += 1; }
static void make_cut_end(void) {
    struct tp_site *site = find_record(TP_KIND_OP, 6);
    while ((site->kind & 15) != TP_KIND_OP || site->length != 6 || !is_in_text(target_of(&site->text)) ||
           measure_instruction(text_of(site) + 6, 15) < 2)
        site++;
    site->length = 7;
}
static void make_overlap(void) {
    struct tp_site *first = find_record(TP_KIND_OP, 6), *second = any(TP_KIND_TRAMPOLINE);
    aim(&second->text, target_of(&first->text) + 2);
}

/* A direct call inside `function`; its displacement is the next four bytes. */
static uint8_t *find_call(const char *name) {
    const struct kernel_symbol *function = find_symbol(good, name);
    assert_non_null(function);
    uint8_t *start = bytes_of(function->address);
    for (uint64_t i = 0; i + 5 <= function->size; i++) {
        int32_t distance;
        memcpy(&distance, start + i + 1, 4);
        uint64_t target = function->address + i + 5 + (uint64_t)(int64_t)distance;
        const struct kernel_symbol *callee = function_at(good, target);
        if (start[i] == 0xe8 && callee && callee->address == target)
            return start + i;
    }
    fail_msg("%s calls nothing", name);
    return NULL;
}

static void redirect(uint8_t *call, uint64_t target) {
    int32_t distance = (int32_t)(int64_t)(target - address_in(call) - 5);
    memcpy(call + 1, &distance, 4);
}

static void make_branch_inside(void) { redirect(find_call("tp_init"), target_of(&any(TP_KIND_OP)->text) + 2); }
static void make_reached(void) {
    const struct kernel_symbol *holder = function_at(good, target_of(&any(TP_KIND_OP)->text));
    redirect(find_call("tp_live_resume"), holder->address);
}

/* push %rdi; nop in place of pushf; pop: other sites' inline forms have the stack as it was there. */
static void make_disagreement(void) {
    uint8_t *patchlet = bytes_of(address_of("tp_patchlet_save_fl"));
    patchlet[0] = 0x57;
    patchlet[1] = 0x90;
}

static Elf64_Ehdr *header(void) { return (Elf64_Ehdr *)bytes; }
static Elf64_Phdr *segment_of(uint64_t address) {
    Elf64_Phdr *segments = (Elf64_Phdr *)(bytes + header()->e_phoff);
    for (unsigned i = 0; i < header()->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && address - segments[i].p_vaddr < segments[i].p_memsz)
            return &segments[i];
    fail_msg("no segment holds 0x%lx", (long)address);
    return NULL;
}
static Elf64_Shdr *section_header(const char *name) {
    return (Elf64_Shdr *)(bytes + header()->e_shoff) + find_section(good, name)->index;
}
static Elf64_Sym *symbol_entry(const char *name) {
    const Elf64_Shdr *table = section_header(".symtab"), *strings = section_header(".strtab");
    Elf64_Sym *symbols = (Elf64_Sym *)(bytes + table->sh_offset);
    for (size_t i = 0; i < table->sh_size / sizeof *symbols; i++)
        if (strcmp((const char *)bytes + strings->sh_offset + symbols[i].st_name, name) == 0)
            return &symbols[i];
    fail_msg("no symbol %s", name);
    return NULL;
}

static void make_text_writable(void) { segment_of(find_section(good, ".text")->address)->p_flags |= PF_W; }
static void make_tables_executable(void) { segment_of(address_of("__tp_sites"))->p_flags |= PF_X; }
static void make_tables_readonly(void) { segment_of(address_of("__tp_sites"))->p_flags = PF_R; }
static void make_section_both(void) { section_header(".text")->sh_flags |= SHF_WRITE; }
static void make_table_uneven(void) { symbol_entry("__tp_sites_end")->st_value += 4; }
static void make_table_empty(void) { symbol_entry("__tp_sites_end")->st_value = address_of("__tp_sites"); }
static void make_no_table(void) { symbol_entry("__tp_inlines")->st_name = 0; }
static void make_no_index(void) { symbol_entry("__tp_orc")->st_value -= 64; }
static void make_stripped(void) { section_header(".symtab")->sh_type = SHT_PROGBITS; }

static const struct fault faults[] = {
    {"version", make_version, "its record has version 2, this tool knows 1"},
    {"kind 0", make_kind_0, "there is no kind 0"},
    {"kind 9", make_kind_9, "there is no kind 9"},
    {"an op's detail", make_op_detail, "it can't have the detail 0x2"},
    {"a static call's detail", make_jcc_detail, "it can't have the detail 0x20"},
    {"bits of the library", make_library_bits, "it can't have the detail 0x"},
    {"no bytes", make_empty, "it has no bytes"},
    {"an op too short", make_op_short, "it has 5 bytes, and may have 6 to 15"},
    {"an op too long", make_op_long, "it has 16 bytes, and may have 6 to 15"},
    {"a static key of 3 bytes", make_key_length, "it has 3 bytes, and may have 2 or 5"},
    {"a lock prefix of 2 bytes", make_lock_length, "it has 2 bytes, and may have 1 to 1"},
    {"a trampoline too short", make_trampoline_length, "it has 3 bytes, and may have 6 to 15"},
    {"outside", make_outside, "are neither in the text nor in a form"},
    {"in data", make_in_data, "are neither in the text nor in a form"},
    {"over the text's end", make_behind_text, "are neither in the text nor in a form"},
    {"no such feature", make_no_feature, "there is no feature 0x19e"},
    {"original elsewhere", make_original_outside, "its original at"},
    {"replacement elsewhere", make_replacement_outside, "its replacement at"},
    {"replacement over the end", make_replacement_at_end, "is not wholly among the replacements"},
    {"replacement too long", make_replacement_long, "its replacement has"},
    {"replacement cut", make_replacement_cut, "its replacement ends inside an instruction"},
    {"replacement that can't be moved", make_replacement_stuck, "its replacement holds an instruction that is none, or that"},
    {"no key", make_unknown_key, "no key has its cell"},
    {"a key of another kind", make_wrong_key, "is of a key of kind 3, and it wants kind 1"},
    {"an op with a form", make_op_form, "its form must be 0"},
    {"no trampoline", make_no_trampoline, "its trampoline, 0x"},
    {"another's trampoline", make_wrong_trampoline, "its trampoline is "},
    {"jump out of the text", make_far_jump, "is in no text"},
    {"short jump out of reach", make_short_jump_far, "target out of reach"},
    {"key: kind", make_key_kind, "there is no kind 0 of keys"},
    {"key: reserved", make_key_reserved, "bytes that are reserved are not 0"},
    {"key: the library's", make_key_noted, "bytes that are reserved are not 0"},
    {"key: alignment", make_key_misaligned, "is not aligned to 8"},
    {"key: in text", make_key_in_text, "is not in writable data"},
    {"key: outside", make_key_outside, "is not in writable data"},
    {"key: twice", make_key_twice, "two keys have one cell"},
    {"key: name elsewhere", make_name_outside, "is no NUL-terminated string among the names"},
    {"key: name without end", make_name_endless, "is no NUL-terminated string among the names"},
    {"key: an op's value", make_op_value, "where no text is"},
    {"key: a static call's value", make_call_value, "a static call without a target holds tp_nop_function"},
    {"key: a static key's first value", make_key_value, "at first, and the site is assembled as a"},
    {"key: a count below 0", make_key_negative, "holds a count of -1"},
    {"inline: function", make_inline_function, "is in no text"},
    {"inline: backwards", make_inline_backwards, "it ends before it begins"},
    {"inline: too long", make_inline_long, "it is longer than 15 bytes"},
    {"inline: elsewhere", make_inline_outside, "it does not lie in .textpatch.replacements"},
    {"inline: cut", make_inline_cut, "its bytes are no whole instructions"},
    {"inline: twice", make_inline_twice, "two inline forms of one function"},
    {"bytes of an op", make_op_bytes, "expected ff 15"},
    {"bytes of a lock prefix", make_lock_bytes, "found 3e, expected f0"},
    {"bytes of a trampoline", make_trampoline_bytes, "expected ff 25"},
    {"bytes of a static key", make_branch_bytes, "expected "},
    {"bytes of an original", make_original_bytes, "expected "},
    {"inside an instruction", make_inside, "it begins inside an instruction"},
    {"to the inside of an instruction", make_cut_end, "it ends inside an instruction"},
    {"overlap", make_overlap, "sites overlap"},
    {"a branch into a site", make_branch_inside, "leads into it, 2 bytes behind its start"},
    {"a site in what patches", make_reached, "no site may be where it is reached"},
    {"forms that disagree", make_disagreement, "two forms disagree at byte 2"},
    {"text writable", make_text_writable, "is both writable and executable"},
    {"tables executable", make_tables_executable, "are in a segment that is executable"},
    {"tables read-only", make_tables_readonly, "are not in a segment that is writable"},
    {"section writable", make_section_both, "section .text at"},
    {"a table's end", make_table_uneven, "no table of aligned entries of 16 bytes"},
    {"no record", make_table_empty, "there is no site at all"},
    {"no symbol of a table", make_no_table, "has no symbol __tp_inlines"},
    {"no room for the index", make_no_index, "__tp_index: room for"},
    {"stripped", make_stripped, "has no symbols: it was stripped"},
};

static void test_faults(void **state) {
    unsigned wrong = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) {
        restore();
        if (complaint_of()[0])
            fail_msg("the good kernel is refused: %s", said);
        restore();
        faults[i].make();
        if (!strstr(complaint_of(), faults[i].wanted)) {
            print_error("%s: wanted \"%s\", got \"%.600s\"\n", faults[i].name, faults[i].wanted, said);
            wrong++;
        }
    }
    print_message("%zu broken kernels\n", sizeof faults / sizeof *faults);
    assert_int_equal(wrong, 0);
}

/* An error is told where it is. */
static void test_places(void **state) {
    (void)state;
    restore();
    struct tp_site *site = find_record(TP_KIND_OP, 6);
    const char *place = format_text("op at %s ", describe_address(good, target_of(&site->text)));
    assert_non_null(strstr(place, ":"));
    site->length = 5;
    if (!strstr(complaint_of(), place))
        fail_msg("wanted \"%s\", got \"%s\"", place, said);
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults), cmocka_unit_test(test_places)};
    if (count != 2)
        return 2;
    read_file(words[1]);
    good = read_kernel("good", pristine, file_size);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
