/* SPDX-License-Identifier: MIT */
/*
 * More kernels with one fault each (broken_test.c): what refers to code, and what is said of all of it. `textpatch check`
 * refuses each with the right message; the control is the good kernel, between any two of them.
 *
 *   unwind     the table: another text's, another link's, changed, cut, with something behind it
 *   targets    of static keys and of forms: inside an instruction, a site, another function
 *   functions  cells and inline records that name none, or a trampoline
 *   roots      sites reached from where text is changed, by calls and by the port's hooks; a root that is lost
 *   values     what the library has to say of tables names the kernel's addresses, not the tool's
 *   segments   sites that can't be executed, text that can be written by another segment
 *
 * broken_more_test KERNEL: all of it; with a second word, of any kernel of the library's: roots, and the control
 */
#include "broken.h"

#include "../../tools/textpatch/disassemble.h"

#include <textpatch/unwind.h>

struct fault {
    const char *name;
    void (*make)(void);
    const char *wanted; /* in what is said */
    const char *port;   /* --port */
};

static struct tp_site *any(unsigned kind) { return find_record(kind, 0); }
static uint64_t *cell_of(const struct tp_key *key) { return (uint64_t *)bytes_of(target_of(&key->cell)); }
static uint64_t value_of(const struct tp_key *key) { return *cell_of(key); }

/* ---- Unwind table ---- */

struct found_table {
    struct tp_orc_head *head;
    uint32_t *ips;
    struct tp_orc_entry *entries;
};

static struct found_table find_orc(void) {
    struct found_table found = {.head = (struct tp_orc_head *)bytes_of(address_of("__tp_orc"))};
    found.ips = (uint32_t *)(found.head + 1);
    uint32_t blocks = (found.head->text_size + TP_ORC_BLOCK - 1) / TP_ORC_BLOCK;
    found.entries = (struct tp_orc_entry *)(found.ips + found.head->entry_count + blocks);
    return found;
}

static char wanted_place[256];

/* Of a function that another one calls, and that has something pushed. */
static uint32_t find_pushed(const struct found_table *table) {
    for (uint32_t i = table->head->entry_count / 2; i < table->head->entry_count; i++)
        if (table->entries[i].type == TP_ORC_CALL && table->entries[i].registers == TP_ORC_BASE_SP &&
            table->entries[i].sp_offset == 16)
            return i;
    fail_msg("no entry for code that has pushed something");
    return 0;
}

static void make_orc_zero(void) {
    memset(bytes_of(address_of("__tp_orc")), 0, address_of("__tp_orc_end") - address_of("__tp_orc"));
}
static void make_orc_moved(void) { find_orc().head->text += 64; }
static void make_orc_short(void) { find_orc().head->text_size--; }
static void make_orc_garbage(void) {
    struct found_table table = find_orc();
    memset(table.ips, 0x55, table.head->entry_count * sizeof *table.ips);
}
static void make_orc_type(void) {
    struct found_table table = find_orc();
    table.entries[table.head->entry_count / 2].type = TP_ORC_TYPES;
}
static void make_orc_stale(void) {
    struct found_table table = find_orc();
    uint32_t entry = find_pushed(&table);
    table.entries[entry].sp_offset += 8;
    snprintf(wanted_place, sizeof wanted_place, "unwind table: at %s, 0x%x bytes into the text, it says: ",
             describe_address(good, find_section(good, ".text")->address + table.ips[entry]), table.ips[entry]);
}
/* A boundary that is one byte off: what an older link of the same code would have. */
static void make_orc_boundary(void) {
    struct found_table table = find_orc();
    uint32_t entry = find_pushed(&table);
    if (table.ips[entry] + 1 == table.ips[entry + 1] || table.ips[entry] % TP_ORC_BLOCK == 0)
        entry++;
    table.ips[entry]++;
}
static void make_orc_two(void) {
    const struct kernel_symbol *end = find_symbol(good, "__tp_orc_end");
    const struct kernel_section *symbols = find_section(good, ".symtab");
    for (uint64_t at = 0; at < symbols->size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym *symbol = (Elf64_Sym *)(bytes + symbols->offset + at);
        if (symbol->st_value == end->address && symbol->st_name &&
            strcmp((const char *)bytes + find_section(good, ".strtab")->offset + symbol->st_name, "__tp_orc_end") == 0)
            symbol->st_value += 4;
    }
}

/* ---- Targets ---- */

static struct tp_site *find_jump_to_long(void) {
    for (struct tp_site *site = first_site(); site < first_site() + count_sites(); site++) {
        if ((site->kind & 15) != TP_KIND_STATIC_KEY || !is_in_text(target_of(&site->text)) || !is_alone(site))
            continue;
        if (measure_instruction(bytes_of(target_of(&site->form)), 15) > 1)
            return site;
    }
    fail_msg("no static key with a target of more than one byte");
    return NULL;
}

static void make_key_into_instruction(void) { find_jump_to_long()->form++; }
static void make_key_into_itself(void) {
    struct tp_site *site = any(TP_KIND_STATIC_KEY);
    aim(&site->form, target_of(&site->text));
}
static void make_key_to_function(void) { aim(&find_record(TP_KIND_STATIC_KEY, 5)->form, address_of("tp_init")); }

/* A site of the same function, so that nothing else is wrong with it. */
static void make_key_into_site(void) {
    for (struct tp_site *site = first_site(); site < first_site() + count_sites(); site++) {
        if ((site->kind & 15) != TP_KIND_STATIC_KEY || site->length != 5 || !is_in_text(target_of(&site->text)))
            continue;
        const struct kernel_symbol *function = function_at(good, target_of(&site->text));
        for (struct tp_site *other = first_site(); other < first_site() + count_sites(); other++) {
            uint64_t place = target_of(&other->text);
            if (other == site || other->length < 5 || function_at(good, place) != function)
                continue;
            aim(&site->form, place + 2);
            return;
        }
    }
    fail_msg("no static key in a function with another site");
}

/* A replacement that calls something. */
static void make_call_to(uint64_t target) {
    struct tp_site *site = find_record(TP_KIND_ALTERNATIVE, 5);
    struct tp_form *form = (struct tp_form *)bytes_of(target_of(&site->key));
    form->length = 5;
    form->bytes[0] = 0xe8;
    int32_t distance = (int32_t)(target - (address_in(form->bytes) + 5));
    memcpy(form->bytes + 1, &distance, sizeof distance);
}
static void make_form_into_instruction(void) {
    uint64_t target = address_of("tp_init");
    while (measure_instruction(bytes_of(target), 15) < 2)
        target++;
    make_call_to(target + 1);
}
/* To its second instruction. */
static void make_form_into_site(void) {
    for (struct tp_site *site = first_site(); site < first_site() + count_sites(); site++) {
        uint64_t start = target_of(&site->text);
        unsigned first = is_in_text(start) ? measure_instruction(bytes_of(start), 15) : 0;
        if ((site->kind & 15) != TP_KIND_ALTERNATIVE || !first || first >= site->length)
            continue;
        make_call_to(start + first);
        return;
    }
    fail_msg("no site with two instructions");
}
static void make_form_to_data(void) { make_call_to(address_of("__tp_keys")); }

/* ---- Functions ---- */

static struct tp_key *find_used(unsigned kind) {
    struct tp_key *end = (struct tp_key *)bytes_of(address_of("__tp_keys_end") - 1);
    for (struct tp_key *key = first_key(); key < end; key++)
        if (key->kind == kind && value_of(key))
            return key;
    fail_msg("no key of kind %u with a function", kind);
    return NULL;
}

static void make_op_inside(void) { ++*cell_of(find_used(TP_KEY_KIND_OP)); }
static void make_call_inside(void) { ++*cell_of(find_used(TP_KEY_KIND_STATIC_CALL)); }
static void make_call_itself(void) {
    const struct tp_site *trampoline = any(TP_KIND_TRAMPOLINE);
    *(uint64_t *)bytes_of(target_of(&trampoline->key)) = target_of(&trampoline->text);
}
static void make_inline_inside(void) { first_inline()->function++; }

/* ---- Roots ---- */

/* A function with a site that isn't one of the library's, which are not where live code is. */
static uint64_t find_function_with_site(void) {
    for (struct tp_site *site = first_site(); site < first_site() + count_sites(); site++) {
        unsigned kind = site->kind & 15;
        const struct kernel_symbol *function = function_at(good, target_of(&site->text));
        if (function && (kind == TP_KIND_STATIC_CALL || kind == TP_KIND_ALTERNATIVE || kind == TP_KIND_OP))
            return function->address;
    }
    fail_msg("no function with a site");
    return 0;
}

static bool leaves(const struct kernel_symbol *function, const uint8_t *code, unsigned length, uint64_t at) {
    struct flow flow = follow_instruction(code, length, at);
    return length == 5 && (code[0] == 0xe8 || code[0] == 0xe9) && flow.direct &&
           (flow.target < function->address || flow.target >= function->end);
}

/* The first call in a function, or jump to another one, leads elsewhere. */
static void redirect_call(const char *name, uint64_t target) {
    const struct kernel_symbol *function = function_at(good, address_of(name));
    for (uint64_t at = function->address; at < function->end;) {
        uint8_t *code = bytes_of(at);
        unsigned length = measure_instruction(code, function->end - at);
        if (!length)
            break;
        if (leaves(function, code, length, at)) {
            int32_t distance = (int32_t)(target - (at + 5));
            memcpy(code + 1, &distance, sizeof distance);
            return;
        }
        at += length;
    }
    fail_msg("%s calls nothing", name);
}

static void make_live_edit_call(void) { redirect_call("tp_live_edit", find_function_with_site()); }
static void make_live_run_call(void) { redirect_call("tp_live_run", find_function_with_site()); }
static void make_live_resume_call(void) { redirect_call("tp_live_resume", find_function_with_site()); }
static void make_stopped_call(void) { redirect_call("tp_live_write_stopped", find_function_with_site()); }
static void make_serialize_call(void) { redirect_call("tp_breakpoint_dispatch", find_function_with_site()); }

static void rename_symbol(const char *name) {
    const struct kernel_section *names = find_section(good, ".strtab");
    size_t length = strlen(name);
    for (uint64_t at = 0; at + length < names->size; at++) {
        char *found = (char *)bytes + names->offset + at;
        if (memcmp(found, name, length + 1) == 0)
            *found = 'x';
    }
}
static void make_root_lost(void) { rename_symbol("tp_live_run"); }
static void make_handler_lost(void) { rename_symbol("tp_handle_breakpoint"); }
static void make_resume_lost(void) { rename_symbol("tp_live_resume"); }

static void aim_hook(uint64_t target) { memcpy(bytes_of(address_of("live_port")), &target, sizeof target); }
static void make_hook_with_site(void) { aim_hook(find_function_with_site()); }
static void make_hook_in_data(void) { aim_hook(address_of("__tp_keys")); }
static void make_nothing(void) {}

/* ---- Segments ---- */

static Elf64_Phdr *segment_of(uint64_t address) {
    Elf64_Phdr *headers = (Elf64_Phdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_phoff);
    for (unsigned i = 0; i < ((Elf64_Ehdr *)bytes)->e_phnum; i++)
        if (headers[i].p_type == PT_LOAD && address - headers[i].p_vaddr < headers[i].p_memsz)
            return &headers[i];
    fail_msg("0x%lx is in no segment", (long)address);
    return NULL;
}

static Elf64_Phdr *text_segment(void) { return segment_of(find_section(good, ".text")->address); }
static Elf64_Phdr *data_segment(void) { return segment_of(address_of("__tp_keys")); }

static void make_text_unexecutable(void) { text_segment()->p_flags = PF_R; }
static void make_text_twice(void) {
    Elf64_Phdr *headers = (Elf64_Phdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_phoff);
    unsigned i = 0;
    while (headers[i].p_type == PT_LOAD)
        i++;
    headers[i] = *text_segment();
    headers[i].p_flags = PF_R | PF_W;
}
static void make_text_under_data(void) { data_segment()->p_paddr = text_segment()->p_paddr; }

/* ---- Values ---- */

/* Two records of one site: the library names the other one's address. */
static void make_site_twice(void) {
    struct tp_site *first = find_record(TP_KIND_OP, 0), *second = first + 1;
    while ((second->kind & 15) != TP_KIND_OP || !is_in_text(target_of(&second->text)))
        second++;
    uint64_t text = target_of(&first->text), key = target_of(&first->key);
    *second = *first;
    aim(&second->text, text);
    aim(&second->key, key);
    snprintf(wanted_place, sizeof wanted_place, "sites overlap (value 0x%lx)", (unsigned long)text);
}

static const struct fault faults[] = {
    {"unwind: zeros", make_orc_zero, "the library refuses it: records of another version", NULL},
    {"unwind: another text", make_orc_moved, "unwind table: it speaks of", NULL},
    {"unwind: less text", make_orc_short, "unwind table: it speaks of", NULL},
    {"unwind: no order", make_orc_garbage, "unwind table at 0x", NULL},
    {"unwind: a type that is none", make_orc_type, "the library refuses it: bad argument", NULL},
    {"unwind: another stack", make_orc_stale, wanted_place, NULL},
    {"unwind: another boundary", make_orc_boundary, "bytes into the text, it says", NULL},
    {"unwind: two", make_orc_two, "are there two?", NULL},
    {"key: into an instruction", make_key_into_instruction, ", inside an instruction", NULL},
    {"key: into itself", make_key_into_itself, "is in the site itself", NULL},
    {"key: to another function", make_key_to_function, "tp_init", NULL},
    {"key: into a site's instruction", make_key_into_site, ", inside an instruction", NULL},
    {"form: into an instruction", make_form_into_instruction, ", inside an instruction", NULL},
    {"form: into a site", make_form_into_site, "leads into it, ", NULL},
    {"form: to data", make_form_to_data, "where no text is", NULL},
    {"op: the inside of a function", make_op_inside, ", where no function begins", NULL},
    {"static call: the inside of a function", make_call_inside, ", where no function begins", NULL},
    {"static call: its own trampoline", make_call_itself, "a trampoline, which would call itself", NULL},
    {"inline: the inside of a function", make_inline_inside, "where no function begins", NULL},
    {"value: the kernel's address", make_site_twice, wanted_place, NULL},
    {"segment: text not executable", make_text_unexecutable, "is not executable, and a site lies in it", NULL},
    {"segment: text twice", make_text_twice, "share a page", NULL},
    {"segment: text under data", make_text_under_data, "share memory at the physical address", NULL},
    {"hook: with a site", make_hook_with_site, "no site may be where it is reached", "live_port"},
    {"hook: no function", make_hook_in_data, "where no function is", "live_port"},
    {"hook: none before it runs", make_nothing, "it has no hooks before the kernel runs", "live_counts"},
    {"hook: no such port", make_nothing, "has no symbol no_such_port", "no_such_port"},
};

static const struct fault root_faults[] = {
    {"root: the edit", make_live_edit_call, "(tp_live_edit, ", NULL},
    {"root: the run", make_live_run_call, "(tp_live_run, ", NULL},
    {"root: the pass", make_live_resume_call, "(tp_live_resume, ", NULL},
    {"root: while others stand still", make_stopped_call, "(tp_live_write_stopped, ", NULL},
    {"root: #BP", make_serialize_call, "(tp_breakpoint_dispatch, ", NULL},
    {"root: lost", make_root_lost, "it has tp_live_resume, and no symbol tp_live_run", NULL},
    {"root: the handler lost", make_handler_lost, "and no symbol tp_handle_breakpoint", NULL},
    {"root: the pass lost", make_resume_lost, ", and no symbol tp_live_resume", NULL},
};

static unsigned wrong;

static void expect_fault(const struct fault *fault) {
    const char *ports[] = {fault->port, NULL};
    check_options.ports = NULL;
    restore();
    if (complaint_of()[0])
        fail_msg("the good kernel is refused: %s", said);
    restore();
    fault->make();
    check_options.ports = ports;
    if (!fault->wanted[0] || !strstr(complaint_of(), fault->wanted)) {
        print_error("%s: wanted \"%s\", got \"%.600s\"\n", fault->name, fault->wanted, said);
        wrong++;
    }
    check_options.ports = NULL;
}

static void test_faults(void **state) {
    (void)state;
    wrong = 0;
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        expect_fault(&faults[i]);
    print_message("%zu broken kernels\n", sizeof faults / sizeof *faults);
    assert_int_equal(wrong, 0);
}

static void test_roots(void **state) {
    (void)state;
    wrong = 0;
    for (unsigned i = 0; i < sizeof root_faults / sizeof *root_faults; i++)
        expect_fault(&root_faults[i]);
    print_message("%zu broken kernels\n", sizeof root_faults / sizeof *root_faults);
    assert_int_equal(wrong, 0);
}

/* A function that never returns may hold sites; the control: without the option it may not. */
static void test_ends(void **state) {
    uint64_t function = find_function_with_site();
    const char *ends[] = {function_at(good, function)->name, NULL};
    (void)state;
    restore();
    redirect_call("tp_live_edit", function);
    assert_non_null(strstr(complaint_of(), "no site may be where it is reached"));
    check_options.ends = ends;
    assert_null(strstr(complaint_of(), "no site may be where it is reached"));
    check_options.ends = NULL;
}

/* The platform's own port is fine. */
static void test_port(void **state) {
    const char *ports[] = {"live_port", NULL};
    (void)state;
    restore();
    check_options.ports = ports;
    assert_string_equal(complaint_of(), "");
    check_options.ports = NULL;
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults), cmocka_unit_test(test_ends),
                                       cmocka_unit_test(test_port)};
    const struct CMUnitTest root_tests[] = {cmocka_unit_test(test_roots)};
    if (count != 2 && count != 3)
        return 2;
    read_file(words[1]);
    good = read_kernel("good", pristine, file_size);
    int failed = count == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
    return failed + cmocka_run_group_tests(root_tests, NULL, NULL);
}
