/* SPDX-License-Identifier: MIT */
/*
 * bad_images: a second image, made in memory, that is right at first and then wrong in one record each.
 *
 *   right: added, applied, audited, updated with the kernel's keys, reverted, removed
 *   each wrong record has its status, and its site in the error; no text is changed, the image's or the kernel's
 *   what can't be told before apply: out of reach, unexpected bytes; nothing is written then, not even in other images
 *   the kernel's own image goes on working
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "support.h"

enum { SITES = 12, TEXT = 512, OP = 0, CHOICE = 1, KEY = 2, LOCK = 3, CALL = 4, RIGHT_SITES = 5 };
enum { OP_AT = 16, CHOICE_AT = 64, KEY_AT = 128, LOCK_AT = 160, CALL_AT = 192 };

static struct {
    uint8_t before[64], text[TEXT], behind[64]; /* never executed */
    uint8_t originals[64], replacements[64];
    struct tp_site sites[SITES];
    struct tp_key keys[4];
    struct tp_inline inlines[4];
    uint32_t index[SITES];
    uint64_t cells[4]; /* an op's, a static call's, a static key's, none's */
} module;
static struct tp_image image;

static struct {
    unsigned long (*shared)(void); /* the kernel's slot that the image uses too */
} image_ops = {tp_return0};
TP_OPS(image) { TP_OP(image_ops.shared); }

static void point(int32_t *field, const void *target) {
    *field = (int32_t)((intptr_t)target - (intptr_t)field);
}

static void put(uint8_t *at, const char *bytes, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        at[i] = (uint8_t)bytes[i];
}

/* opcode, then the distance to the target */
static void put_branch(uint8_t *at, const char *opcode, unsigned count, const void *target) {
    int32_t distance = (int32_t)((intptr_t)target - (intptr_t)(at + count + 4));
    put(at, opcode, count);
    for (unsigned i = 0; i < 4; i++)
        at[count + i] = (uint8_t)((uint32_t)distance >> 8 * i);
}

static void set_site(unsigned number, unsigned at, unsigned length, unsigned kind, const void *key, const void *form,
                     unsigned detail) {
    struct tp_site *site = &module.sites[number];
    *site = (struct tp_site){.length = (uint8_t)length,
                             .kind = (uint8_t)(TP_RECORD_VERSION << 4 | kind),
                             .detail = (uint16_t)detail};
    point(&site->text, module.text + at);
    if (key)
        point(&site->key, key);
    if (form)
        point(&site->form, form);
}

static void set_key(unsigned number, unsigned kind, const void *cell) {
    struct tp_key *key = &module.keys[number];
    *key = (struct tp_key){.kind = (uint16_t)kind};
    point(&key->cell, cell);
    point(&key->name, "image's key");
}

static void set_inline(unsigned number, const void *function, const uint8_t *start, const uint8_t *end) {
    point(&module.inlines[number].function, function);
    point(&module.inlines[number].start, start);
    point(&module.inlines[number].end, end);
}

static void build_text(void) {
    for (unsigned i = 0; i < TEXT; i++)
        module.text[i] = 0xcc;
    put_branch(module.text + OP_AT, "\xff\x15", 2, &module.cells[0]);
    put(module.text + CHOICE_AT, "\x31\xc0\x90\x90\x90", 5);
    put(module.text + KEY_AT, "\x0f\x1f\x44\x00\x00", 5);
    put(module.text + LOCK_AT, "\xf0", 1);
    put_branch(module.text + CALL_AT, "\xff\x25", 2, &module.cells[1]);
}

static void build_image(void) {
    build_text();
    put(module.originals, "\x02\x31\xc0", 3);
    put(module.replacements, "\x05\xb8\x01\x00\x00\x00\x90", 7);
    module.cells[0] = module.cells[1] = (uintptr_t)tp_identity64;
    module.cells[2] = 0;
    set_key(0, TP_KEY_KIND_OP, &module.cells[0]);
    set_key(1, TP_KEY_KIND_STATIC_CALL, &module.cells[1]);
    set_key(2, TP_KEY_KIND_STATIC_KEY, &module.cells[2]);
    set_site(OP, OP_AT, 6, TP_KIND_OP, &module.cells[0], NULL, TP_BRANCH_CALL);
    set_site(CHOICE, CHOICE_AT, 5, TP_KIND_ALTERNATIVE, module.replacements, module.originals, TP_FEATURE_ALWAYS);
    set_site(KEY, KEY_AT, 5, TP_KIND_STATIC_KEY, &module.cells[2], module.text + 256, TP_KEY_JUMPS_IF_ENABLED);
    set_site(LOCK, LOCK_AT, 1, TP_KIND_LOCK_PREFIX, NULL, NULL, 0);
    set_site(CALL, CALL_AT, 6, TP_KIND_TRAMPOLINE, &module.cells[1], NULL, TP_BRANCH_JMP);
    image = (struct tp_image){.name = "image in memory",
                              .text_start = (uintptr_t)module.text,
                              .text_end = (uintptr_t)module.text + TEXT,
                              .sites = module.sites,
                              .site_count = RIGHT_SITES,
                              .keys = module.keys,
                              .key_count = 3,
                              .inlines = module.inlines,
                              .originals = module.originals,
                              .originals_end = module.originals + sizeof module.originals,
                              .replacements = module.replacements,
                              .replacements_end = module.replacements + sizeof module.replacements,
                              .index = module.index};
}

static uint64_t hash_image(void) { return hash_bytes(module.text, TEXT); }

static void works_if_right(void) {
    build_image();
    set_site(RIGHT_SITES, 320, 6, TP_KIND_OP, &image_ops.shared, NULL, TP_BRANCH_CALL);
    put_branch(module.text + 320, "\xff\x15", 2, &image_ops.shared);
    image.site_count++;
    uint64_t pristine = hash_image();
    REQUIRE(start_applied());
    uint64_t kernel = hash_text();
    REQUIRE_OK(tp_image_add(&image));
    EXPECT_EQUAL(hash_image(), pristine);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), kernel);
    EXPECT_BYTES(module.text + OP_AT, 0x2e, 0x2e, 0x2e, 0x48, 0x89, 0xf8);
    EXPECT_BYTES(module.text + CHOICE_AT, 0xb8, 1, 0, 0, 0);
    EXPECT_BYTES(module.text + LOCK_AT, 0x3e);
    EXPECT_BYTES(module.text + CALL_AT, 0x2e, 0xe9);
    EXPECT_BYTES(module.text + 320, 0x2e, 0x2e, 0x2e, 0x2e, 0x31, 0xc0);
    EXPECT_OK(tp_key_update(&module.cells[2], 1));
    EXPECT_BYTES(module.text + KEY_AT, 0xe9, 256 - KEY_AT - 5, 0, 0, 0);
    EXPECT_OK(tp_op_update(image_ops.shared, (unsigned long (*)(void))tp_nop_function));
    EXPECT_BYTES(module.text + 320, 0x66, 0x0f, 0x1f, 0x44, 0, 0);
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_op_update(image_ops.shared, tp_return0));
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_IN_USE);
    EXPECT_STATUS(tp_image_add(&image), TP_ERR_IMAGE_KNOWN);
    REQUIRE_OK(tp_revert());
    EXPECT_EQUAL(hash_image(), pristine);
    EXPECT(text_is_pristine());
    EXPECT_OK(tp_image_remove(&image));
    EXPECT_STATUS(tp_image_remove(&image), TP_ERR_IMAGE_UNKNOWN);
}

struct fault {
    const char *name;
    void (*make)(void);
    enum tp_status status;
    int at; /* of the site that the error names; 0: none */
};

static void raise_version(void) { module.sites[OP].kind += 0x10; }
static void clear_kind(void) { module.sites[OP].kind = TP_RECORD_VERSION << 4; }
static void raise_kind(void) { module.sites[LOCK].kind = TP_RECORD_VERSION << 4 | 7; }
static void name_synthetic(void) { module.sites[CHOICE].detail = TP_FEATURE(12, 31); }
static void name_negated(void) { module.sites[CHOICE].detail = TP_NOT(TP_FEATURE(12, 30)); }
static void name_beyond(void) { module.sites[CHOICE].detail = TP_FEATURE(TP_FEATURE_WORDS, 0); }
static void forget_key(void) { point(&module.sites[OP].key, &module.cells[3]); }
static void mistake_key(void) { point(&module.sites[OP].key, &module.cells[2]); }
static void double_key(void) { set_key(1, TP_KEY_KIND_STATIC_CALL, &module.cells[0]); }
static void take_kernels_key(void) { set_key(2, TP_KEY_KIND_OP, &image_ops.shared); }
static void empty_site(void) { module.sites[LOCK].length = 0; }
static void shorten_op(void) { module.sites[OP].length = 5; }
static void lengthen_op(void) { module.sites[OP].length = 16; }
static void turn_op(void) { module.sites[OP].detail = 2; }
static void lengthen_key(void) { module.sites[KEY].length = 6; }
static void lengthen_lock(void) { module.sites[LOCK].length = 2; }
static void shorten_call(void) { module.sites[CALL].length = 5; }
static void lengthen_jcc(void) {
    set_site(CALL, CALL_AT, 7, TP_KIND_STATIC_CALL, &module.cells[1], module.text, TP_BRANCH_JCC | 4);
}
static void lengthen_original(void) { module.originals[0] = 6; }
static void move_before(void) { point(&module.sites[LOCK].text, module.text - 1); }
static void move_behind(void) { point(&module.sites[LOCK].text, module.text + TEXT); }
static void move_across(void) { point(&module.sites[OP].text, module.text + TEXT - 5); }
static void jump_away(void) { point(&module.sites[KEY].form, module.text + TEXT); }
static void lose_replacement(void) { point(&module.sites[CHOICE].key, module.replacements + 64); }
static void lose_original(void) { point(&module.sites[CHOICE].form, module.originals - 1); }
static void cross_replacements(void) {
    point(&module.sites[CHOICE].key, module.replacements + 60);
    module.replacements[60] = 5;
}
static void lengthen_replacement(void) { module.replacements[0] = 6; }
static void overlap_ops(void) {
    set_site(5, OP_AT + 3, 6, TP_KIND_OP, &module.cells[0], NULL, TP_BRANCH_CALL);
    image.site_count++;
}
static void double_op(void) {
    set_site(5, OP_AT, 6, TP_KIND_OP, &module.cells[0], NULL, TP_BRANCH_CALL);
    image.site_count++;
}
static void leave_choice(void) {
    set_site(5, CHOICE_AT + 4, 6, TP_KIND_OP, &module.cells[0], NULL, TP_BRANCH_CALL);
    image.site_count++;
}
static void nest_deeply(void) {
    for (unsigned i = RIGHT_SITES; i < SITES; i++)
        set_site(i, CHOICE_AT, 5, TP_KIND_ALTERNATIVE, module.replacements, module.originals, TP_FEATURE_ALWAYS);
    set_site(LOCK, CHOICE_AT, 5, TP_KIND_ALTERNATIVE, module.replacements, module.originals, TP_FEATURE_ALWAYS);
    image.site_count = SITES;
}
static void truncate_replacement(void) { module.replacements[0] = 4; }
static void spoil_replacement(void) { module.replacements[1] = 0x06; }
static void use_inline(const void *function, const uint8_t *start, const uint8_t *end) {
    set_inline(0, function, start, end);
    image.inline_count = 1;
}
static void turn_inline(void) { use_inline(module.text, module.replacements + 2, module.replacements + 1); }
static void lengthen_inline(void) { use_inline(module.text, module.text, module.text + 16); }
static void truncate_inline(void) { use_inline(module.text, module.replacements + 1, module.replacements + 5); }
static void double_inline(void) {
    use_inline(module.text, module.originals + 1, module.originals + 3);
    set_inline(1, module.text, module.originals + 1, module.originals + 3);
    image.inline_count = 2;
}
static void take_kernels_inline(void) { use_inline(tp_return0, module.originals + 1, module.originals + 3); }
static void empty_table(void) { image.site_count = 0; }
static void overlap_kernel(void) { image.text_end = (uintptr_t)text_end, image.text_start = image.text_end - 1; }
static void turn_text(void) { image.text_end = image.text_start; }
static void forget_name(void) { image.name = NULL; }
static void forget_index(void) { image.index = NULL; }
static void forget_sites(void) { image.sites = NULL; }
static void forget_keys(void) { image.keys = NULL; }

static const struct fault faults[] = {
    {"version", raise_version, TP_ERR_RECORD_VERSION, OP_AT},
    {"kind 0", clear_kind, TP_ERR_UNKNOWN_KIND, OP_AT},
    {"kind 7", raise_kind, TP_ERR_UNKNOWN_KIND, LOCK_AT},
    {"a synthetic feature without a name", name_synthetic, TP_ERR_UNKNOWN_FEATURE, CHOICE_AT},
    {"the same negated", name_negated, TP_ERR_UNKNOWN_FEATURE, CHOICE_AT},
    {"a feature beyond the words", name_beyond, TP_ERR_UNKNOWN_FEATURE, CHOICE_AT},
    {"a cell without a key", forget_key, TP_ERR_UNKNOWN_KEY, OP_AT},
    {"a key of another kind", mistake_key, TP_ERR_UNKNOWN_KEY, OP_AT},
    {"two keys for a cell", double_key, TP_ERR_DUPLICATE_KEY, 0},
    {"a key that the kernel has", take_kernels_key, TP_ERR_DUPLICATE_KEY, 0},
    {"no length", empty_site, TP_ERR_SITE_LENGTH, LOCK_AT},
    {"an op of 5 bytes", shorten_op, TP_ERR_SITE_LENGTH, OP_AT},
    {"an op of 16 bytes", lengthen_op, TP_ERR_SITE_LENGTH, OP_AT},
    {"an op that neither calls nor jumps", turn_op, TP_ERR_UNKNOWN_KIND, OP_AT},
    {"a static key of 6 bytes", lengthen_key, TP_ERR_SITE_LENGTH, KEY_AT},
    {"a lock prefix of 2 bytes", lengthen_lock, TP_ERR_SITE_LENGTH, LOCK_AT},
    {"a trampoline of 5 bytes", shorten_call, TP_ERR_SITE_LENGTH, CALL_AT},
    {"a jcc of 7 bytes", lengthen_jcc, TP_ERR_SITE_LENGTH, CALL_AT},
    {"an original longer than its site", lengthen_original, TP_ERR_SITE_LENGTH, CHOICE_AT},
    {"a site before the text", move_before, TP_ERR_SITE_OUTSIDE_IMAGE, -1},
    {"a site behind the text", move_behind, TP_ERR_SITE_OUTSIDE_IMAGE, TEXT},
    {"a site across the end", move_across, TP_ERR_SITE_OUTSIDE_IMAGE, TEXT - 5},
    {"a jump out of the text", jump_away, TP_ERR_FORM_OUTSIDE_IMAGE, KEY_AT},
    {"a replacement elsewhere", lose_replacement, TP_ERR_FORM_OUTSIDE_IMAGE, CHOICE_AT},
    {"an original elsewhere", lose_original, TP_ERR_FORM_OUTSIDE_IMAGE, CHOICE_AT},
    {"a replacement across the end", cross_replacements, TP_ERR_FORM_OUTSIDE_IMAGE, CHOICE_AT},
    {"a replacement longer than its site", lengthen_replacement, TP_ERR_REPLACEMENT_TOO_LONG, CHOICE_AT},
    {"ops that overlap", overlap_ops, TP_ERR_SITE_OVERLAP, OP_AT + 3},
    {"two ops in a place", double_op, TP_ERR_SITE_OVERLAP, OP_AT},
    {"an op across an alternative's end", leave_choice, TP_ERR_SITE_OVERLAP, CHOICE_AT + 4},
    {"nine alternatives in a place", nest_deeply, TP_ERR_NESTED_TOO_DEEP, CHOICE_AT},
    {"half an instruction", truncate_replacement, TP_ERR_TRUNCATED_INSN, CHOICE_AT},
    {"no instruction", spoil_replacement, TP_ERR_BAD_INSN, CHOICE_AT},
    {"an inline form that ends before it starts", turn_inline, TP_ERR_BAD_INLINE, 0},
    {"an inline form of 16 bytes", lengthen_inline, TP_ERR_BAD_INLINE, 0},
    {"an inline form of half an instruction", truncate_inline, TP_ERR_BAD_INLINE, 0},
    {"two inline forms of a function", double_inline, TP_ERR_BAD_INLINE, 0},
    {"an inline form of a function that has one", take_kernels_inline, TP_ERR_BAD_INLINE, 0},
    {"no record", empty_table, TP_ERR_EMPTY_TABLE, 0},
    {"the kernel's text", overlap_kernel, TP_ERR_IMAGE_OVERLAP, 0},
    {"no text", turn_text, TP_ERR_BAD_ARGUMENT, 0},
    {"no name", forget_name, TP_ERR_BAD_ARGUMENT, 0},
    {"no index", forget_index, TP_ERR_BAD_ARGUMENT, 0},
    {"no sites", forget_sites, TP_ERR_BAD_ARGUMENT, 0},
    {"no keys", forget_keys, TP_ERR_BAD_ARGUMENT, 0},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static bool try_fault(const struct fault *fault, uint64_t kernel) {
    build_image();
    fault->make();
    uint64_t before = hash_image();
    enum tp_status status = tp_image_add(&image);
    bool held = EXPECT_STATUS(status, fault->status);
    if (fault->at)
        held &= EXPECT_EQUAL(tp_last_error()->site, (uintptr_t)(module.text + fault->at));
    held &= EXPECT_EQUAL(hash_image(), before);
    held &= EXPECT_EQUAL(hash_text(), kernel);
    held &= EXPECT_OK(tp_audit(NULL, NULL));
    if (status == TP_OK)
        EXPECT_OK(tp_image_remove(&image));
    return held;
}

static void refuses_faults(void) {
    REQUIRE(start_applied());
    uint64_t kernel = hash_text();
    for (unsigned i = 0; i < FAULTS; i++)
        if (!try_fault(&faults[i], kernel))
            print_format("# with: %s\n", faults[i].name);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), kernel);
    build_image(); /* and the right one is still welcome */
    REQUIRE_OK(tp_image_add(&image));
    REQUIRE_OK(tp_apply());
    REQUIRE_OK(tp_revert());
    EXPECT_OK(tp_image_remove(&image));
}

/* Added, but wrong in a way that shows when it is to be written. */
static void expect_apply(void (*make)(void), enum tp_status status, unsigned at) {
    REQUIRE(start_library(&alias_port));
    build_image();
    make();
    uint64_t before = hash_image();
    REQUIRE_OK(tp_image_add(&image));
    EXPECT_STATUS(tp_apply(), status);
    EXPECT_EQUAL(tp_last_error()->site, (uintptr_t)module.text + at);
    EXPECT_EQUAL(hash_image(), before);
    EXPECT(text_is_pristine()); /* the kernel's image comes before this one */
    EXPECT_OK(tp_image_remove(&image));
    EXPECT_OK(tp_finish());
}

static void target_far_away(void) { module.cells[0] = 0x700000000000; }
static void spoil_op(void) { module.text[OP_AT + 1] = 0x25; }
static void spoil_choice(void) { module.text[CHOICE_AT + 4] = 0x91; }
static void spoil_key(void) { module.text[KEY_AT] = 0x0e; }
static void spoil_lock(void) { module.text[LOCK_AT] = 0xf2; }
static void call_from_afar(void) { put(module.replacements, "\x05\xe8\xf0\xff\xff\x7f", 6); }
static void load_from_afar(void) {
    put(module.replacements, "\x07\x48\x8b\x05\xf0\xff\xff\x7f", 8);
    put(module.text + CHOICE_AT, "\x31\xc0\x90\x90\x90\x90\x90", 7);
    module.sites[CHOICE].length = 7;
}

static void refuses_at_apply(void) {
    expect_apply(target_far_away, TP_ERR_OUT_OF_REACH, OP_AT);
    EXPECT(tp_last_error()->distance > INT32_MAX);
    expect_apply(call_from_afar, TP_ERR_OUT_OF_REACH, CHOICE_AT);
    EXPECT(tp_last_error()->distance > INT32_MAX);
    expect_apply(load_from_afar, TP_ERR_OUT_OF_REACH, CHOICE_AT);
    expect_apply(spoil_op, TP_ERR_UNEXPECTED_BYTES, OP_AT);
    expect_apply(spoil_choice, TP_ERR_UNEXPECTED_BYTES, CHOICE_AT);
    expect_apply(spoil_lock, TP_ERR_UNEXPECTED_BYTES, LOCK_AT);
}

/* A NOP that apply would leave alone is looked at when its key changes, and by an audit. */
static void refuses_updates(void) {
    REQUIRE(start_library(&alias_port));
    build_image();
    REQUIRE_OK(tp_image_add(&image));
    REQUIRE_OK(tp_apply());
    uint64_t kernel = hash_text(), own = hash_image();
    EXPECT_STATUS(tp_key_update(&module.cells[0], 0x700000000000), TP_ERR_OUT_OF_REACH);
    EXPECT_EQUAL(module.cells[0], (uintptr_t)tp_identity64);
    EXPECT_STATUS(tp_key_update(&module.cells[3], 1), TP_ERR_UNKNOWN_KEY);
    EXPECT_EQUAL(hash_image(), own);
    spoil_key();
    EXPECT_EQUAL(count_differences(NULL), 1);
    EXPECT_STATUS(tp_key_update(&module.cells[2], 1), TP_ERR_UNEXPECTED_BYTES);
    EXPECT_EQUAL(module.cells[2], 0);
    module.text[KEY_AT] = 0x0f;
    EXPECT_EQUAL(hash_image(), own);
    EXPECT_EQUAL(hash_text(), kernel);
    REQUIRE_OK(tp_revert());
    EXPECT_OK(tp_image_remove(&image));
}

KTAP_SUITE(bad_images, {"a right image works", works_if_right}, {"each wrong record is refused", refuses_faults},
           {"what shows at apply changes nothing", refuses_at_apply},
           {"what shows at an update changes nothing", refuses_updates});
