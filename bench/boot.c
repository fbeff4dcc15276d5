/* SPDX-License-Identifier: MIT */
/*
 * The boot pass at scale: tp_apply() over 65,536 sites in 8.6 MB, against memcpy of the same bytes.
 *
 * Rows
 *   boot.warm        ns a site; text and tables read just before
 *   boot.cold        ns a site; every line of text and tables flushed just before
 *   boot.site_bytes  of the record table and its index
 *   Their reference: 7-byte memcpy, inlined by the compiler, from an array of {address, bytes} in order of address.
 *
 * How it works
 *   A kernel is made up in memory: op calls of 6 and 7 bytes through 64 slots, as many static calls' trampolines,
 *   and alternatives, 120 to 142 bytes apart. A slot's width is the op's, as in a kernel. The library sees
 *   the records of any other image, and all its checks are on. The port maps nothing, as the text is writable: a kernel
 *   at CPL 0 pays for two writes of CR0 instead. One serialising instruction is part of each pass, as in a kernel;
 *   where it is CPUID, it traps to the hypervisor.
 */
#include "bench.h"
#include "library.h"

#include <sys/mman.h>
#include <time.h>

#include <textpatch/textpatch.h>

enum {
    SITES = 65536,
    SLOTS = 64,
    CALLS = 64,
    SPACING = 131,
    TEXT_SIZE = (SITES + 1) * SPACING + 4096,
    PAIRS = 151,
    LINE = 64,
};

struct form {
    uint8_t length;
    uint8_t bytes[7];
};

/* Forms as the assembler leaves them: one right behind the other. */
struct form_table {
    uint8_t bytes[SITES * sizeof(struct form)];
    uint32_t used;
};

/* What to copy where; a 6-byte site's seventh byte is the one behind it. */
struct copy {
    uint8_t *address;
    uint8_t bytes[8];
};

/* One mapping, so that every self-relative field reaches. */
struct arena {
    uint8_t text[TEXT_SIZE] __attribute__((aligned(4096)));
    struct tp_site sites[SITES];
    uint32_t index[SITES];
    struct tp_key keys[SLOTS + CALLS];
    struct tp_inline inlines[SLOTS];
    uintptr_t slots[SLOTS + CALLS];
    char names[SLOTS + CALLS][8];
    struct form_table originals, replacements;
    uint8_t functions[SLOTS][16];
    /* From here on not the library's. */
    struct copy copies[SITES];
    uint8_t pristine[TEXT_SIZE];
    uint8_t applied[TEXT_SIZE];
};

static struct arena *arena;
static struct tp_image image;

static uint32_t random_below(uint32_t limit) {
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

/* A field that holds the distance from itself to `target`. */
static void point(int32_t *field, const void *target) {
    *field = (int32_t)((const uint8_t *)target - (const uint8_t *)field);
}

/* An inline form lies among its image's replacements. */
static const uint8_t *add_patchlet(const uint8_t *start, const uint8_t *end) {
    struct form_table *table = &arena->replacements;
    uint8_t *added = table->bytes + table->used;
    memcpy(added, start, (size_t)(end - start));
    table->used += (uint32_t)(end - start);
    return added;
}

/* What the library has to choose among: inline forms of 1 to 3 bytes, nothing, and functions without any. */
static void add_inline(unsigned slot) {
    static const struct {
        const uint8_t *start, *end;
    } patchlets[] = {
        {tp_patchlet_irq_disable, tp_patchlet_irq_disable_end}, {tp_patchlet_save_fl, tp_patchlet_save_fl_end},
        {tp_patchlet_mov64, tp_patchlet_mov64_end},             {tp_patchlet_nop, tp_patchlet_nop_end},
        {tp_patchlet_write_cr3, tp_patchlet_write_cr3_end},     {tp_patchlet_restore_fl, tp_patchlet_restore_fl_end},
    };
    unsigned which = slot / 2 % (sizeof patchlets / sizeof *patchlets);
    const uint8_t *start = add_patchlet(patchlets[which].start, patchlets[which].end);
    struct tp_inline *form = &arena->inlines[image.inline_count++];
    point(&form->function, arena->functions[slot]);
    point(&form->start, start);
    point(&form->end, start + (patchlets[which].end - patchlets[which].start));
}

static void make_keys(void) {
    for (unsigned i = 0; i < SLOTS + CALLS; i++) {
        struct tp_key *key = &arena->keys[i];
        snprintf(arena->names[i], sizeof arena->names[i], "%s%u", i < SLOTS ? "op" : "call", i);
        point(&key->cell, &arena->slots[i]);
        point(&key->name, arena->names[i]);
        key->kind = i < SLOTS ? TP_KEY_KIND_OP : TP_KEY_KIND_STATIC_CALL;
        arena->slots[i] = (uintptr_t)arena->functions[i % SLOTS];
        if (i < SLOTS && i % 2)
            add_inline(i);
    }
}

/* jmp or call *slot(%rip), with CS prefixes in front. */
static void write_indirect(uint8_t *text, unsigned length, uint8_t modrm, const void *slot) {
    memset(text, 0x2e, length - 6);
    text[length - 6] = 0xff;
    text[length - 5] = modrm;
    int32_t distance = (int32_t)((const uint8_t *)slot - (text + length));
    memcpy(text + length - 4, &distance, 4);
}

static void make_op(struct tp_site *site, uint8_t *text, unsigned slot) {
    site->length = (uint8_t)(6 + slot / 4 % 2);
    site->kind = TP_RECORD_VERSION << 4 | TP_KIND_OP;
    point(&site->key, &arena->slots[slot]);
    write_indirect(text, site->length, 0x15, &arena->slots[slot]);
}

static void make_trampoline(struct tp_site *site, uint8_t *text, unsigned call) {
    site->length = 6;
    site->kind = TP_RECORD_VERSION << 4 | TP_KIND_TRAMPOLINE;
    site->detail = TP_BRANCH_JMP;
    point(&site->key, &arena->slots[SLOTS + call]);
    write_indirect(text, 6, 0x25, &arena->slots[SLOTS + call]);
}

/* One form, in its table. */
static struct tp_form *add_form(struct form_table *table, const struct form *form) {
    struct tp_form *added = (struct tp_form *)(table->bytes + table->used);
    memcpy(added, form, 1u + form->length);
    table->used += 1u + form->length;
    return added;
}

/* Three of four are eligible. Some forms fill the site, others are padded, and one of each is empty. */
static void make_alternative(struct tp_site *site, uint8_t *text) {
    static const struct {
        uint8_t length;
        struct form original, replacement;
    } kinds[] = {
        {7, {7, {0x48, 0xc7, 0xc0, 1, 0, 0, 0}}, {5, {0xb8, 1, 0, 0, 0}}},            /* mov $1: to rax, to eax */
        {6, {3, {0x0f, 0xae, 0xf0}}, {6, {0xf0, 0x83, 0x44, 0x24, 0xfc, 0}}},         /* mfence; lock addl */
        {6, {2, {0x89, 0xf8}}, {5, {0xf3, 0x48, 0x0f, 0xb8, 0xc7}}},                  /* mov; popcnt */
        {7, {7, {0x48, 0x81, 0xc0, 0, 1, 0, 0}}, {4, {0x48, 0x83, 0xc0, 0x40}}},      /* add */
        {6, {0, {0}}, {3, {0x0f, 0x01, 0xca}}},                                       /* nothing; clac */
        {7, {2, {0x0f, 0x31}}, {6, {0x0f, 0xae, 0xe8, 0x0f, 0x01, 0xf9}}},            /* rdtsc; lfence, rdtscp */
        {6, {6, {0x81, 0xe0, 0xff, 0, 0, 0}}, {0, {0}}},                              /* and; nothing */
        {7, {2, {0xf3, 0xa4}}, {2, {0xf3, 0xa5}}},                                    /* rep movsb; rep movsl */
    };
    unsigned kind = random_below(sizeof kinds / sizeof *kinds);
    const struct form *original = &kinds[kind].original;
    site->length = kinds[kind].length;
    site->kind = TP_RECORD_VERSION << 4 | TP_KIND_ALTERNATIVE;
    site->detail = (uint16_t)TP_FEATURE_KERNEL(random_below(8));
    point(&site->key, add_form(&arena->replacements, &kinds[kind].replacement));
    point(&site->form, add_form(&arena->originals, original));
    memset(text, 0x90, site->length);
    memcpy(text, original->bytes, original->length);
}

static void make_sites(void) {
    uint8_t *text = arena->text;
    memset(arena->text, 0xcc, sizeof arena->text);
    for (unsigned i = 0; i < SITES; i++) {
        struct tp_site *site = &arena->sites[i];
        point(&site->text, text);
        if (i % (SITES / CALLS) == 9)
            make_trampoline(site, text, i / (SITES / CALLS));
        else if (random_below(8) == 0)
            make_alternative(site, text);
        else
            make_op(site, text, random_below(SLOTS));
        text += SPACING - 11 + random_below(23);
    }
    if (text > arena->text + TEXT_SIZE)
        bench_die("boot: the text is too small");
}

static void make_arena(void) {
    enum { HUGE = 2 << 20 };
    size_t size = (sizeof *arena + HUGE - 1) / HUGE * HUGE;
    /* Away from the program, and from where the C library puts things. */
    void *wanted = (void *)0x20000000, *got = mmap(wanted, size, PROT_READ | PROT_WRITE | PROT_EXEC,
                                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted)
        bench_die("boot: no memory at %p", wanted);
    /* As kernels map their text. */
    if (madvise(got, size, MADV_HUGEPAGE) != 0)
        fprintf(stderr, "boot: in pages of 4 KiB\n");
    arena = got;
}

static void *map_text(uintptr_t address, size_t length) {
    (void)length;
    return (void *)address;
}

static void unmap_text(void *alias, size_t length) {
    (void)alias, (void)length;
}

static void start_library(void) {
    static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text};
    image.name = "synthetic";
    image.text_start = (uintptr_t)arena->text;
    image.text_end = (uintptr_t)arena->text + sizeof arena->text;
    image.sites = arena->sites;
    image.site_count = SITES;
    image.keys = arena->keys;
    image.key_count = SLOTS + CALLS;
    image.inlines = arena->inlines;
    image.originals = arena->originals.bytes;
    image.originals_end = arena->originals.bytes + arena->originals.used;
    image.replacements = arena->replacements.bytes;
    image.replacements_end = arena->replacements.bytes + arena->replacements.used;
    image.index = arena->index;
    bench_must(tp_init(&port));
    for (unsigned i = 0; i < 6; i++)
        bench_must(tp_feature_set((uint16_t)TP_FEATURE_KERNEL(i)));
    bench_must(tp_image_add(&image));
}

/* What memcpy has to write, from what the library wrote; proof, too, that both do the same work. */
static void prepare_copies(void) {
    memcpy(arena->pristine, arena->text, TEXT_SIZE);
    bench_must(tp_apply());
    bench_must(tp_audit(NULL, NULL));
    memcpy(arena->applied, arena->text, TEXT_SIZE);
    for (unsigned i = 0; i < SITES; i++) {
        const struct tp_site *site = &arena->sites[i];
        arena->copies[i].address = (uint8_t *)&site->text + site->text;
        memcpy(arena->copies[i].bytes, arena->copies[i].address, sizeof arena->copies[i].bytes);
    }
    bench_must(tp_revert());
    if (memcmp(arena->text, arena->pristine, TEXT_SIZE) != 0)
        bench_die("boot: tp_revert() left changes");
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static bool cold;

/* Either reads every line, or throws it out of all caches. */
static void treat(const void *start, size_t size) {
    const volatile uint8_t *bytes = start;
    for (size_t i = 0; i < size; i += LINE) {
        if (cold)
            __builtin_ia32_clflush((const void *)(bytes + i));
        else
            (void)bytes[i];
    }
    __builtin_ia32_mfence();
}

static double time_apply(void) {
    treat(arena->text, offsetof(struct arena, copies));
    double start = now();
    enum tp_status status = tp_apply();
    double end = now();
    bench_must(status);
    if (memcmp(arena->text, arena->applied, TEXT_SIZE) != 0)
        bench_die("boot: tp_apply() wrote other bytes than before");
    bench_must(tp_revert());
    return (end - start) / SITES;
}

static void copy_all(void) {
    for (unsigned i = 0; i < SITES; i++)
        memcpy(arena->copies[i].address, arena->copies[i].bytes, 7);
    __asm__ volatile("" : : : "memory");
}

static double time_copies(void) {
    treat(arena->text, sizeof arena->text);
    treat(arena->copies, sizeof arena->copies);
    double start = now();
    copy_all();
    double end = now();
    if (memcmp(arena->text, arena->applied, TEXT_SIZE) != 0)
        bench_die("boot: the copies are not what tp_apply() wrote");
    memcpy(arena->text, arena->pristine, TEXT_SIZE);
    return (end - start) / SITES;
}

static void measure(const char *name, bool from_cold) {
    static const struct bench_pair pair = {time_apply, time_copies};
    cold = from_cold;
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row(name, &result, 1, "ns");
}

int main(void) {
    bench_pin();
    make_arena();
    make_keys();
    make_sites();
    start_library();
    prepare_copies();
    fprintf(stderr, "boot: %u sites in %.1f MB; each pass ends with %s\n", SITES, TEXT_SIZE / 1e6,
            tp_feature_test(TP_FEATURE_SERIALIZE) ? "SERIALIZE" : "CPUID, which traps to a hypervisor");
    measure("boot.warm", false);
    measure("boot.cold", true);
    printf("boot.site_bytes,%zu,bytes,20,%.3f\n", sizeof(struct tp_site) + sizeof *image.index,
           (double)(sizeof(struct tp_site) + sizeof *image.index) / 20);
    return 0;
}
