/* SPDX-License-Identifier: MIT */
/*
 * A good kernel, to be broken: its bytes, and where its records lie among them.
 *
 * Calls
 *   restore()       the bytes as they are in the file
 *   bytes_of()      the bytes in the file that will be at an address, to be changed
 *   find_record()   the first site of a kind that satisfies a condition
 *   aim()           a self-relative field at an address
 *   complaint_of()  all that `textpatch check` says of the bytes as they are now; "" if nothing
 */
#ifndef TEST_TOOL_BROKEN_H
#define TEST_TOOL_BROKEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/textpatch/check.h"
#include "../../tools/textpatch/report.h"

#include <textpatch/record.h>

enum { SAID_MAX = 1 << 16 };

static const struct kernel *good; /* of `pristine` */
static uint8_t *pristine, *bytes;
static size_t file_size;
static char said[SAID_MAX];
static struct check_options check_options; /* of complaint_of() */

static inline void restore(void) { memcpy(bytes, pristine, file_size); }

static inline void listen(const char *message) {
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s\n", message);
}

static inline void read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    file_size = (size_t)ftell(file);
    rewind(file);
    pristine = malloc(file_size);
    bytes = malloc(file_size);
    assert_int_equal(fread(pristine, 1, file_size, file), file_size);
    fclose(file);
}

static inline void prove(void *argument) {
    (void)argument;
    prove_kernel(read_kernel("kernel", bytes, file_size), &check_options);
}

static inline const char *complaint_of(void) {
    said[0] = '\0';
    set_listener(listen);
    bool fine = run_guarded(prove, NULL);
    assert_int_equal(fine, said[0] == '\0');
    return said;
}

/* An address as it is in a loaded section of the good kernel; never NULL. */
static inline uint8_t *bytes_of(uint64_t address) {
    const uint8_t *found = bytes_at(good, address, 1);
    if (!found)
        fail_msg("no bytes are at 0x%lx", (long)address);
    return bytes + (found - pristine);
}

static inline uint64_t address_of(const char *symbol) {
    const struct kernel_symbol *found = find_symbol(good, symbol);
    if (!found)
        fail_msg("the kernel has no symbol %s", symbol);
    return found->address;
}

/* The kernel's address of what lies at `where` among `bytes`. */
static inline uint64_t address_in(const void *where) {
    size_t offset = (size_t)((const uint8_t *)where - bytes);
    for (uint32_t i = 1; i < good->section_count; i++) {
        const struct kernel_section *section = &good->sections[i];
        if ((section->flags & SHF_ALLOC) && section->bytes && offset - section->offset < section->size)
            return section->address + (offset - section->offset);
    }
    fail_msg("offset 0x%zx is in no section", offset);
    return 0;
}

static inline uint64_t target_of(const int32_t *field) { return address_in(field) + (uint64_t)(int64_t)*field; }

static inline void aim(int32_t *field, uint64_t target) { *field = (int32_t)(int64_t)(target - address_in(field)); }

static inline bool is_in_text(uint64_t address) {
    const struct kernel_section *section = section_at(good, address);
    return section && is_executable(section);
}

static inline struct tp_site *first_site(void) { return (struct tp_site *)bytes_of(address_of("__tp_sites")); }
static inline struct tp_key *first_key(void) { return (struct tp_key *)bytes_of(address_of("__tp_keys")); }
static inline struct tp_inline *first_inline(void) { return (struct tp_inline *)bytes_of(address_of("__tp_inlines")); }

static inline unsigned count_sites(void) {
    return (unsigned)((address_of("__tp_sites_end") - address_of("__tp_sites")) / sizeof(struct tp_site));
}

/* Alone: no other record shares a byte with it. */
static inline bool is_alone(const struct tp_site *site) {
    uint64_t start = target_of(&site->text), end = start + site->length;
    for (struct tp_site *other = first_site(); other < first_site() + count_sites(); other++) {
        uint64_t from = target_of(&other->text);
        if (other != site && from < end && start < from + other->length)
            return false;
    }
    return true;
}

/* length 0: any */
static inline struct tp_site *find_record(unsigned kind, unsigned length) {
    for (struct tp_site *site = first_site(); site < first_site() + count_sites(); site++)
        if ((site->kind & 15) == kind && (!length || site->length == length) && is_in_text(target_of(&site->text)) &&
            is_alone(site))
            return site;
    fail_msg("no site of kind %u and %u bytes", kind, length);
    return NULL;
}

static inline struct tp_key *find_key(unsigned kind) {
    struct tp_key *end = (struct tp_key *)bytes_of(address_of("__tp_keys_end") - 1);
    for (struct tp_key *key = first_key(); key < end; key++)
        if (key->kind == kind)
            return key;
    fail_msg("no key of kind %u", kind);
    return NULL;
}

#endif
