/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "ktap.h"
#include "platform.h"
#include "pv_ops.h"

enum { PRISTINE_ROOM = 1 << 20 };

static uint8_t pristine[PRISTINE_ROOM];
static uint64_t pristine_hash;
static bool library_runs;

const struct tp_port alias_port = {.map_text = map_text, .unmap_text = unmap_text, .cpuid = ask_cpuid};
struct tp_image kernel_image;

static size_t text_length(void) {
    return (size_t)(text_end - text_start);
}

/* FNV-1a, 64 bits. */
uint64_t hash_bytes(const void *bytes, size_t length) {
    const volatile uint8_t *byte = bytes;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

uint64_t hash_text(void) {
    return hash_bytes(text_start, text_length());
}

void keep_pristine_text(void) {
    if (text_length() > sizeof pristine)
        panic("support.c keeps %u bytes of text, and there are %lu", PRISTINE_ROOM, text_length());
    for (size_t i = 0; i < text_length(); i++)
        pristine[i] = text_start[i];
    pristine_hash = hash_text();
}

bool text_is_pristine(void) {
    return hash_text() == pristine_hash;
}

static void serialize(void) {
    uint32_t eax = 0, ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx", "memory");
}

void poke_text(uintptr_t address, const void *bytes, size_t length) {
    const uint8_t *from = bytes;
    volatile uint8_t *alias = map_text(address, length);
    if (!alias)
        panic("no alias of %p", (void *)address);
    for (size_t i = 0; i < length; i++)
        alias[i] = from[i];
    unmap_text((void *)alias, length);
    serialize();
}

void flip_byte(uintptr_t address) {
    uint8_t byte = *(const volatile uint8_t *)address ^ 0xff;
    poke_text(address, &byte, 1);
}

bool start_library(const struct tp_port *port) {
    library_runs = EXPECT_OK(tp_init(port));
    if (!library_runs)
        return false;
    if (world == WORLD_XEN_PV && !EXPECT_OK(tp_feature_set(TP_FEATURE_XEN_PV)))
        return false;
    tp_kernel_image(&kernel_image, text_start, text_end);
    return EXPECT_OK(tp_image_add(&kernel_image));
}

bool start_applied(void) {
    return start_library(&alias_port) && EXPECT_OK(tp_apply());
}

void open_case(void) {
    mask_interrupts();
    choose_pv_ops();
}

/* A case may have ended the library's use itself, or have shown that its port is not good for writing. */
static void stop_library(void) {
    enum tp_status status = tp_revert();
    if (status != TP_ERR_NOT_INITIALIZED && status != TP_ERR_NOT_APPLIED && status != TP_ERR_PORT_HOOK_MISSING)
        EXPECT_OK(status);
    status = tp_finish();
    if (status != TP_ERR_NOT_INITIALIZED)
        EXPECT_OK(status);
}

/* A case that leaves its text behind must not spoil the next one. */
void close_case(void) {
    mask_interrupts();
    stop_library();
    unprotect_text();
    if (EXPECT(text_is_pristine()))
        return;
    for (size_t i = 0; i < text_length(); i++)
        if (text_start[i] != pristine[i])
            poke_text((uintptr_t)text_start + i, &pristine[i], 1);
}

struct search {
    uintptr_t address;
    unsigned left;
    bool found;
    struct tp_site_info site;
};

/* Records of one place count once. */
static bool compare_site(const struct tp_site_info *site, void *argument) {
    struct search *search = argument;
    if (site->address < search->address || site->nested || search->left-- > 0)
        return true;
    search->found = true;
    search->site = *site;
    return false;
}

struct tp_site_info find_site(uintptr_t address, unsigned nth) {
    static const uint8_t nothing[TP_SITE_LENGTH_MAX];
    struct search search = {.address = address, .left = nth};
    tp_for_each_site(compare_site, &search);
    if (!EXPECT(search.found))
        search.site = (struct tp_site_info){.address = (uintptr_t)nothing, .length = TP_SITE_LENGTH_MAX};
    return search.site;
}

struct count {
    const void *cell; /* NULL: any */
    unsigned count;
};

static bool count_site(const struct tp_site_info *site, void *argument) {
    struct count *count = argument;
    count->count += !count->cell || site->cell == count->cell;
    return true;
}

static unsigned count_by(const void *cell) {
    struct count count = {.cell = cell};
    tp_for_each_site(count_site, &count);
    return count.count;
}

unsigned count_cell_sites(const void *cell) {
    return count_by(cell);
}

unsigned count_sites(void) {
    return count_by(NULL);
}

struct differences {
    unsigned count;
    uintptr_t first;
};

static void count_difference(const struct tp_difference *difference, void *argument) {
    struct differences *differences = argument;
    if (differences->count++ == 0)
        differences->first = difference->site.address;
}

unsigned count_differences(uintptr_t *first) {
    struct differences differences = {0};
    enum tp_status status = tp_audit(count_difference, &differences);
    EXPECT_STATUS(status, differences.count ? TP_ERR_TEXT_DIFFERS : TP_OK);
    if (first)
        *first = differences.first;
    return differences.count;
}

uintptr_t branch_target(uintptr_t opcode_address) {
    const volatile uint8_t *field = (const volatile uint8_t *)opcode_address + 1;
    uint32_t distance = 0;
    for (unsigned i = 0; i < 4; i++)
        distance |= (uint32_t)field[i] << 8 * i;
    return opcode_address + 5 + (uintptr_t)(intptr_t)(int32_t)distance;
}
