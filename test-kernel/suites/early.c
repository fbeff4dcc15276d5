/* SPDX-License-Identifier: MIT */
/*
 * early: everything that can be patched works before tp_init() has ever been called, in both worlds.
 *
 *   irq_disable, irq_enable, save_fl, restore_fl, from C, NASM and GAS, held against the platform's own view
 *   an interrupt stays pending while the op masks, and comes when it unmasks
 *   cpu, mmu and lock ops
 *   the ops of the wrong world change nothing that counts: the checks above can fail
 *   static calls, static keys, alternatives, lock prefixes: what the source says first
 *   the library refuses to work, and text is as it was
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

static int two(void) { return 2; }
static int three(void) { return 3; }

static unsigned noted;
static void note(void) { noted++; }
TP_DEFINE_STATIC_CALL(early_call, two);
TP_DEFINE_STATIC_CALL_NULL(early_none, note);
TP_DEFINE_STATIC_CALL_RET0(early_zero, three);
TP_DEFINE_STATIC_KEY_TRUE(early_true);
TP_DEFINE_STATIC_KEY_FALSE(early_false);

ONE_COPY static void disable(void) { irq_disable(); }
ONE_COPY static void enable(void) { irq_enable(); }
ONE_COPY static unsigned long save(void) { return save_fl(); }
ONE_COPY static void restore(unsigned long flags) { restore_fl(flags); }

struct caller {
    void (*disable)(void);
    void (*enable)(void);
    unsigned long (*save)(void);
    void (*restore)(unsigned long);
};
static const struct caller callers[] = {
    {disable, enable, save, restore},
    {nasm_irq_disable, nasm_irq_enable, nasm_save_fl, nasm_restore_fl},
    {gas_irq_disable, gas_irq_enable, gas_save_fl, gas_restore_fl},
};

static void switches_interrupts(void) {
    for (unsigned i = 0; i < 3; i++) {
        callers[i].enable();
        EXPECT(!interrupts_are_masked());
        EXPECT_EQUAL(callers[i].save() & FLAGS_IF, FLAGS_IF);
        callers[i].disable();
        EXPECT(interrupts_are_masked());
        EXPECT_EQUAL(callers[i].save() & FLAGS_IF, 0);
        callers[i].restore(FLAGS_IF | 2);
        EXPECT(!interrupts_are_masked());
        callers[i].restore(2);
        EXPECT(interrupts_are_masked());
    }
}

static void wait_for_events(uint64_t count) {
    for (unsigned tries = 0; tries < 100000 && event_count != count; tries++)
        __asm__ volatile("pause");
}

static void masks_interrupts(void) {
    uint64_t before = event_count;
    enable();
    disable();
    raise_event();
    wait_for_events(before + 1);
    EXPECT_EQUAL(event_count, before);
    enable();
    if (world == WORLD_XEN_PV)
        EXPECT_EQUAL(event_count, before + 1); /* by the op's own hypercall, not by Xen's next interrupt */
    wait_for_events(before + 1);
    EXPECT_EQUAL(event_count, before + 1);
    disable();
}

ONE_COPY static unsigned long cr3_now(void) { return read_cr3(); }
ONE_COPY static unsigned long cr2_now(void) { return read_cr2(); }
ONE_COPY static void set_cr3(unsigned long value) { write_cr3(value); }
ONE_COPY static void flush_caches(void) { wbinvd(); }
ONE_COPY static unsigned long to_pte_and_back(unsigned long value) { return pte_val(make_pte(value)); }
ONE_COPY static void release(uint8_t *byte) { lock_release(byte); }
ONE_COPY static void wait_and_kick(void) {
    lock_wait();
    lock_kick(0);
}

static void runs_other_ops(void) {
    uint8_t *unmapped = (uint8_t *)0x400000000000;
    uint8_t byte = 1;
    unsigned long cr3 = cr3_now();
    EXPECT(cr3 != 0);
    set_cr3(cr3);
    EXPECT_EQUAL(cr3_now(), cr3);
    EXPECT(!try_write_byte(unmapped, 0));
    EXPECT_EQUAL(cr2_now(), unmapped);
    flush_caches();
    EXPECT_EQUAL(to_pte_and_back(0x123456789063), 0x123456789063);
    release(&byte);
    EXPECT_EQUAL(byte, 0);
    wait_and_kick();
}

static void allow_cli(bool allow) {
    struct physdev_set_iopl privilege = {.iopl = allow};
    if (world == WORLD_XEN_PV)
        EXPECT_EQUAL(hypercall2(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, (unsigned long)&privilege), 0);
}

static void tells_worlds_apart(void) {
    enable();
    allow_cli(true);
    pv_ops.irq = world == WORLD_XEN_PV ? tp_native_ops.irq : tp_xen_pv_ops.irq;
    disable();
    EXPECT(!interrupts_are_masked());
    choose_pv_ops();
    disable();
    EXPECT(interrupts_are_masked());
    allow_cli(false);
    /* The word that the other world's op wrote is this CPU's event mask; natively nobody reads it. */
    this_cpu()->vcpu_info.evtchn_upcall_mask = 1;
}

ONE_COPY static bool true_likely(void) { return tp_static_branch_likely(early_true); }
ONE_COPY static bool true_unlikely(void) { return tp_static_branch_unlikely(early_true); }
ONE_COPY static bool false_likely(void) { return tp_static_branch_likely(early_false); }
ONE_COPY static bool false_unlikely(void) { return tp_static_branch_unlikely(early_false); }

ONE_COPY static int choose(void) {
    int value;
    __asm__ volatile(TP_ALTERNATIVE("movl $1, %0", "movl $2, %0", TP_FEATURE_ALWAYS) : "=r"(value));
    return value;
}

ONE_COPY static int increment(int value) {
    __asm__ volatile(TP_LOCK_PREFIX "incl %0" : "+m"(value) : : "cc");
    return value;
}

static void runs_what_the_source_says(void) {
    EXPECT_EQUAL(tp_static_call(early_call)(), 2);
    note();
    tp_static_call(early_none)();
    EXPECT_EQUAL(noted, 1);
    EXPECT_EQUAL(tp_static_call(early_zero)(), 0);
    EXPECT(true_likely() && true_unlikely());
    EXPECT(!false_likely() && !false_unlikely());
    EXPECT_EQUAL(choose(), 1);
    EXPECT_EQUAL(increment(6), 7);
}

static bool visit_nothing(const struct tp_site_info *site, void *argument) {
    (void)site;
    *(bool *)argument = true;
    return true;
}

static bool plan_nothing(const struct tp_edit_info *edit, void *argument) {
    (void)edit, (void)argument;
    return true;
}

static void refuses_before_init(void) {
    struct tp_site_info site;
    bool visited = false;
    EXPECT_STATUS(tp_apply(), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_revert(), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_audit(NULL, NULL), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_plan(plan_nothing, NULL), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_image_add(&kernel_image), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_feature_set(TP_FEATURE_KERNEL(0)), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_set_cpu_count(2), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_cpus_running(true), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_static_key_enable(early_false), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_static_call_update(early_call, three), TP_ERR_NOT_INITIALIZED);
    EXPECT_STATUS(tp_finish(), TP_ERR_NOT_INITIALIZED);
    EXPECT(!tp_describe_site((uintptr_t)tp_static_call(early_call), &site));
    tp_for_each_site(visit_nothing, &visited);
    EXPECT(!visited);
    EXPECT(text_is_pristine());
    EXPECT_EQUAL(tp_static_key_count(early_false), 0);
    EXPECT_EQUAL(tp_static_call(early_call)(), 2);
}

KTAP_SUITE(early, {"irq ops switch interrupts", switches_interrupts}, {"irq ops block an interrupt", masks_interrupts},
           {"cpu, mmu and lock ops", runs_other_ops}, {"the other world's irq ops do nothing here", tells_worlds_apart},
           {"calls, keys, alternatives and locks as in the source", runs_what_the_source_says},
           {"the library refuses all calls", refuses_before_init});
