/* SPDX-License-Identifier: MIT */
/*
 * Files that are no kernel any more: the tool tells an error or finds nothing wrong, and goes on living. Each with
 * `check`, which looks at all of a file.
 *
 *   headers     each field of the ELF header, of each program header and of each section header, with each of a set of
 *               values that are at an edge of something
 *   symbols     each field of the symbols that name the tables, likewise
 *   truncated   the file's first bytes only, in many lengths
 *   bytes       random bytes in the tables
 *   control     the whole file is fine; of the changes to headers a good part is refused
 */
#include "broken.h"

enum { RANDOM_RUNS = 400, TRUNCATED_RUNS = 150 };

static unsigned runs, refused;

static void count_run(void) {
    runs++;
    refused += complaint_of()[0] != '\0';
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

static void test_control(void **state) {
    (void)state;
    restore();
    assert_string_equal(complaint_of(), "");
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_control), cmocka_unit_test(test_headers),
                                       cmocka_unit_test(test_symbols), cmocka_unit_test(test_truncated),
                                       cmocka_unit_test(test_bytes), cmocka_unit_test(test_control)};
    if (count != 2)
        return 2;
    read_file(words[1]);
    good = read_kernel("good", pristine, file_size);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
