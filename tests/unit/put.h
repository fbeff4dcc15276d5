/* SPDX-License-Identifier: MIT */
/*
 * Code and the records that describe it.
 *
 * Calls
 *   put_…()        code at the end of a world's text, with its record
 *   add_…()        records alone
 *   use_image()    gives the image to the library
 *
 * Example
 *   struct world *world = start_library();
 *   uint64_t *slot = add_cell(world, TP_KEY_KIND_OP, "ops.halt", WORK);
 *   uintptr_t site = put_op(world, slot, 6, TP_BRANCH_CALL);
 *   use_image(world);
 */
#ifndef TP_TEST_PUT_H
#define TP_TEST_PUT_H

#include "arena.h"

/* Instructions, of which one may have a field relative to its end. */
struct code {
    const char *bytes;
    unsigned length;
    unsigned field; /* offset of 4 bytes; 0: none */
    unsigned end;   /* offset of the end of the instruction that has it */
    uintptr_t target;
};
#define CODE(literal) ((struct code){literal, sizeof(literal) - 1, 0, 0, 0})
#define CODE_TO(literal, field, end, target) ((struct code){literal, sizeof(literal) - 1, field, end, target})
#define CALL_TO(target) CODE_TO("\xe8\0\0\0\0", 1, 5, target)

struct choice {
    struct code code;
    uint16_t feature;
};

static inline void place_code(const struct code *code, uintptr_t address, uint8_t *out) {
    memcpy(out, code->bytes, code->length);
    if (code->field) {
        uint32_t distance = (uint32_t)(code->target - (address + code->end));
        memcpy(out + code->field, &distance, sizeof distance);
    }
}

static inline uintptr_t next_address(const struct world *world) {
    return (uintptr_t)world->text + world->used;
}

/* Code in `length` bytes, padded as assemblers do. */
static inline uintptr_t put_code(struct world *world, struct code code, unsigned length) {
    uintptr_t address = next_address(world);
    assert_true(world->used + length <= TEXT_SIZE && code.length <= length);
    memset(world->alias + world->used, 0x90, length);
    place_code(&code, address, world->alias + world->used);
    world->used += length;
    return address;
}

static inline void skip_text(struct world *world, unsigned count) { world->used += count; }

static inline uintptr_t put_form_bytes(uint8_t *section, unsigned *used, struct code code) {
    uint8_t *form = section + *used;
    assert_true(*used + 1 + code.length <= FORMS_SIZE);
    form[0] = (uint8_t)code.length;
    place_code(&code, (uintptr_t)form + 1, form + 1);
    *used += 1 + code.length;
    return (uintptr_t)form;
}

static inline uintptr_t put_original(struct world *world, struct code code) {
    return put_form_bytes(world->tables->originals, &world->originals_used, code);
}

static inline uintptr_t put_replacement(struct world *world, struct code code) {
    return put_form_bytes(world->tables->replacements, &world->replacements_used, code);
}

/* Records. */

static inline void aim(int32_t *field, uintptr_t target) {
    int64_t distance = (int64_t)(target - (uintptr_t)field);
    assert_true(distance == (int32_t)distance);
    *field = (int32_t)distance;
}

/* key, form: addresses, or 0 for none */
static inline struct tp_site *add_site(struct world *world, unsigned kind, uintptr_t address, unsigned length,
                                       uintptr_t key, uintptr_t form, unsigned detail) {
    assert_true(world->image.site_count < SITES_MAX);
    struct tp_site *site = &world->image.sites[world->image.site_count++];
    *site = (struct tp_site){.length = (uint8_t)length,
                             .kind = (uint8_t)(TP_RECORD_VERSION << 4 | kind),
                             .detail = (uint16_t)detail};
    aim(&site->text, address);
    if (key)
        aim(&site->key, key);
    if (form)
        aim(&site->form, form);
    return site;
}

static inline void add_key(struct world *world, unsigned kind, const char *name, const void *cell) {
    assert_true(world->image.key_count < KEYS_MAX);
    struct tp_key *key = &world->image.keys[world->image.key_count++];
    *key = (struct tp_key){.kind = (uint16_t)kind};
    aim(&key->cell, (uintptr_t)cell);
    aim(&key->name, (uintptr_t)name);
}

static inline uint64_t *add_cell(struct world *world, unsigned kind, const char *name, uint64_t value) {
    uint64_t *cell = &world->tables->cells[world->image.key_count];
    *cell = value;
    add_key(world, kind, name, cell);
    return cell;
}

/* One of the library's patchlets is copied first: an image has its inline forms among its own replacements. */
static inline void add_inline(struct world *world, uintptr_t function, const void *start, const void *end) {
    unsigned length = (unsigned)((const char *)end - (const char *)start);
    uintptr_t own = (uintptr_t)world->tables->replacements;
    assert_true(world->image.inline_count < INLINES_MAX);
    if ((uintptr_t)start < own || (uintptr_t)start >= own + FORMS_SIZE)
        start = (const char *)put_replacement(world, (struct code){.bytes = start, .length = length}) + 1;
    end = (const char *)start + length;
    struct tp_inline *form = &world->image.inlines[world->image.inline_count++];
    aim(&form->function, function);
    aim(&form->start, (uintptr_t)start);
    aim(&form->end, (uintptr_t)end);
}

/* A patchlet of one's own, registered for a function. */
static inline void add_patchlet(struct world *world, uintptr_t function, struct code code) {
    uintptr_t start = put_replacement(world, code) + 1;
    add_inline(world, function, (const void *)start, (const void *)(start + code.length));
}

/* Code with its record. */

static inline uintptr_t put_op(struct world *world, const uint64_t *slot, unsigned width, unsigned branch) {
    char bytes[16];
    memset(bytes, 0x2e, sizeof bytes);
    memcpy(bytes + width - 6, branch == TP_BRANCH_CALL ? "\xff\x15" : "\xff\x25", 2);
    struct code code = {bytes, width, width - 4, width, (uintptr_t)slot};
    uintptr_t address = put_code(world, code, width);
    add_site(world, TP_KIND_OP, address, width, (uintptr_t)slot, 0, branch);
    return address;
}

static inline uintptr_t put_trampoline(struct world *world, const uint64_t *cell) {
    uintptr_t address = put_code(world, CODE_TO("\xff\x25\0\0\0\0", 2, 6, (uintptr_t)cell), 6);
    add_site(world, TP_KIND_TRAMPOLINE, address, 6, (uintptr_t)cell, 0, TP_BRANCH_JMP);
    return address;
}

static inline uintptr_t put_static_call(struct world *world, const uint64_t *cell, uintptr_t trampoline,
                                        unsigned branch) {
    char jcc[6] = {0x0f, (char)(0x80 | (branch & 0xf))};
    struct code code = CALL_TO(trampoline);
    if (branch == TP_BRANCH_JMP)
        code.bytes = "\xe9\0\0\0\0";
    if (branch >= TP_BRANCH_JCC)
        code = (struct code){jcc, 6, 2, 6, trampoline};
    uintptr_t address = put_code(world, code, code.length);
    add_site(world, TP_KIND_STATIC_CALL, address, code.length, (uintptr_t)cell, trampoline, branch);
    return address;
}

static inline uintptr_t put_branch(struct world *world, const uint64_t *cell, unsigned length,
                                   uintptr_t target, unsigned detail) {
    char jump[2] = {(char)0xeb, (char)(target - (next_address(world) + 2))};
    struct code code = length == 5 ? CODE_TO("\xe9\0\0\0\0", 1, 5, target) : (struct code){jump, 2, 0, 0, 0};
    if (!(detail & TP_KEY_STARTS_AS_JUMP))
        code = length == 5 ? CODE("\x0f\x1f\x44\0\0") : CODE("\x66\x90");
    uintptr_t address = put_code(world, code, length);
    add_site(world, TP_KIND_STATIC_KEY, address, length, (uintptr_t)cell, target, detail);
    return address;
}

static inline uintptr_t put_lock(struct world *world) {
    uintptr_t address = put_code(world, CODE("\xf0\xff\x07"), 3);
    add_site(world, TP_KIND_LOCK_PREFIX, address, 1, 0, 0, 0);
    return address;
}

/* `length` 0: as long as the longest form. */
static inline uintptr_t put_alternative(struct world *world, unsigned length, struct code original,
                                        const struct choice *choices, unsigned count) {
    uintptr_t copy = put_original(world, original);
    length = length ? length : original.length;
    for (unsigned i = 0; i < count; i++)
        length = choices[i].code.length > length ? choices[i].code.length : length;
    uintptr_t address = put_code(world, original, length);
    for (unsigned i = 0; i < count; i++)
        add_site(world, TP_KIND_ALTERNATIVE, address, length, put_replacement(world, choices[i].code), copy,
                 choices[i].feature);
    return address;
}

static inline void use_image(struct world *world) {
    enum tp_status status = tp_image_add(&world->image);
    if (status != TP_OK)
        fail_msg("%s", port_log);
}

#endif
