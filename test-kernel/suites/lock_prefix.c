/* SPDX-License-Identifier: MIT */
/*
 * lock_prefix: f0 <-> 3e.
 *
 *   pristine: lock prefixes everywhere, results right
 *   one CPU: 3e everywhere, results right
 *   two CPUs: f0 again, results right; with them running nothing may be patched
 *   the byte is what the CPU executes: `lock inc %reg` is #UD with two CPUs, and right with one
 *   a prefix changed behind the library's back is named
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "platform.h"
#include "support.h"

uint64_t lock_gas_add(uint64_t *cell, uint64_t amount);
uint64_t lock_nasm_add(uint64_t *cell, uint64_t amount);

ONE_COPY static void increment(uint32_t *cell) {
    __asm__ volatile(TP_LOCK_PREFIX "incl %0" : "+m"(*cell) : : "cc");
}

/* Returns what stood there. */
ONE_COPY static uint64_t exchange_if(uint64_t *cell, uint64_t old, uint64_t new) {
    __asm__ volatile(TP_LOCK_PREFIX "cmpxchgq %2, %1" : "+a"(old), "+m"(*cell) : "r"(new) : "cc");
    return old;
}

ONE_COPY static uint64_t add(uint64_t *cell, uint64_t amount) {
    __asm__ volatile(TP_LOCK_PREFIX "xaddq %0, %1" : "+r"(amount), "+m"(*cell) : : "cc");
    return amount;
}

/* No CPU takes a lock prefix here, the operand being a register (Intel SDM vol. 2 "LOCK"). */
ONE_COPY static uint32_t increment_register(uint32_t value) {
    __asm__ volatile(TP_LOCK_PREFIX "incl %0" : "+r"(value) : : "cc");
    return value;
}

static const uintptr_t holders[] = {(uintptr_t)increment, (uintptr_t)exchange_if, (uintptr_t)add,
                                    (uintptr_t)increment_register, (uintptr_t)lock_gas_add, (uintptr_t)lock_nasm_add};
enum { HOLDERS = sizeof holders / sizeof *holders };

static void expect_prefixes(uint8_t prefix) {
    for (unsigned i = 0; i < HOLDERS; i++) {
        struct tp_site_info site = find_site(holders[i], 0);
        EXPECT_EQUAL(site.kind, TP_KIND_LOCK_PREFIX);
        EXPECT_EQUAL(site.length, 1);
        EXPECT_EQUAL(site.form, prefix == 0x3e ? TP_FORM_PREFIX : TP_FORM_ORIGINAL);
        EXPECT_BYTES(site.address, prefix);
    }
}

static void expect_results(void) {
    uint32_t count = 0;
    for (unsigned i = 0; i < 1000; i++)
        increment(&count);
    EXPECT_EQUAL(count, 1000);
    uint64_t cell = 5;
    EXPECT_EQUAL(exchange_if(&cell, 4, 9), 5);
    EXPECT_EQUAL(cell, 5);
    EXPECT_EQUAL(exchange_if(&cell, 5, 9), 5);
    EXPECT_EQUAL(cell, 9);
    EXPECT_EQUAL(add(&cell, 3), 9);
    EXPECT_EQUAL(lock_gas_add(&cell, 30), 12);
    EXPECT_EQUAL(lock_nasm_add(&cell, 300), 42);
    EXPECT_EQUAL(cell, 342);
}

static void locks_at_first(void) {
    REQUIRE(start_library(&alias_port));
    expect_prefixes(0xf0);
    expect_results();
}

static void drops_locks_on_one_cpu(void) {
    REQUIRE(start_applied());
    expect_prefixes(0x3e);
    expect_results();
}

static void locks_for_two_cpus(void) {
    REQUIRE(start_applied());
    expect_prefixes(0x3e);
    EXPECT_STATUS(tp_cpus_running(true), TP_ERR_NOT_APPLIED);
    EXPECT_OK(tp_set_cpu_count(2));
    expect_prefixes(0x3e); /* wanted, not yet applied */
    REQUIRE_OK(tp_apply());
    expect_prefixes(0xf0);
    expect_results();

    EXPECT_OK(tp_cpus_running(true));
    uint64_t before = hash_text();
    EXPECT_STATUS(tp_apply(), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_STATUS(tp_revert(), TP_ERR_PORT_HOOK_MISSING);
    EXPECT_EQUAL(hash_text(), before);
    EXPECT_OK(tp_cpus_running(false));

    EXPECT_STATUS(tp_set_cpu_count(0), TP_ERR_BAD_ARGUMENT);
    EXPECT_OK(tp_set_cpu_count(1));
    REQUIRE_OK(tp_apply());
    expect_prefixes(0x3e);
    expect_results();
}

static unsigned refusals;
static uintptr_t refused_at;

static bool step_over_lock(struct tp_regs *regs) {
    refusals++;
    refused_at = regs->rip;
    regs->rip++; /* on to the instruction without its prefix */
    return true;
}

static unsigned count_refusals(void) {
    exception_handler before = set_exception_handler(VECTOR_INVALID_OPCODE, step_over_lock);
    refusals = 0;
    EXPECT_EQUAL(increment_register(6), 7);
    set_exception_handler(VECTOR_INVALID_OPCODE, before);
    return refusals;
}

static void executes_what_stands_there(void) {
    REQUIRE(start_library(&alias_port));
    EXPECT_EQUAL(count_refusals(), 1);
    EXPECT_EQUAL(refused_at, SITE_OF(increment_register, 0).address);
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(count_refusals(), 0);
    EXPECT_OK(tp_set_cpu_count(2));
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(count_refusals(), 1);
}

static void names_a_changed_prefix(void) {
    REQUIRE(start_applied());
    uintptr_t site = SITE_OF(lock_nasm_add, 0).address, named;
    poke_text(site, "\x2e", 1); /* another segment prefix, which means as little */
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, site);
    EXPECT_OK(tp_set_cpu_count(2));
    EXPECT_STATUS(tp_apply(), TP_ERR_UNEXPECTED_BYTES);
    poke_text(site, "\x3e", 1);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

KTAP_SUITE(lock_prefix, {"pristine text locks", locks_at_first},
           {"one CPU needs no lock", drops_locks_on_one_cpu},
           {"a second CPU brings the locks back", locks_for_two_cpus},
           {"the prefix is what the CPU executes", executes_what_stands_there},
           {"a changed prefix is named", names_a_changed_prefix});
