/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include <textpatch/engine.h>

#include "disassemble.h"
#include "names.h"
#include "platform.h"
#include "pv_ops.h"
#include "show.h"

enum { SITES_MAX = 128, INSTRUCTION_TEXT = 128, BYTES_TEXT = 3 * TP_OP_LENGTH_MAX + 1 };

struct kept_site {
    uintptr_t address;
    const void *cell;
    const char *key;
    uint8_t length, before[TP_OP_LENGTH_MAX];
};
static struct kept_site kept[SITES_MAX];
static unsigned kept_count;

static bool keep_site(const struct tp_site_info *site, void *unused) {
    (void)unused;
    if (kept_count == SITES_MAX || site->length > TP_OP_LENGTH_MAX)
        panic("the site at %p doesn't fit into the demo's list", (void *)site->address);
    struct kept_site *to = &kept[kept_count++];
    *to = (struct kept_site){
        .address = site->address, .cell = site->cell, .key = site->key, .length = site->length};
    for (unsigned i = 0; i < site->length; i++)
        to->before[i] = ((const uint8_t *)site->address)[i];
    return true;
}

unsigned keep_sites(void) {
    kept_count = 0;
    tp_for_each_site(keep_site, NULL);
    return kept_count;
}

void show_start(struct tp_port *port, struct tp_image *kernel) {
    if (world == WORLD_XEN_PV)
        port->cpuid = tp_xen_pv_cpuid;
    show_status("tp_init", tp_init(port));
    tp_kernel_image(kernel, text_start, text_end);
    show_status("tp_image_add", tp_image_add(kernel));
    if (world == WORLD_XEN_PV)
        require(tp_feature_set(TP_FEATURE_XEN_PV) == TP_OK, "tp_feature_set");
    print_label("sites");
    print_format("%3u\n", keep_sites());
}

static bool has_changed(const struct kept_site *site) {
    for (unsigned i = 0; i < site->length; i++)
        if (((const volatile uint8_t *)site->address)[i] != site->before[i])
            return true;
    return false;
}

unsigned count_changed_sites(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < kept_count; i++)
        count += has_changed(&kept[i]);
    return count;
}

const char *name_slot(const void *cell) {
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].cell == cell)
            return kept[i].key;
    return NULL;
}

static void write_hex(char *text, const uint8_t *bytes, unsigned length) {
    for (unsigned i = 0; i < length; i++) {
        if (i > 0)
            *text++ = ' ';
        *text++ = "0123456789abcdef"[bytes[i] >> 4];
        *text++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *text = 0;
}

void print_form(const char *when, uintptr_t address, const uint8_t *bytes, unsigned length) {
    char hex[BYTES_TEXT], text[INSTRUCTION_TEXT];
    bool is_new = when[0] == 'n';
    for (unsigned done = 0; done < length;) {
        unsigned step = disassemble(bytes + done, length - done, address + done, text, sizeof text);
        write_hex(hex, bytes + done, step);
        if (done == 0 && when[0] == 'w')
            print_format("    %016lx", address);
        else
            print_format("    %16s", "");
        print_format("  %s%-3s  %-41s  %s%s\n", is_new ? color(GREEN) : color(DIM), done == 0 ? when : "",
                     hex, text, color(PLAIN));
        done += step;
    }
}

/* Slots come in the order of their addresses; NULL after the last. */
static const struct kept_site *next_slot(const struct kept_site *after) {
    const struct kept_site *next = NULL;
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].cell && (!after || kept[i].cell > after->cell) && (!next || kept[i].cell < next->cell))
            next = &kept[i];
    return next;
}

static uint8_t form_of(const struct kept_site *kept_site) {
    struct tp_site_info site;
    if (!tp_describe_site(kept_site->address, &site))
        panic("the library doesn't know the site at %p", (void *)kept_site->address);
    return site.form;
}

/* Of one slot, and as long, and in the same form. */
static bool are_alike(const struct kept_site *left, const struct kept_site *right) {
    return left->cell == right->cell && left->length == right->length && form_of(left) == form_of(right);
}

static bool is_first_of_its_like(unsigned at) {
    for (unsigned i = 0; i < at; i++)
        if (are_alike(&kept[i], &kept[at]))
            return false;
    return true;
}

static unsigned count_alike(unsigned at) {
    unsigned count = 0;
    for (unsigned i = at; i < kept_count; i++)
        count += are_alike(&kept[i], &kept[at]);
    return count;
}

/* "3 sites of 5 bytes, nop; 1 site of 8 bytes, return" */
static void print_slot(const struct kept_site *first) {
    const char *function = name_function(*(const uintptr_t *)first->cell), *before = ": ";
    print_format("  %s%s%s = %s", color(BOLD), first->key, color(PLAIN), function ? function : "a function without a name");
    for (unsigned i = 0; i < kept_count; i++) {
        if (kept[i].cell != first->cell || !is_first_of_its_like(i))
            continue;
        unsigned count = count_alike(i);
        print_format("%s%u site%s of %u bytes, %s", before, count, count == 1 ? "" : "s", kept[i].length,
                     tp_form_text(form_of(&kept[i])));
        before = "; ";
    }
    print_format("\n");
}

void print_sites(unsigned most) {
    for (const struct kept_site *slot = next_slot(NULL); slot; slot = next_slot(slot)) {
        print_slot(slot);
        unsigned printed = 0;
        for (unsigned i = 0; i < kept_count && printed < most; i++) {
            if (kept[i].cell != slot->cell)
                continue;
            printed++;
            print_form("was", kept[i].address, kept[i].before, kept[i].length);
            print_form("now", kept[i].address, (const uint8_t *)kept[i].address, kept[i].length);
        }
    }
}

uint64_t hash_text(void) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const uint8_t *byte = text_start; byte < text_end; byte++) {
        if (byte == hypercall_page) {
            byte += sizeof hypercall_page - 1;
            continue;
        }
        hash = (hash ^ *(const volatile uint8_t *)byte) * 0x100000001b3;
    }
    return hash;
}

void store_sites_again(void) {
    for (unsigned i = 0; i < kept_count; i++) {
        const volatile uint8_t *text = (const volatile uint8_t *)kept[i].address;
        volatile uint8_t *alias = map_text(kept[i].address, kept[i].length);
        if (!alias)
            panic("no alias of the text at %p", (void *)kept[i].address);
        for (unsigned byte = 0; byte < kept[i].length; byte++)
            alias[byte] = text[byte];
        unmap_text((void *)alias, kept[i].length);
    }
}

void poke_text(uintptr_t address, const void *bytes, size_t length) {
    const uint8_t *from = bytes;
    volatile uint8_t *alias = map_text(address, length);
    if (!alias)
        panic("no alias of the text at %p", (void *)address);
    for (size_t i = 0; i < length; i++)
        alias[i] = from[i];
    unmap_text((void *)alias, length);
    /* A serialising instruction, before the new bytes may run (Intel SDM vol. 3 section 9.1.3). */
    unsigned a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}
