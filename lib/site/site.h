/* SPDX-License-Identifier: MIT */
/*
 * Reading records: the fields of textpatch/record.h as addresses and flags. Inline, since every pass lives on them.
 */
#ifndef TP_SITE_SITE_H
#define TP_SITE_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/inline.h>
#include <textpatch/record.h>

/* Bits of `detail` that the library sets at tp_image_add(). */
enum {
    TP_DETAIL_FEATURE = 0x01ff,
    TP_DETAIL_NESTED = 0x0400,   /* lies in the site of an alternative, which renders it */
    TP_DETAIL_COMPOSED = 0x0800, /* an alternative that has nested sites, in its site or in its replacement */
    TP_DETAIL_PLAIN = 0x1000,    /* an alternative whose forms stand in the site as they are, and then padding */
    TP_DETAIL_STAYS = 0x2000,    /* a call that keeps its pristine form, which reads the cell: TP_SCHEME_STORE */
    TP_DETAIL_CHANGING = 0x4000, /* its int3 is the library's; or it is about to be written by rendezvous */
    TP_DETAIL_LIBRARY = 0x7c00,
};

/* Set in `kind` once the bits above are the library's and no longer what a file says. */
enum { TP_KIND_TAKEN = 0x80 };

static inline uintptr_t tp_relative(const int32_t *field) {
    return (uintptr_t)field + (uintptr_t)(intptr_t)*field;
}

static inline uintptr_t tp_site_address(const struct tp_site *site) {
    return tp_relative(&site->text);
}

static inline uintptr_t tp_site_end(const struct tp_site *site) {
    return tp_site_address(site) + site->length;
}

static inline unsigned tp_site_kind(const struct tp_site *site) {
    return site->kind & 0xf;
}

static inline unsigned tp_site_version(const struct tp_site *site) {
    return (site->kind & ~TP_KIND_TAKEN) >> 4;
}

static inline uintptr_t tp_site_cell(const struct tp_site *site) {
    return tp_relative(&site->key);
}

static inline bool tp_site_has_key(const struct tp_site *site) {
    unsigned kind = tp_site_kind(site);
    return kind >= TP_KIND_OP && kind <= TP_KIND_STATIC_KEY;
}

static inline const struct tp_form *tp_site_original(const struct tp_site *site) {
    return (const struct tp_form *)tp_relative(&site->form);
}

static inline const struct tp_form *tp_site_replacement(const struct tp_site *site) {
    return (const struct tp_form *)tp_relative(&site->key);
}

/* What the site's branch does, TP_BRANCH_…: an op call, a static call or a trampoline. */
static inline unsigned tp_site_branch(const struct tp_site *site) {
    return site->detail & 0xff;
}

static inline uintptr_t tp_key_cell(const struct tp_key *key) {
    return tp_relative(&key->cell);
}

static inline const char *tp_key_name(const struct tp_key *key) {
    return (const char *)tp_relative(&key->name);
}

/* To the kernel a cell is a pointer to a function, or whatever its op table says. */
typedef uint64_t tp_cell __attribute__((may_alias));

/* The cell is the kernel's memory, which it may write while we look: one read, of the whole cell. */
static inline uint64_t tp_key_read(const struct tp_key *key) {
    return *(const volatile tp_cell *)tp_key_cell(key);
}

static inline void tp_key_write(const struct tp_key *key, uint64_t value) {
    *(volatile tp_cell *)tp_key_cell(key) = value;
}

/* The pass to come sets the cell, and brings its sites along. A static call's cell always holds a function. */
static inline void tp_note_value(struct tp_key *key, uint64_t value) {
    bool is_none = key->kind == TP_KEY_KIND_STATIC_CALL && value == 0;
    key->wanted = is_none ? (uintptr_t)tp_nop_function : value;
    key->noted = 1;
}

#endif
