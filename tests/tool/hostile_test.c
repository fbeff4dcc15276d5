/* SPDX-License-Identifier: MIT */
/*
 * Files that are no kernel any more: the tool tells an error or finds nothing wrong, and goes on living. Each with
 * `check` on a kernel, which looks at all records, and with `orc` on the kernel of frames.S, of which each error has to say
 * where it is, and each table has to be one that the library takes.
 *
 *   headers     each field of the ELF header, of each program header and of each section header, with each of a set of
 *               values that are at an edge of something
 *   symbols     each field of the symbols that name the tables, likewise
 *   sections    code that overlaps other code is refused; a function of 2^60 bytes, reached from a hook, takes no time
 *   truncated   the file's first bytes only, in many lengths
 *   bytes       random bytes in the tables
 *   frames      each byte of .eh_frame, with each value (under sanitizers: with each bit changed); its ends
 *   hints       the same with the hints of assembler code
 *   code        the same with the instructions that are followed
 *   control     the whole file is fine; of the changes to headers a good part is refused
 */
#include "frames.h"

enum { RANDOM_RUNS = 400, TRUNCATED_RUNS = 150 };

static unsigned runs, refused;

static const char *(*judge)(void) = complaint_of;

/* Each line's: an offset in a section, an address, or what the tool calls a part of the file. */
static bool has_place(const char *line) {
    static const char *const words[] = {"0x", "section", "header", "stripped", "has no symbol", "no site at all",
                                        "is no ELF file", "record ", "key "};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(line, words[i]))
            return true;
    for (uint32_t i = 0; i < good->function_count; i++)
        if (strstr(line, good->functions[i].name))
            return true;
    return false;
}

static void expect_places(void) {
    for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "textpatch: ", 11) == 0 && strlen(line) < 500 && !has_place(line))
            fail_msg("this error has no place: %s", line);
}

static void count_run(void) {
    runs++;
    bool fine = judge()[0] == '\0';
    refused += !fine;
    if (!fine)
        expect_places();
    else if (judge == orc_complaint_of && !table_is_sound())
        fail_msg("this table would be refused: %s", table);
}

/* What a field of `size` bytes can be made: the edges of its range, and of the file. */
static void vary_field(uint8_t *field, size_t size) {
    const uint64_t values[] = {0, 1, 2, 7, 0xff, file_size - 1, file_size, file_size + 1, INT32_MAX, UINT32_MAX,
                               UINT64_MAX / 2, UINT64_MAX - 7, UINT64_MAX};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        restore();
        memcpy(field, &values[i], size);
        count_run();
    }
    restore();
    uint64_t value = 0;
    memcpy(&value, field, size);
    for (int change = -1; change <= 1; change += 2) {
        uint64_t changed = value + (uint64_t)(int64_t)change;
        restore();
        memcpy(field, &changed, size);
        count_run();
    }
}

static void vary_header(void *start, const uint8_t *sizes, unsigned count) {
    uint8_t *field = start;
    for (unsigned i = 0; i < count; i++) {
        vary_field(field, sizes[i]);
        field += sizes[i];
    }
}

static const uint8_t file_fields[] = {1, 1, 1, 1, 1, 1, 1, 1, 8, 2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2};
static const uint8_t segment_fields[] = {4, 4, 8, 8, 8, 8, 8, 8};
static const uint8_t section_fields[] = {4, 4, 8, 8, 8, 8, 4, 4, 8, 8};
static const uint8_t symbol_fields[] = {4, 1, 1, 2, 8, 8};

static void test_headers(void **state) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)pristine;
    (void)state;
    runs = refused = 0;
    vary_header(bytes, file_fields, sizeof file_fields);
    for (unsigned i = 0; i < header->e_phnum; i++)
        vary_header(bytes + header->e_phoff + i * sizeof(Elf64_Phdr), segment_fields, sizeof segment_fields);
    for (unsigned i = 0; i < header->e_shnum; i++)
        vary_header(bytes + header->e_shoff + i * sizeof(Elf64_Shdr), section_fields, sizeof section_fields);
    print_message("%u changed headers, %u refused\n", runs, refused);
    assert_true(refused > runs / 4 && refused < runs);
}

static void test_symbols(void **state) {
    static const char *const names[] = {"__tp_start", "__tp_sites", "__tp_sites_end", "__tp_keys", "__tp_keys_end",
                                        "__tp_inlines", "__tp_inlines_end", "__tp_originals", "__tp_originals_end",
                                        "__tp_replacements", "__tp_replacements_end", "__tp_index", "__tp_orc",
                                        "__tp_end", "tp_nop_function", "tp_batch_commit"};
    const struct kernel_section *table = find_section(good, ".symtab"), *strings = find_section(good, ".strtab");
    (void)state;
    runs = refused = 0;
    for (size_t at = 0; at < table->size; at += sizeof(Elf64_Sym)) {
        uint32_t name;
        memcpy(&name, table->bytes + at, sizeof name);
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            if (strcmp((const char *)strings->bytes + name, names[i]) == 0)
                vary_header(bytes + table->offset + at, symbol_fields, sizeof symbol_fields);
    }
    print_message("%u changed symbols, %u refused\n", runs, refused);
    assert_true(refused > runs / 8);
}

static uint64_t end_of_code(void) {
    uint64_t end = 0;
    for (uint32_t i = 1; i < good->section_count; i++)
        if (is_executable(&good->sections[i]) && good->sections[i].address + good->sections[i].size > end)
            end = good->sections[i].address + good->sections[i].size;
    return end;
}

/* A section that isn't loaded becomes one of code without bytes; returns its number. */
static uint16_t add_code(uint64_t address, uint64_t size) {
    Elf64_Shdr *headers = (Elf64_Shdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_shoff);
    for (uint32_t i = 1; i < good->section_count; i++)
        if (good->sections[i].type == SHT_PROGBITS && !(good->sections[i].flags & SHF_ALLOC)) {
            headers[i].sh_type = SHT_NOBITS;
            headers[i].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
            headers[i].sh_addr = address;
            headers[i].sh_size = size;
            return (uint16_t)i;
        }
    fail_msg("each section is loaded");
    return 0;
}

static void move_symbol(const char *name, uint16_t section, uint64_t address) {
    const struct kernel_section *table = find_section(good, ".symtab"), *strings = find_section(good, ".strtab");
    for (size_t at = 0; at < table->size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym *symbol = (Elf64_Sym *)(bytes + table->offset + at);
        if (strcmp((const char *)strings->bytes + symbol->st_name, name) != 0)
            continue;
        symbol->st_shndx = section;
        symbol->st_value = address;
        return;
    }
    fail_msg("no symbol %s", name);
}

static void test_sections(void **state) {
    const uint64_t end = end_of_code();
    (void)state;
    restore();
    add_code(end - 16, UINT64_C(1) << 40);
    assert_non_null(strstr(judge(), "are executable, and overlap at 0x"));
    static const char *const hooks[] = {"tp_serialize", NULL};
    restore();
    move_symbol(hooks[0], add_code(end, UINT64_C(1) << 60), end);
    check_options.hooks = hooks;
    count_run();
    check_options.hooks = NULL;
    assert_null(strstr(said, "overlap"));
}

static void test_truncated(void **state) {
    size_t whole = file_size;
    (void)state;
    restore();
    runs = refused = 0;
    for (unsigned i = 0; i < TRUNCATED_RUNS; i++) {
        /* An end that nothing lies behind, so that a sanitizer sees what is read there. */
        uint8_t *kept = bytes;
        file_size = i < 64 ? i : whole * i / TRUNCATED_RUNS;
        bytes = malloc(file_size ? file_size : 1);
        memcpy(bytes, kept, file_size);
        count_run();
        free(bytes);
        bytes = kept;
    }
    file_size = whole;
    assert_int_equal(refused, runs);
}

static void test_bytes(void **state) {
    uint64_t start = address_of("__tp_start"), size = address_of("__tp_end") - start, random = 88172645463325252u;
    (void)state;
    runs = refused = 0;
    for (unsigned i = 0; i < RANDOM_RUNS; i++) {
        restore();
        for (unsigned n = 0; n < 1 + i % 8; n++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *bytes_of(start + random % size) = (uint8_t)(random >> 32);
        }
        count_run();
    }
    print_message("%u tables with random bytes, %u refused\n", runs, refused);
    assert_true(refused > runs / 4);
}

#ifdef __SANITIZE_ADDRESS__
enum { CHANGES = 8 };
static uint8_t change_byte(uint8_t byte, unsigned number) { return (uint8_t)(byte ^ 1 << number); }
#else
enum { CHANGES = 255 };
static uint8_t change_byte(uint8_t byte, unsigned number) { return (uint8_t)(byte + 1 + number); }
#endif

/* least: of how many changes one at least is refused */
static void sweep(const char *name, unsigned least) {
    const struct kernel_section *section = find_section(good, name);
    runs = refused = 0;
    for (uint64_t at = 0; at < section->size; at++)
        for (unsigned number = 0; number < CHANGES; number++) {
            uint8_t *byte = bytes + section->offset + at;
            restore();
            *byte = change_byte(*byte, number);
            count_run();
        }
    print_message("%u changed bytes in %s, %u refused\n", runs, name, refused);
    assert_true(refused > runs / least && refused < runs);
}

/* Shorter and shorter, and begun later and later. */
static void cut(const char *name) {
    const struct kernel_section *section = find_section(good, name);
    Elf64_Shdr *header = (Elf64_Shdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_shoff) + section->index;
    runs = refused = 0;
    for (uint64_t gone = 1; gone <= section->size; gone++)
        for (unsigned at_start = 0; at_start < 2; at_start++) {
            restore();
            header->sh_size -= gone;
            header->sh_offset += at_start ? gone : 0;
            header->sh_addr += at_start && header->sh_addr ? gone : 0;
            count_run();
        }
    print_message("%u parts of %s, %u refused\n", runs, name, refused);
    assert_true(refused > runs / 8 && refused < runs);
}

static void test_frames(void **state) {
    (void)state;
    sweep(".eh_frame", 4);
    cut(".eh_frame");
}

static void test_hints(void **state) {
    (void)state;
    sweep(".debug_textpatch_hints", 4);
    cut(".debug_textpatch_hints");
}

static void test_code(void **state) {
    (void)state;
    sweep(".text", 1000);
}

static void test_control(void **state) {
    (void)state;
    restore();
    assert_string_equal(judge(), "");
}

static void use_kernel(const char *path, const char *(*by)(void)) {
    free(pristine);
    free(bytes);
    read_file(path);
    good = read_kernel("good", pristine, file_size);
    judge = by;
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_control), cmocka_unit_test(test_headers),
                                       cmocka_unit_test(test_symbols), cmocka_unit_test(test_truncated),
                                       cmocka_unit_test(test_bytes),   cmocka_unit_test(test_control)};
    const struct CMUnitTest check_tests[] = {cmocka_unit_test(test_sections), cmocka_unit_test(test_control)};
    const struct CMUnitTest orc_tests[] = {cmocka_unit_test(test_frames), cmocka_unit_test(test_hints),
                                           cmocka_unit_test(test_code), cmocka_unit_test(test_control)};
    if (count != 3)
        return 2;
    use_kernel(words[1], complaint_of);
    int failed = cmocka_run_group_tests_name("check", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("check alone", check_tests, NULL, NULL);
    use_kernel(words[2], orc_complaint_of);
    failed += cmocka_run_group_tests_name("orc", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("orc alone", orc_tests, NULL, NULL);
    return failed;
}
