/* SPDX-License-Identifier: MIT */
/*
 * Every record by itself, as it is in the file. The library refuses the same (lib/site/validate.c), but stops at the first
 * and knows no names; and it may trust what a tool must not: that a field leads into memory.
 *
 *   keys     kind, zeroes, cell (aligned, writable, one key a cell), name, first value
 *   inlines  function in the text, whole instructions, one operand that can be moved, one a function
 *   sites    version, kind, detail, length, where it lies, what it refers to
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/insn/decode.h"
#include "../../lib/insn/relocate.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "report.h"

/* A site as a message names it. */
static const char *name_site(const struct image *image, const struct tp_site *site) {
    uint64_t address = field_target(image, &site->text);
    return format_text("%s at %s (record %u)", tp_kind_text(tp_site_kind(site)),
                       describe_address(image->kernel, address), (unsigned)(site - image->tables.sites));
}

static bool is_writable(const struct image *image, uint64_t address, uint64_t size) {
    for (uint32_t i = 0; i < image->kernel->segment_count; i++) {
        const struct kernel_segment *segment = &image->kernel->segments[i];
        if (address >= segment->address && size <= segment->memory_size &&
            address - segment->address <= segment->memory_size - size)
            return segment->flags & PF_W;
    }
    return false;
}

static bool is_text(const struct image *image, uint64_t address) {
    const struct kernel_section *section = section_at(image->kernel, address);
    return section && is_executable(section);
}

/* The name, or NULL if it is not one. */
static const char *read_name(const struct image *image, const struct tp_key *key) {
    uint64_t address = field_target(image, &key->name);
    if (address < image->names || address >= image->names_end)
        return NULL;
    const char *name = (const char *)memory_at(image, address, 1);
    return name && memchr(name, 0, image->names_end - address) ? name : NULL;
}

static void check_value(const struct image *image, const struct tp_key *key, const char *name, uint64_t cell) {
    uint64_t value;
    memcpy(&value, memory_at(image, cell, sizeof value), sizeof value);
    if (key->kind == TP_KEY_KIND_STATIC_CALL && value == 0)
        complain("key %s: its cell at 0x%lx holds 0; a static call without a target holds tp_nop_function", name,
                 (unsigned long)cell);
    else if (key->kind != TP_KEY_KIND_STATIC_KEY && value != 0 && !is_text(image, value))
        complain("key %s: its cell at 0x%lx holds 0x%lx, where no text is", name, (unsigned long)cell,
                 (unsigned long)value);
    else if (key->kind == TP_KEY_KIND_STATIC_KEY && (int64_t)value < 0)
        complain("key %s: its cell at 0x%lx holds a count of %ld", name, (unsigned long)cell, (long)(int64_t)value);
}

static void check_key(const struct image *image, const struct tp_key *key) {
    unsigned number = (unsigned)(key - image->tables.keys);
    uint64_t cell = field_target(image, &key->cell);
    const char *name = read_name(image, key);
    if (!name)
        complain("key record %u: its name at 0x%lx is no NUL-terminated string among the names (0x%lx to 0x%lx)", number,
                 (unsigned long)field_target(image, &key->name), (unsigned long)image->names,
                 (unsigned long)image->names_end);
    name = name ? name : "?";
    if (key->kind < TP_KEY_KIND_OP || key->kind > TP_KEY_KIND_STATIC_KEY)
        complain("key %s (record %u): there is no kind %u of keys", name, number, key->kind);
    if (key->reserved || key->noted || key->applied || key->wanted)
        complain("key %s (record %u): bytes that are reserved are not 0", name, number);
    if (cell % 8 != 0)
        complain("key %s (record %u): its cell at 0x%lx is not aligned to 8", name, number, (unsigned long)cell);
    else if (!memory_at(image, cell, 8) || !is_writable(image, cell, 8))
        complain("key %s (record %u): its cell at 0x%lx is not in writable data", name, number, (unsigned long)cell);
    else
        check_value(image, key, name, cell);
}

static int compare_numbers(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* Both numbers that occur twice, once each. */
static void find_twins(const struct image *image, uint64_t *numbers, uint32_t count, const char *what) {
    if (count)
        qsort(numbers, count, sizeof *numbers, compare_numbers);
    for (uint32_t i = 1; i < count; i++)
        if (numbers[i] == numbers[i - 1] && (i == 1 || numbers[i] != numbers[i - 2]))
            complain("%s 0x%lx (%s)", what, (unsigned long)numbers[i], name_address(image->kernel, numbers[i]));
}

/* The keys lie in one piece of memory, so that the distance of two tells what is to be added to a field. */
static int compare_cells(const void *left, const void *right) {
    const struct tp_key *a = *(const struct tp_key *const *)left, *b = *(const struct tp_key *const *)right;
    int64_t distance = (int64_t)((intptr_t)a - (intptr_t)b) + a->cell - b->cell;
    return distance < 0 ? -1 : distance > 0;
}

static void check_keys(struct image *image) {
    uint32_t count = image->tables.key_count;
    uint64_t *cells = allocate(count, sizeof *cells);
    image->by_cell = allocate(count, sizeof *image->by_cell);
    for (uint32_t i = 0; i < count; i++) {
        image->by_cell[i] = &image->tables.keys[i];
        check_key(image, &image->tables.keys[i]);
        cells[i] = field_target(image, &image->tables.keys[i].cell);
    }
    if (count)
        qsort(image->by_cell, count, sizeof *image->by_cell, compare_cells);
    find_twins(image, cells, count, "two keys have one cell,");
}

/* Why a patchlet can't stand in a site; NULL if it can. */
static const char *find_fault(const uint8_t *bytes, uint64_t length) {
    unsigned relative = 0;
    for (uint64_t at = 0; at < length;) {
        struct tp_insn insn;
        if (tp_insn_decode(bytes + at, bytes + length, &insn) != TP_OK)
            return "its bytes are no whole instructions";
        if (insn.flags & TP_INSN_VENDOR_DEPENDENT)
            return "an instruction means different things to Intel and AMD";
        if (insn.operand_size && (insn.operand_size != 4 || ++relative > 1))
            return "it may have one operand relative to the instruction pointer, of four bytes";
        int64_t target = (int64_t)tp_insn_target(&insn, bytes + at, at);
        if (insn.operand_size && !(insn.flags & TP_INSN_RIP_RELATIVE) && target >= 0 && target <= (int64_t)length)
            return "a branch leads to the patchlet itself";
        at += insn.length;
    }
    return NULL;
}

static void check_inline(const struct image *image, const struct tp_inline *form) {
    const struct tp_image *tables = &image->tables;
    uint64_t function = field_target(image, &form->function);
    uint64_t start = field_target(image, &form->start), end = field_target(image, &form->end);
    const char *name = describe_address(image->kernel, function), *fault = NULL;
    unsigned number = (unsigned)(form - tables->inlines);
    if (!is_text(image, function))
        complain("inline form %u: the function 0x%lx is in no text", number, (unsigned long)function);
    if (end < start)
        fault = "it ends before it begins";
    else if (end - start > TP_OP_LENGTH_MAX)
        fault = "it is longer than 15 bytes";
    else if (start < kernel_address(image, tables->replacements) || end > kernel_address(image, tables->replacements_end))
        fault = "it does not lie in .textpatch.replacements";
    else
        fault = find_fault(memory_at(image, start, end - start), end - start);
    if (fault)
        complain("inline form of %s (record %u, patchlet at 0x%lx): %s", name, number, (unsigned long)start, fault);
}

static void check_inlines(const struct image *image) {
    uint32_t count = image->tables.inline_count;
    uint64_t *functions = allocate(count, sizeof *functions);
    for (uint32_t i = 0; i < count; i++) {
        check_inline(image, &image->tables.inlines[i]);
        functions[i] = field_target(image, &image->tables.inlines[i].function);
    }
    find_twins(image, functions, count, "two inline forms of one function,");
}

/* A form and its length byte wholly in its section; complains if not. */
static const struct tp_form *find_form(const struct image *image, const struct tp_site *site, const int32_t *field,
                                       const uint8_t *start, const uint8_t *end, const char *what) {
    uint64_t address = field_target(image, field), first = kernel_address(image, start);
    uint64_t room = (uint64_t)(end - start);
    if (address >= first && address - first < room && start[address - first] < room - (address - first))
        return (const struct tp_form *)(start + (address - first));
    complain("%s: its %s at 0x%lx is not wholly among the %ss (0x%lx to 0x%lx)", name_site(image, site), what,
             (unsigned long)address, what, (unsigned long)first, (unsigned long)(first + room));
    return NULL;
}

static void check_form(const struct image *image, const struct tp_site *site, const struct tp_form *form,
                       const char *what) {
    bool moves;
    if (!form)
        return;
    enum tp_status status = tp_needs_relocation(form->bytes, form->length, &moves);
    if (form->length > site->length)
        complain("%s: its %s has %u bytes, the site %u", name_site(image, site), what, form->length, site->length);
    if (status == TP_ERR_TRUNCATED_INSN)
        complain("%s: its %s ends inside an instruction", name_site(image, site), what);
    else if (status != TP_OK)
        complain("%s: its %s holds an instruction that is none, or that can't be moved", name_site(image, site), what);
}

static void check_alternative(const struct image *image, const struct tp_site *site) {
    const struct tp_image *tables = &image->tables;
    unsigned feature = site->detail & ~(unsigned)(TP_DETAIL_NOT | TP_DETAIL_LIBRARY);
    if (!tp_feature_exists(feature))
        complain("%s: there is no feature 0x%x", name_site(image, site), feature);
    check_form(image, site, find_form(image, site, &site->form, tables->originals, tables->originals_end, "original"),
               "original");
    check_form(image, site,
               find_form(image, site, &site->key, tables->replacements, tables->replacements_end, "replacement"),
               "replacement");
}

static const struct tp_key *key_of(const struct image *image, uint64_t cell) {
    uint32_t low = 0, high = image->tables.key_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (field_target(image, &image->by_cell[middle]->cell) < cell)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < image->tables.key_count && field_target(image, &image->by_cell[low]->cell) == cell;
    return found ? image->by_cell[low] : NULL;
}

static void check_site_key(const struct image *image, const struct tp_site *site, unsigned kind) {
    uint64_t cell = field_target(image, &site->key);
    const struct tp_key *key = site->key ? key_of(image, cell) : NULL;
    if (!key)
        complain("%s: no key has its cell, 0x%lx", name_site(image, site), (unsigned long)cell);
    else if (key->kind != kind)
        complain("%s: its cell 0x%lx is of a key of kind %u, and it wants kind %u", name_site(image, site),
                 (unsigned long)cell, key->kind, kind);
}

static void check_length(const struct image *image, const struct tp_site *site, unsigned least, unsigned most) {
    if (site->length < least || site->length > most)
        complain("%s: it has %u bytes, and may have %u to %u", name_site(image, site), site->length, least, most);
}

static void check_no_form(const struct image *image, const struct tp_site *site) {
    if (site->form)
        complain("%s: its form must be 0", name_site(image, site));
}

static void check_static_call(const struct image *image, const struct tp_site *site) {
    bool conditional = site->detail >= TP_BRANCH_JCC;
    check_length(image, site, conditional ? 6 : 5, conditional ? 6 : TP_OP_LENGTH_MAX);
    if (!site->form || !is_text(image, field_target(image, &site->form)))
        complain("%s: its trampoline, 0x%lx, is in no text", name_site(image, site),
                 (unsigned long)field_target(image, &site->form));
    check_site_key(image, site, TP_KEY_KIND_STATIC_CALL);
}

static void check_static_key(const struct image *image, const struct tp_site *site) {
    if (site->length != 2 && site->length != 5)
        complain("%s: it has %u bytes, and may have 2 or 5", name_site(image, site), site->length);
    if (!lies_in_image_text(image, field_target(image, &site->form), 1))
        complain("%s: its target, 0x%lx, is in no text", name_site(image, site),
                 (unsigned long)field_target(image, &site->form));
    check_site_key(image, site, TP_KEY_KIND_STATIC_KEY);
}

static bool detail_is_known(const struct tp_site *site) {
    switch (tp_site_kind(site)) {
    case TP_KIND_OP:
        return site->detail <= TP_BRANCH_JMP;
    case TP_KIND_STATIC_CALL:
        return site->detail <= TP_BRANCH_JMP || (site->detail & ~15u) == TP_BRANCH_JCC;
    case TP_KIND_TRAMPOLINE:
        return site->detail == TP_BRANCH_JMP;
    case TP_KIND_STATIC_KEY:
        return site->detail <= (TP_KEY_STARTS_AS_JUMP | TP_KEY_JUMPS_IF_ENABLED);
    case TP_KIND_LOCK_PREFIX:
        return site->detail == 0;
    default:
        return !(site->detail & TP_DETAIL_LIBRARY);
    }
}

static bool lies_between(const struct image *image, const struct tp_site *site, const uint8_t *start, const uint8_t *end) {
    uint64_t address = field_target(image, &site->text), first = kernel_address(image, start);
    return address >= first && address - first <= (uint64_t)(end - start) &&
           site->length <= (uint64_t)(end - start) - (address - first);
}

static void check_site(const struct image *image, const struct tp_site *site) {
    const struct tp_image *tables = &image->tables;
    unsigned kind = tp_site_kind(site);
    if (site->kind >> 4 != TP_RECORD_VERSION) {
        complain("%s: its record has version %u, this tool knows %u", name_site(image, site), site->kind >> 4,
                 TP_RECORD_VERSION);
        return;
    }
    if (site->length == 0)
        complain("%s: it has no bytes", name_site(image, site));
    uint64_t address = field_target(image, &site->text);
    if (!(is_text(image, address) && lies_in_image_text(image, address, site->length)) &&
        !lies_between(image, site, tables->originals, tables->originals_end) &&
        !lies_between(image, site, tables->replacements, tables->replacements_end))
        complain("%s: its %u bytes at 0x%lx are neither in the text nor in a form", name_site(image, site), site->length,
                 (unsigned long)address);
    if (kind < TP_KIND_ALTERNATIVE || kind > TP_KIND_LOCK_PREFIX)
        complain("%s: there is no kind %u", name_site(image, site), kind);
    else if (!detail_is_known(site))
        complain("%s: it can't have the detail 0x%x", name_site(image, site), site->detail);
    if (kind == TP_KIND_ALTERNATIVE)
        check_alternative(image, site);
    if (kind == TP_KIND_OP || kind == TP_KIND_TRAMPOLINE) {
        check_length(image, site, 6, TP_OP_LENGTH_MAX);
        check_site_key(image, site, kind == TP_KIND_OP ? TP_KEY_KIND_OP : TP_KEY_KIND_STATIC_CALL);
        check_no_form(image, site);
    }
    if (kind == TP_KIND_STATIC_CALL)
        check_static_call(image, site);
    if (kind == TP_KIND_STATIC_KEY)
        check_static_key(image, site);
    if (kind == TP_KIND_LOCK_PREFIX) {
        check_length(image, site, 1, 1);
        check_no_form(image, site);
    }
}

bool check_records(struct image *image) {
    unsigned before = count_complaints();
    if (image->tables.site_count == 0)
        complain("there is no site at all: does the linker script KEEP the records?");
    check_keys(image);
    check_inlines(image);
    for (uint32_t i = 0; i < image->tables.site_count; i++)
        check_site(image, &image->tables.sites[i]);
    return count_complaints() == before;
}
