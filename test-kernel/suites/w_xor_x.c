/* SPDX-License-Identifier: MIT */
/*
 * w_xor_x: text that can be executed can't be written, before, while and after it is patched.
 *
 *   a store to protected text faults, to unprotected text it doesn't: the probe sees both
 *   apply, updates and revert by the alias; the probe, asked from inside the map hook, says no
 *   the alias can't be executed, and is gone when it is unmapped
 *   a hook that forgets the protection is noticed by the same probe
 *   natively also by CR0.WP, which is set again afterwards
 */
#include <textpatch/textpatch.h>

#include "alternatives.h"
#include "ktap.h"
#include "platform.h"
#include "support.h"

static int one(void) { return 1; }
static int two(void) { return 2; }
TP_DEFINE_STATIC_CALL(protected_call, one);
TP_DEFINE_STATIC_KEY_FALSE(protected_key);

ONE_COPY static bool protected_branch(void) { return tp_static_branch_unlikely(protected_key); }

static bool any_text_is_writable(void) {
    uintptr_t last = (uintptr_t)text_end - 1;
    bool writable = text_is_writable(last) || text_is_writable((uintptr_t)protected_branch) ||
                    text_is_writable((uintptr_t)tp_static_call(protected_call));
    for (uintptr_t page = (uintptr_t)text_start; page < last; page += 4096)
        writable |= text_is_writable(page);
    return writable;
}

static void faults_on_stores(void) {
    uint8_t *text = (uint8_t *)text_start, before = *text;
    EXPECT(any_text_is_writable());
    EXPECT(try_write_byte(text, before));
    protect_text();
    EXPECT(!any_text_is_writable());
    EXPECT(!try_write_byte(text, before ^ 1));
    EXPECT_EQUAL(*(volatile uint8_t *)text, before);
    unprotect_text();
    EXPECT(any_text_is_writable());
}

static unsigned probes, breaches;

static void *probe_map(uintptr_t address, size_t length) {
    void *alias = map_text(address, length);
    probes++;
    breaches += any_text_is_writable() || text_is_writable(address) || !text_is_writable((uintptr_t)alias);
    return alias;
}

static void probe_unmap(void *alias, size_t length) {
    breaches += any_text_is_writable();
    unmap_text(alias, length);
    breaches += any_text_is_writable() || text_is_writable((uintptr_t)alias);
}

static const struct tp_port probing_port = {.map_text = probe_map, .unmap_text = probe_unmap};

static void start_probing(void) { probes = breaches = 0; }

static void patches_protected_text(void) {
    start_probing();
    protect_text();
    REQUIRE(start_library(&probing_port));
    REQUIRE_OK(tp_apply());
    EXPECT(probes > 0);
    EXPECT(!any_text_is_writable());
    EXPECT_OK(tp_static_call_update(protected_call, two));
    EXPECT_OK(tp_static_key_enable(protected_key));
    EXPECT(!any_text_is_writable());
    EXPECT_EQUAL(tp_static_call(protected_call)(), 2);
    EXPECT(protected_branch());
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_static_call_update(protected_call, one));
    EXPECT_OK(tp_static_key_disable(protected_key));
    REQUIRE_OK(tp_revert());
    EXPECT(text_is_pristine());
    EXPECT(!any_text_is_writable());
    EXPECT(probes >= 6);
    EXPECT_EQUAL(breaches, 0);
}

static uintptr_t forbidden;
static unsigned fetch_faults;

/* Back to the caller, as if the function had returned 0. */
static bool refuse_fetch(struct tp_regs *regs) {
    if (regs->rip != forbidden)
        return false;
    fetch_faults++;
    regs->rip = *(const uint64_t *)regs->rsp;
    regs->rsp += 8;
    regs->rax = 0;
    return true;
}

static void keeps_the_alias_from_executing(void) {
    void *alias = map_text((uintptr_t)alternative_one, 8);
    REQUIRE(alias);
    EXPECT_EQUAL(alternative_one(), 1);
    EXPECT(text_is_writable((uintptr_t)alias));
    forbidden = (uintptr_t)alias;
    fetch_faults = 0;
    exception_handler before = set_exception_handler(VECTOR_PAGE_FAULT, refuse_fetch);
    int (*volatile by_alias)(void) = (int (*)(void))alias;
    EXPECT_EQUAL(by_alias(), 0);
    EXPECT_EQUAL(fetch_faults, 1);
    set_exception_handler(VECTOR_PAGE_FAULT, before);
    unmap_text(alias, 8);
    EXPECT(!text_is_writable((uintptr_t)alias));
}

static void *careless_map(uintptr_t address, size_t length) {
    unprotect_text();
    return probe_map(address, length);
}

static void notices_a_careless_hook(void) {
    static const struct tp_port careless_port = {.map_text = careless_map, .unmap_text = probe_unmap};
    start_probing();
    protect_text();
    REQUIRE(start_library(&careless_port));
    REQUIRE_OK(tp_apply());
    EXPECT(breaches > 0);
    EXPECT(any_text_is_writable());
}

static void patches_by_write_protect(void) {
    if (world == WORLD_XEN_PV)
        SKIP("CR0 is Xen's");
    protect_text();
    REQUIRE(start_library(NULL));
    REQUIRE_OK(tp_apply());
    EXPECT(!any_text_is_writable());
    EXPECT_OK(tp_static_key_enable(protected_key));
    EXPECT(!any_text_is_writable());
    EXPECT(protected_branch());
    EXPECT_OK(tp_static_key_disable(protected_key));
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_revert());
    EXPECT(!any_text_is_writable());
    EXPECT(text_is_pristine());
}

KTAP_SUITE(w_xor_x, {"stores to protected text fault", faults_on_stores},
           {"patching by the alias", patches_protected_text},
           {"the alias doesn't execute, and goes", keeps_the_alias_from_executing},
           {"a careless hook is noticed", notices_a_careless_hook}, {"patching by CR0.WP", patches_by_write_protect});
