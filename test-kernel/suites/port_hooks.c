/* SPDX-License-Identifier: MIT */
/*
 * port_hooks: what the library asks of the kernel, and what it says when it doesn't get it.
 *
 *   no port: natively CR0.WP does, and comes back; under Xen PV the missing hook is named
 *   one hook without the other is refused at init
 *   each map has its unmap, with the same alias and length
 *   a map that fails: at once, for all text at once only, in the middle of a pass, which is undone, and for good
 *   a map that lies, so that the text doesn't take what is written: told by reading back
 *   one message for each failure; a message has site, found and expected; it is cut to size
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

static uint64_t read_cr0(void) {
    uint64_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    return cr0;
}

static void works_without_a_port(void) {
    if (world == WORLD_XEN_PV) {
        REQUIRE(start_library(NULL));
        EXPECT_STATUS(tp_apply(), TP_ERR_PORT_HOOK_MISSING);
        EXPECT_TEXT(tp_last_error()->hook, "map_text");
        EXPECT(text_is_pristine());
        return;
    }
    REQUIRE(start_applied());
    uint64_t by_port = hash_text(), cr0 = read_cr0();
    REQUIRE_OK(tp_revert());
    EXPECT_OK(tp_finish());
    REQUIRE(start_library(NULL));
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), by_port);
    EXPECT_EQUAL(read_cr0(), cr0);
    REQUIRE_OK(tp_revert());
    EXPECT(text_is_pristine());
    EXPECT_EQUAL(read_cr0(), cr0);
}

static void refuses_half_a_port(void) {
    static const struct tp_port no_unmap = {.map_text = map_text}, no_map = {.unmap_text = unmap_text};
    EXPECT_STATUS(tp_init(&no_unmap), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_TEXT(tp_last_error()->hook, "unmap_text");
    EXPECT_STATUS(tp_init(&no_map), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_TEXT(tp_last_error()->hook, "map_text");
    EXPECT_STATUS(tp_apply(), TP_ERR_NOT_INITIALIZED);
}

static unsigned maps, open_maps, allowed_maps, refusals, misuses;
static size_t longest_map;
static void *open_alias;
static size_t open_length;

static void *count_map(uintptr_t address, size_t length) {
    if (length > longest_map)
        return NULL;
    if (maps >= allowed_maps && refusals > 0) {
        refusals--;
        return NULL;
    }
    maps++;
    misuses += open_maps++ != 0 || length == 0 || address < kernel_image.text_start ||
               address + length > kernel_image.text_end;
    open_length = length;
    return open_alias = map_text(address, length);
}

static void count_unmap(void *alias, size_t length) {
    misuses += open_maps-- != 1 || alias != open_alias || length != open_length;
    unmap_text(alias, length);
}

static const struct tp_port counting_port = {.map_text = count_map, .unmap_text = count_unmap};

/* So many maps, then so many refusals, then maps again; never one of more bytes than that. */
static void allow_maps(unsigned count, unsigned refuse, size_t longest) {
    maps = open_maps = misuses = 0;
    allowed_maps = count;
    refusals = refuse;
    longest_map = longest;
}

static void pairs_hooks(void) {
    allow_maps(0, 0, SIZE_MAX);
    REQUIRE(start_library(&counting_port));
    EXPECT_EQUAL(maps, 0);
    REQUIRE_OK(tp_apply());
    EXPECT(maps > 0);
    REQUIRE_OK(tp_revert());
    EXPECT_EQUAL(open_maps, 0);
    EXPECT_EQUAL(misuses, 0);
}

static void maps_edit_by_edit(void) {
    REQUIRE(start_applied());
    uint64_t applied = hash_text();
    REQUIRE_OK(tp_revert());
    EXPECT_OK(tp_finish());
    allow_maps(0, 0, TP_SITE_LENGTH_MAX);
    REQUIRE(start_library(&counting_port));
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), applied);
    EXPECT(maps > 50);
    EXPECT_EQUAL(open_maps, 0);
    EXPECT_EQUAL(misuses, 0);
    REQUIRE_OK(tp_revert());
    EXPECT(text_is_pristine());
}

static void fails_to_map(void) {
    allow_maps(0, ~0u, SIZE_MAX);
    REQUIRE(start_library(&counting_port));
    EXPECT_STATUS(tp_apply(), TP_ERR_MAP_FAILED);
    EXPECT(text_is_pristine());
    allow_maps(0, 0, SIZE_MAX);
    REQUIRE_OK(tp_apply());
    uint64_t applied = hash_text();
    allow_maps(0, ~0u, SIZE_MAX);
    EXPECT_STATUS(tp_revert(), TP_ERR_MAP_FAILED);
    EXPECT_EQUAL(hash_text(), applied);
    allow_maps(0, 0, SIZE_MAX);
}

/* What had been written is put back, apply and update alike. */
static void fails_to_map_midway(void) {
    REQUIRE(start_library(&counting_port));
    for (unsigned allowed = 1; allowed < 100; allowed += 7) {
        allow_maps(allowed, 1, TP_SITE_LENGTH_MAX);
        EXPECT_STATUS(tp_apply(), TP_ERR_MAP_FAILED);
        EXPECT(maps > allowed);
        EXPECT(text_is_pristine());
        EXPECT_EQUAL(count_differences(NULL), 0);
    }
    allow_maps(0, 0, TP_SITE_LENGTH_MAX);
    REQUIRE_OK(tp_apply());
    uint64_t applied = hash_text();
    allow_maps(20, 1, TP_SITE_LENGTH_MAX);
    EXPECT_STATUS(tp_revert(), TP_ERR_MAP_FAILED);
    EXPECT_EQUAL(hash_text(), applied);
    void (*own)(void) = pv_ops.irq.irq_disable;
    allow_maps(2, 1, TP_SITE_LENGTH_MAX);
    EXPECT_STATUS(tp_op_update(pv_ops.irq.irq_disable, tp_nop_function), TP_ERR_MAP_FAILED);
    EXPECT(pv_ops.irq.irq_disable == own);
    EXPECT_EQUAL(hash_text(), applied);
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_EQUAL(misuses, 0);
}

static void put_right(const struct tp_difference *difference, void *count) {
    ++*(unsigned *)count;
    poke_text(difference->site.address, difference->expected, difference->site.length);
}

/* A port that from then on refuses everything can't put back either; the audit says where. */
static void fails_to_map_for_good(void) {
    unsigned found = 0;
    REQUIRE(start_library(&counting_port));
    allow_maps(5, ~0u, TP_SITE_LENGTH_MAX);
    EXPECT_STATUS(tp_apply(), TP_ERR_MAP_FAILED);
    EXPECT_EQUAL(maps, 5);
    EXPECT_STATUS(tp_audit(put_right, &found), TP_ERR_TEXT_DIFFERS);
    EXPECT_EQUAL(found, 5);
    EXPECT(text_is_pristine());
    allow_maps(0, 0, SIZE_MAX);
    REQUIRE_OK(tp_apply());
}

static uint8_t elsewhere[1 << 20];
static unsigned honest_maps, lies;

static void *map_elsewhere(uintptr_t address, size_t length) {
    if (length > longest_map)
        return NULL;
    if (honest_maps > 0 || lies == 0) {
        honest_maps -= honest_maps > 0;
        return map_text(address, length);
    }
    lies--;
    for (size_t i = 0; i < length; i++)
        elsewhere[i] = ((const uint8_t *)address)[i];
    return elsewhere;
}

static void unmap_elsewhere(void *alias, size_t length) {
    if (alias != elsewhere)
        unmap_text(alias, length);
}

static void reads_back(void) {
    static const struct tp_port lying_port = {.map_text = map_elsewhere, .unmap_text = unmap_elsewhere};
    REQUIRE(start_library(&lying_port));
    longest_map = SIZE_MAX;
    honest_maps = 0, lies = 1;
    EXPECT_STATUS(tp_apply(), TP_ERR_READ_BACK);
    EXPECT(tp_last_error()->site >= (uintptr_t)text_start && tp_last_error()->site < (uintptr_t)text_end);
    EXPECT(text_is_pristine());
    longest_map = TP_SITE_LENGTH_MAX;
    honest_maps = 30, lies = 1;
    EXPECT_STATUS(tp_apply(), TP_ERR_READ_BACK);
    EXPECT_EQUAL(lies, 0);
    EXPECT(text_is_pristine());
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_apply());
}

static unsigned messages;
static char last_message[TP_MESSAGE_MAX];

static void keep_message(const char *message) {
    unsigned at = 0;
    messages++;
    for (; message[at] && at < sizeof last_message - 1; at++)
        last_message[at] = message[at];
    last_message[at] = 0;
}

static bool holds(const char *text, const char *part) {
    for (; *text; text++) {
        unsigned at = 0;
        while (part[at] && text[at] == part[at])
            at++;
        if (!part[at])
            return true;
    }
    return false;
}

TP_DEFINE_STATIC_CALL(hooks_call, read_cr0);

static void logs_failures(void) {
    static const struct tp_port logging_port = {.map_text = map_text, .unmap_text = unmap_text, .log = keep_message};
    char formatted[TP_MESSAGE_MAX], small[8];
    uintptr_t site = (uintptr_t)tp_static_call(hooks_call);
    messages = 0;
    REQUIRE(start_library(&logging_port));
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(messages, 0);
    flip_byte(site);
    EXPECT_STATUS(tp_audit(NULL, NULL), TP_ERR_TEXT_DIFFERS);
    EXPECT_EQUAL(messages, 1);
    EXPECT_STATUS(tp_revert(), TP_ERR_UNEXPECTED_BYTES);
    EXPECT_EQUAL(messages, 2);
    tp_format_error(tp_last_error(), formatted, sizeof formatted);
    EXPECT_TEXT(last_message, formatted);
    EXPECT(holds(last_message, tp_status_text(TP_ERR_UNEXPECTED_BYTES)));
    EXPECT(holds(last_message, "hooks_call"));
    EXPECT(holds(last_message, "found d1"));
    EXPECT(holds(last_message, "expected 2e"));
    tp_format_error(tp_last_error(), small, sizeof small);
    EXPECT_EQUAL(small[7], 0);
    EXPECT(small[6] == formatted[6] && small[6]);
    tp_format_error(tp_last_error(), small, 0);
    flip_byte(site);
    for (unsigned status = 0; status <= TP_STATUS_COUNT; status++)
        EXPECT(tp_status_text((enum tp_status)status) && tp_status_text((enum tp_status)status)[0]);
}

KTAP_SUITE(port_hooks, {"no port", works_without_a_port}, {"half a port", refuses_half_a_port},
           {"maps and unmaps pair", pairs_hooks}, {"a map for each edit", maps_edit_by_edit},
           {"a map that fails", fails_to_map}, {"a map that fails midway", fails_to_map_midway},
           {"a map that fails midway and for good", fails_to_map_for_good},
           {"a map that lies", reads_back}, {"messages", logs_failures});
