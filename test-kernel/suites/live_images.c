/* SPDX-License-Identifier: MIT */
/*
 * live_images: a module that comes and goes while all CPUs are under load and the kernel's own text changes.
 *
 *   it is added, written at the next apply before anyone runs it, executed by all CPUs, changed with the kernel's keys
 *     and by its own, and removed
 *   a key of its own is no key before and afterwards (bug 16's like: another module follows in the same memory)
 *   a module whose functions or keys are in use stays
 *   an int3 in its text is the library's while it is there, and foreign afterwards
 */
#include <textpatch/textpatch.h>

#include "backend.h"
#include "ktap.h"
#include "live_load.h"
#include "page.h"
#include "smp.h"
#include "support.h"

/*
 * In data, not far from the text, so that one alias can hold both. Its page is made executable while a case runs, and
 * stays writable (the suite w_xor_x is about that):
 *   use_op     ff 15 xx xx xx xx   call *live_ops.plain   c3
 *   use_key    0f 1f 44 00 00      nop                    b8 15 00 00 00 c3   mov eax, LIVE_FELL; ret
 *   jumped                                                b8 16 00 00 00 c3   mov eax, LIVE_JUMPED; ret
 *   function                                              b8 2c 01 00 00 c3   mov eax, 300; ret
 */
enum { TEXT = 256, USE_OP = 5, USE_KEY = 61, JUMPED = 128, FUNCTION = 160, FUNCTION_VALUE = 300, SITES = 2, KEYS = 1 };

static struct {
    uint8_t text[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    struct tp_site sites[SITES];
    struct tp_key keys[KEYS];
    uint32_t index[SITES];
    int64_t key;
} module __attribute__((section(".data.module")));
static struct tp_image image;

/* protect_text() flushes the other CPUs' TLBs. */
static void make_executable(bool executable) {
    uintptr_t page = (uintptr_t)module.text;
    backend->set_page_entry(page, backend->frame_of(page) << PAGE_SHIFT | PAGE_PRESENT | PAGE_ACCESSED | PAGE_DIRTY |
                                      PAGE_WRITABLE | (executable ? 0 : PAGE_NOEXECUTE));
    protect_text();
}

static void run_with_module(void (*test)(void)) {
    make_executable(true);
    run_live_plainly(test);
    make_executable(false);
    unprotect_text();
}

static void point(int32_t *field, const void *target) {
    *field = (int32_t)((intptr_t)target - (intptr_t)field);
}

static void put(unsigned at, const char *bytes, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        *(volatile uint8_t *)&module.text[at + i] = (uint8_t)bytes[i];
}

static void put_distance(unsigned at, const void *target) {
    int32_t distance = (int32_t)((intptr_t)target - (intptr_t)(module.text + at + 4));
    put(at, (const char *)&distance, 4);
}

static void put_return(unsigned at, uint32_t value) {
    put(at, "\xb8", 1);
    put(at + 1, (const char *)&value, 4);
    put(at + 5, "\xc3", 1);
}

static void set_site(unsigned number, unsigned at, unsigned length, unsigned kind, const void *key, unsigned detail) {
    struct tp_site *site = &module.sites[number];
    *site = (struct tp_site){.length = (uint8_t)length,
                             .kind = (uint8_t)(TP_RECORD_VERSION << 4 | kind),
                             .detail = (uint16_t)detail};
    point(&site->text, module.text + at);
    point(&site->key, key);
}

static void build_text(void) {
    for (unsigned i = 0; i < TEXT; i++)
        *(volatile uint8_t *)&module.text[i] = 0xcc;
    put(USE_OP, "\xff\x15", 2);
    put_distance(USE_OP + 2, &live_ops.plain);
    put(USE_OP + 6, "\xc3", 1);
    put(USE_KEY, "\x0f\x1f\x44\x00\x00", 5);
    put_return(USE_KEY + 5, LIVE_FELL);
    put_return(JUMPED, LIVE_JUMPED);
    put_return(FUNCTION, FUNCTION_VALUE);
}

static void build_module(void) {
    build_text();
    module.key = 0;
    module.keys[0] = (struct tp_key){.kind = TP_KEY_KIND_STATIC_KEY};
    point(&module.keys[0].cell, &module.key);
    point(&module.keys[0].name, "module's key");
    set_site(0, USE_OP, 6, TP_KIND_OP, &live_ops.plain, TP_BRANCH_CALL);
    set_site(1, USE_KEY, 5, TP_KIND_STATIC_KEY, &module.key, TP_KEY_JUMPS_IF_ENABLED);
    point(&module.sites[1].form, module.text + JUMPED);
    image = (struct tp_image){.name = "module",
                              .text_start = (uintptr_t)module.text,
                              .text_end = (uintptr_t)module.text + TEXT,
                              .sites = module.sites,
                              .site_count = SITES,
                              .keys = module.keys,
                              .key_count = KEYS,
                              .index = module.index};
}

static uint64_t run(unsigned at) {
    return ((uint64_t(*)(void))(uintptr_t)(module.text + at))();
}

/* ---- Load ---- */

static volatile bool module_runs;
static volatile unsigned module_users;

/* The module's code while it is there: the kernel counts its users, and waits for them before it goes. */
static uint64_t visit_module(struct live_visit *visit) {
    (void)visit;
    uint64_t value = live_ops.plain == live_one ? LIVE_ONE : LIVE_TWO;
    __atomic_add_fetch(&module_users, 1, __ATOMIC_SEQ_CST);
    if (module_runs)
        value = run(USE_OP);
    __atomic_sub_fetch(&module_users, 1, __ATOMIC_SEQ_CST);
    return value;
}

static void stop_module(void) {
    __atomic_store_n(&module_runs, false, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&module_users, __ATOMIC_SEQ_CST))
        __asm__ volatile("pause");
}

static const struct live_place places[] = {{visit_op_line, {LIVE_ONE, LIVE_TWO}}, {visit_module, {LIVE_ONE, LIVE_TWO}}};

static enum tp_status move_plain(unsigned state) {
    return tp_op_update(live_ops.plain, state ? live_two : live_one);
}

static const struct live_storm load = {
    .name = "modules", .places = places, .count = 2, .states = 2, .move = move_plain, .burst = 20};

static void move_twice(void) {
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_OK(move_load());
        EXPECT(await_visits());
    }
}

/* ---- One that comes and goes ---- */

static void expect_key(bool enabled) {
    EXPECT_EQUAL(run(USE_KEY), enabled ? LIVE_JUMPED : LIVE_FELL);
}

static void load_module(void) {
    build_module();
    EXPECT_STATUS(tp_key_update(&module.key, 1), TP_ERR_UNKNOWN_KEY);
    REQUIRE_OK(tp_image_add(&image));
    EXPECT_BYTES(module.text + USE_OP, 0xff, 0x15);
    EXPECT_OK(tp_apply());
    EXPECT_BYTES(module.text + USE_OP, 0x2e, 0xe8);
    EXPECT_EQUAL(branch_target((uintptr_t)module.text + USE_OP + 1), (uintptr_t)live_ops.plain);
    module_runs = true;
}

static void unload_module(void) {
    EXPECT_STATUS(tp_image_add(&image), TP_ERR_IMAGE_KNOWN);
    stop_module();
    EXPECT_OK(tp_image_remove(&image));
    EXPECT_STATUS(tp_image_remove(&image), TP_ERR_IMAGE_UNKNOWN);
    EXPECT_STATUS(tp_key_update(&module.key, 1), TP_ERR_UNKNOWN_KEY);
    EXPECT_EQUAL(count_differences(NULL), 0);
}

static void come_and_go(void) {
    enum { TIMES = 12 };
    start_load(&load);
    for (unsigned i = 0; i < TIMES; i++) {
        load_module();
        move_twice();
        expect_key(false);
        EXPECT_OK(tp_key_update(&module.key, 1));
        expect_key(true);
        EXPECT_OK(tp_key_add(&module.key, -1));
        expect_key(false);
        EXPECT_EQUAL(count_differences(NULL), 0);
        unload_module();
        move_twice();
    }
    struct live_result result = stop_load();
    EXPECT_EQUAL(result.wrong, 0);
    EXPECT_EQUAL(result.damaged, 0);
    EXPECT_EQUAL(result.rounds, TIMES * 4);
    print_format("# %u modules, %lu visits, by NMI %lu, by timer %lu, between steps %lu\n", TIMES, result.visits,
                 result.nmi_visits, result.timer_visits, result.step_visits);
}

static void comes_and_goes(void) {
    run_with_module(come_and_go);
}

/* ---- One that is needed ---- */

static void need_module(void) {
    struct live_visit visit = {0};
    load_module();
    unsigned long (*function)(void) = (unsigned long (*)(void))(uintptr_t)(module.text + FUNCTION);
    EXPECT_OK(tp_op_update(live_ops.companion, function));
    EXPECT_EQUAL(visit_companion(&visit), FUNCTION_VALUE);
    stop_module();
    EXPECT_STATUS(tp_image_remove(&image), TP_ERR_IMAGE_IN_USE);
    EXPECT_EQUAL(visit_companion(&visit), FUNCTION_VALUE);
    EXPECT_OK(tp_op_update(live_ops.companion, live_one));
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_IN_USE); /* its key is the module's */
    EXPECT_OK(tp_image_remove(&image));
}

static void stays_if_needed(void) {
    run_with_module(need_module);
}

/* ---- Its int3s ---- */

static unsigned foreign_in_module;

static void count_foreign(struct tp_regs *regs) {
    foreign_in_module += regs->rip - 1 == (uintptr_t)module.text + USE_KEY;
    regs->rip += 4; /* the rest of the NOP */
}

static void run_between_steps(const struct tp_trace *trace) {
    if (trace->step == TP_STEP_SYNC_INT3 || trace->step == TP_STEP_SYNC_TAIL)
        EXPECT_EQUAL(run(USE_KEY), LIVE_JUMPED);
}

static void trap_in_module(void) {
    load_module();
    foreign_in_module = 0;
    live_foreign_hook = count_foreign;
    live_step_hook = run_between_steps;
    EXPECT_OK(tp_key_update(&module.key, 1));
    live_step_hook = NULL;
    EXPECT_EQUAL(live_counts.steps[TP_STEP_INT3], 1);
    EXPECT_EQUAL(foreign_in_module, 0);
    unload_module();
    build_text();
    put(USE_KEY, "\xcc", 1);
    EXPECT_EQUAL(run(USE_KEY), LIVE_FELL);
    EXPECT_EQUAL(foreign_in_module, 1);
}

static void tells_int3s(void) {
    run_with_module(trap_in_module);
}

KTAP_SUITE(live_images, {"a module comes and goes", comes_and_goes}, {"a module that is needed stays", stays_if_needed},
           {"int3s of a module", tells_int3s});
