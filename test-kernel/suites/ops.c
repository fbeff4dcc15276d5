/* SPDX-License-Identifier: MIT */
/*
 * ops: the op table at work, in its original form, applied and reverted.
 *
 *   irq ops from C, NASM and GAS do what they say; an interrupt stays pending, and comes
 *   safe_halt and halt sleep and wake; iret by a jump; cpu, mmu and lock ops
 *   bytes now are what this world asks for
 *   an op updated while the kernel runs; the whole table moved to the other world and back
 *   a slot that holds NULL: #UD, and the op has a name
 *   the other world's bytes forced into one site: interrupts are not masked, and audit names exactly that site
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

ONE_COPY static unsigned long c_save_fl(void) { return save_fl(); }
ONE_COPY static void c_restore_fl(unsigned long flags) { restore_fl(flags); }
ONE_COPY static void c_irq_disable(void) { irq_disable(); }
ONE_COPY static void c_irq_enable(void) { irq_enable(); }
ONE_COPY static void c_safe_halt(void) { safe_halt(); }
ONE_COPY static void c_halt(void) { halt(); }
ONE_COPY static void c_wbinvd(void) { wbinvd(); }
ONE_COPY static unsigned long c_read_cr2(void) { return read_cr2(); }
ONE_COPY static unsigned long c_read_cr3(void) { return read_cr3(); }
ONE_COPY static void c_write_cr3(unsigned long value) { write_cr3(value); }
ONE_COPY static unsigned long c_make_pte(unsigned long value) { return make_pte(value); }
ONE_COPY static unsigned long c_pte_val(unsigned long entry) { return pte_val(entry); }
ONE_COPY static void c_unlock(uint8_t *byte) { lock_release(byte); }
ONE_COPY static void c_wait(void) { lock_wait(); }
ONE_COPY static void c_kick(void) { lock_kick(0); }
ONE_COPY static void c_swapgs(void) {
    TP_WIDE_CALLEE_SAVE_CALL_VOID(TP_WIDTH_SWAPGS, pv_ops.cpu.swapgs);
}

/* Pristine, applied, reverted. */
static void in_all_forms(void (*check)(void)) {
    REQUIRE(start_library(&alias_port));
    check();
    REQUIRE_OK(tp_apply());
    check();
    EXPECT_EQUAL(count_differences(NULL), 0);
    REQUIRE_OK(tp_revert());
    check();
}

struct irq_caller {
    unsigned long (*save)(void);
    void (*restore)(unsigned long);
    void (*disable)(void), (*enable)(void);
};
static const struct irq_caller irq_callers[] = {
    {c_save_fl, c_restore_fl, c_irq_disable, c_irq_enable},
    {nasm_save_fl, nasm_restore_fl, nasm_irq_disable, nasm_irq_enable},
    {gas_save_fl, gas_restore_fl, gas_irq_disable, gas_irq_enable},
};
enum { IRQ_CALLERS = sizeof irq_callers / sizeof *irq_callers };

static void wait_for_events(uint64_t count) {
    for (unsigned tries = 0; tries < 100000 && event_count != count; tries++)
        __asm__ volatile("pause");
}

static void check_irq_ops(void) {
    for (unsigned i = 0; i < IRQ_CALLERS; i++) {
        const struct irq_caller *caller = &irq_callers[i];
        caller->enable();
        EXPECT(!interrupts_are_masked());
        unsigned long on = caller->save();
        EXPECT_EQUAL(on & FLAGS_IF, FLAGS_IF);
        caller->disable();
        EXPECT(interrupts_are_masked());
        unsigned long off = caller->save();
        EXPECT_EQUAL(off & FLAGS_IF, 0);
        caller->restore(on);
        EXPECT(!interrupts_are_masked());
        caller->restore(off);
        EXPECT(interrupts_are_masked());
    }
}

static void switches_interrupts(void) { in_all_forms(check_irq_ops); }

static void check_blocking(void) {
    for (unsigned i = 0; i < IRQ_CALLERS; i++) {
        uint64_t before = event_count;
        irq_callers[i].disable();
        raise_event();
        wait_for_events(before + 1);
        EXPECT_EQUAL(event_count, before);
        EXPECT(event_is_pending());
        if (i % 2)
            irq_callers[i].enable();
        else
            irq_callers[i].restore(FLAGS_IF | 2);
        if (world == WORLD_XEN_PV)
            EXPECT_EQUAL(event_count, before + 1); /* by the op's own hypercall, not by Xen's next interrupt */
        wait_for_events(before + 1);
        EXPECT_EQUAL(event_count, before + 1);
        EXPECT(!event_is_pending());
        irq_callers[i].disable();
    }
}

static void blocks_interrupts(void) { in_all_forms(check_blocking); }

static void check_sleeping(void) {
    uint64_t before = event_count;
    raise_event();
    c_safe_halt(); /* would sleep for ever if it lost the event between unmasking and sleeping */
    wait_for_events(before + 1);
    EXPECT_EQUAL(event_count, before + 1);
    EXPECT(!interrupts_are_masked());
    uint64_t ticks = timer_ticks;
    start_timer(200);
    c_halt();
    while (timer_ticks < ticks + 2)
        c_halt();
    stop_timer();
    mask_interrupts();
}

static void sleeps_and_wakes(void) { in_all_forms(check_sleeping); }

static void check_iret(void) {
    static void (*const returners[])(unsigned long) = {nasm_iret, gas_iret};
    for (unsigned i = 0; i < 2; i++) {
        returners[i](FLAGS_IF | 2);
        EXPECT(!interrupts_are_masked());
        returners[i](2);
        EXPECT(interrupts_are_masked());
    }
}

static void returns_by_iret(void) { in_all_forms(check_iret); }

static void check_other_ops(void) {
    uint8_t *unmapped = (uint8_t *)0x400000000000 + 123;
    uint8_t byte = 1;
    unsigned long cr3 = c_read_cr3();
    EXPECT(cr3 != 0);
    c_write_cr3(cr3);
    EXPECT_EQUAL(c_read_cr3(), cr3);
    EXPECT(!try_write_byte(unmapped, 0));
    EXPECT_EQUAL(c_read_cr2(), unmapped);
    c_wbinvd();
    EXPECT_EQUAL(c_make_pte(0x8000123456789063), 0x8000123456789063);
    EXPECT_EQUAL(c_pte_val(0x8000123456789063), 0x8000123456789063);
    c_unlock(&byte);
    EXPECT_EQUAL(byte, 0);
    c_wait();
    c_kick();
}

static void runs_other_ops(void) { in_all_forms(check_other_ops); }

static uint64_t read_gs_base(void) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000101));
    return (uint64_t)high << 32 | low;
}

/* Natively GS is the other one between the two; Xen has swapped it before the kernel was entered. */
static void check_swapgs(void) {
    uint64_t between = 0;
    c_swapgs();
    if (world == WORLD_NATIVE)
        between = read_gs_base();
    c_swapgs();
    EXPECT_EQUAL((uintptr_t)this_cpu(), (uintptr_t)&cpus[0]);
    EXPECT(between != (uintptr_t)&cpus[0]);
}

static void swaps_gs(void) { in_all_forms(check_swapgs); }

struct expected_form {
    uintptr_t function;
    uint8_t length;
    uint8_t native[14];    /* as many bytes as are told below */
    uint8_t native_length;
    uint8_t xen[14];
    uint8_t xen_length;    /* 0: a direct call of… */
    uintptr_t xen_function;
};

#define BYTES(...) {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define CALL_OF(function) {0}, 0, (uintptr_t)(function)

/* One instruction is padded in front; several are followed by NOPs, and only those in front are told here. */
static const struct expected_form forms[] = {
    {(uintptr_t)c_irq_disable, 9, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfa),
     BYTES(0x65, 0xc6, 0x04, 0x25, 65, 0, 0, 0, 1), 0},
    {(uintptr_t)nasm_irq_disable, 9, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfa),
     BYTES(0x65, 0xc6, 0x04, 0x25, 65, 0, 0, 0, 1), 0},
    {(uintptr_t)gas_irq_disable, 9, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfa),
     BYTES(0x65, 0xc6, 0x04, 0x25, 65, 0, 0, 0, 1), 0},
    {(uintptr_t)c_irq_enable, 6, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfb), CALL_OF(tp_xen_pv_irq_enable)},
    {(uintptr_t)c_save_fl, 14, BYTES(0x9c, 0x58),
     BYTES(0x65, 0x0f, 0xb6, 0x04, 0x25, 65, 0, 0, 0, 0x34, 0x01, 0xc1, 0xe0, 0x09), 0},
    {(uintptr_t)c_restore_fl, 6, BYTES(0x57, 0x9d, 0x0f, 0x1f, 0x40, 0x00), CALL_OF(tp_xen_pv_restore_fl)},
    {(uintptr_t)c_safe_halt, 6, BYTES(0x0f, 0x1f, 0x40, 0x00, 0xfb, 0xf4), CALL_OF(tp_xen_pv_safe_halt)},
    {(uintptr_t)c_halt, 6, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xf4), CALL_OF(tp_xen_pv_halt)},
    {(uintptr_t)c_wbinvd, 6, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x0f, 0x09), CALL_OF(tp_xen_pv_wbinvd)},
    {(uintptr_t)c_swapgs, 6, BYTES(0x2e, 0x2e, 0x2e, 0x0f, 0x01, 0xf8), BYTES(0x66, 0x0f, 0x1f, 0x44, 0, 0), 0},
    {(uintptr_t)c_read_cr2, 9, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x0f, 0x20, 0xd0),
     BYTES(0x65, 0x48, 0x8b, 0x04, 0x25, 80, 0, 0, 0), 0},
    {(uintptr_t)c_read_cr3, 6, BYTES(0x2e, 0x2e, 0x2e, 0x0f, 0x20, 0xd8),
     BYTES(0x2e, 0x2e, 0x2e, 0x0f, 0x20, 0xd8), 0},
    {(uintptr_t)c_write_cr3, 6, BYTES(0x2e, 0x2e, 0x2e, 0x0f, 0x22, 0xdf), CALL_OF(tp_xen_pv_write_cr3)},
    {(uintptr_t)c_make_pte, 6, BYTES(0x2e, 0x2e, 0x2e, 0x48, 0x89, 0xf8),
     BYTES(0x2e, 0x2e, 0x2e, 0x48, 0x89, 0xf8), 0},
    {(uintptr_t)c_wait, 6, BYTES(0x2e, 0x2e, 0x2e, 0x2e, 0xf3, 0x90), CALL_OF(tp_xen_pv_wait)},
    {(uintptr_t)c_kick, 6, BYTES(0x66, 0x0f, 0x1f, 0x44, 0, 0), BYTES(0x66, 0x0f, 0x1f, 0x44, 0, 0), 0},
};
enum { FORMS = sizeof forms / sizeof *forms };

static void expect_direct_call(const struct tp_site_info *site, uintptr_t function) {
    uintptr_t opcode = site->address + site->length - 5;
    for (uintptr_t pad = site->address; pad < opcode; pad++)
        EXPECT_BYTES(pad, 0x2e);
    EXPECT_BYTES(opcode, 0xe8);
    EXPECT_EQUAL(branch_target(opcode), function);
    EXPECT_EQUAL(site->form, TP_FORM_DIRECT);
}

static void expect_form(const struct expected_form *form, bool under_xen) {
    struct tp_site_info site = find_site(form->function, 0);
    EXPECT_EQUAL(site.length, form->length);
    EXPECT_EQUAL(site.kind, TP_KIND_OP);
    if (!under_xen)
        expect_bytes((const void *)site.address, form->native, form->native_length, __func__, __LINE__);
    else if (form->xen_length)
        expect_bytes((const void *)site.address, form->xen, form->xen_length, __func__, __LINE__);
    else
        expect_direct_call(&site, form->xen_function);
}

static void expect_forms(bool under_xen) {
    for (unsigned i = 0; i < FORMS; i++)
        expect_form(&forms[i], under_xen);
}

static void holds_what_the_world_asks(void) {
    REQUIRE(start_library(&alias_port));
    for (unsigned i = 0; i < FORMS; i++) {
        struct tp_site_info site = find_site(forms[i].function, 0);
        EXPECT_BYTES(site.address + site.length - 6, 0xff, 0x15);
        EXPECT_EQUAL(site.form, TP_FORM_ORIGINAL);
    }
    EXPECT_EQUAL(branch_target(SITE_OF(c_irq_disable, 0).address + 4), (uintptr_t)&pv_ops.irq.irq_disable);
    REQUIRE_OK(tp_apply());
    expect_forms(world == WORLD_XEN_PV);
    EXPECT_TEXT(SITE_OF(c_irq_disable, 0).key, "pv_ops.irq.irq_disable");
}

/* Nothing may run through the table in between: text of the other world. */
static void moves_between_worlds(void) {
    REQUIRE(start_applied());
    uint64_t own = hash_text();
    pv_ops = world == WORLD_XEN_PV ? tp_native_ops : tp_xen_pv_ops;
    REQUIRE_OK(tp_apply());
    EXPECT(hash_text() != own);
    expect_forms(world != WORLD_XEN_PV);
    choose_pv_ops();
    REQUIRE_OK(tp_apply());
    EXPECT_EQUAL(hash_text(), own);
    check_irq_ops();
}

unsigned disables_counted;
void count_disable(void);
__attribute__((used)) void count_disable(void) {
    disables_counted++;
    mask_interrupts();
}
TP_CALLEE_SAVE_THUNK(count_disable);

static void updates_an_op(void) {
    REQUIRE(start_applied());
    uint64_t first = hash_text();
    void (*own)(void) = pv_ops.irq.irq_disable;
    disables_counted = 0; /* unwind steps through this case once more */
    EXPECT_OK(tp_op_update(pv_ops.irq.irq_disable, count_disable_callee_save));
    for (unsigned i = 0; i < IRQ_CALLERS; i++) {
        unmask_interrupts();
        irq_callers[i].disable();
        EXPECT(interrupts_are_masked());
        struct tp_site_info site = find_site((uintptr_t)irq_callers[i].disable, 0);
        expect_direct_call(&site, (uintptr_t)count_disable_callee_save);
    }
    EXPECT_EQUAL(disables_counted, IRQ_CALLERS);
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_op_update(pv_ops.irq.irq_disable, tp_nop_function));
    EXPECT_EQUAL(SITE_OF(c_irq_disable, 0).form, TP_FORM_NOP);
    EXPECT_OK(tp_op_update(pv_ops.irq.irq_disable, own));
    EXPECT_EQUAL(hash_text(), first);
    check_irq_ops();
    EXPECT_EQUAL(disables_counted, IRQ_CALLERS);
}

struct {
    int (*missing)(int);
} null_ops;
TP_OPS(null) { TP_OP(null_ops.missing); }
ONE_COPY static int call_missing(int value) { return TP_CALL(null_ops.missing, value); }

static struct tp_site_info trapped_at;

static bool step_over_missing_op(struct tp_regs *regs) {
    if (!tp_describe_site(regs->rip, &trapped_at))
        return false;
    regs->rip = trapped_at.address + trapped_at.length;
    regs->rax = 77;
    return true;
}

static void names_a_missing_op(void) {
    REQUIRE(start_applied());
    struct tp_site_info site = SITE_OF(call_missing, 0);
    EXPECT_BYTES(site.address, 0x0f, 0x0b, 0xcc, 0xcc, 0xcc, 0xcc);
    EXPECT_EQUAL(site.form, TP_FORM_TRAP);
    exception_handler before = set_exception_handler(VECTOR_INVALID_OPCODE, step_over_missing_op);
    EXPECT_EQUAL(call_missing(1), 77);
    set_exception_handler(VECTOR_INVALID_OPCODE, before);
    EXPECT_TEXT(trapped_at.key, "null_ops.missing");
    EXPECT_EQUAL(trapped_at.address, site.address);
}

static void allow_cli(bool allow) {
    struct physdev_set_iopl privilege = {.iopl = allow};
    if (world == WORLD_XEN_PV)
        EXPECT_EQUAL(hypercall2(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, (unsigned long)&privilege), 0);
}

static void finds_the_wrong_worlds_bytes(void) {
    const struct expected_form *form = &forms[0];
    bool under_xen = world == WORLD_XEN_PV;
    uintptr_t named = 0;
    REQUIRE(start_applied());
    uint64_t right = hash_text(), site = SITE_OF(c_irq_disable, 0).address;
    allow_cli(true);
    c_irq_enable();
    poke_text(site, under_xen ? form->native : form->xen, form->length);
    c_irq_disable();
    EXPECT(!interrupts_are_masked());
    nasm_irq_disable();
    EXPECT(interrupts_are_masked()); /* the other sites are right */
    allow_cli(false);
    EXPECT_EQUAL(count_differences(&named), 1);
    EXPECT_EQUAL(named, site);
    EXPECT_TEXT(tp_last_error()->key, "pv_ops.irq.irq_disable");
    EXPECT_STATUS(tp_revert(), TP_ERR_UNEXPECTED_BYTES);
    poke_text(site, under_xen ? form->xen : form->native, form->length);
    EXPECT_EQUAL(hash_text(), right);
    EXPECT_EQUAL(count_differences(NULL), 0);
    c_irq_enable();
    c_irq_disable();
    EXPECT(interrupts_are_masked());
    this_cpu()->vcpu_info.evtchn_upcall_mask = 1;
}

KTAP_SUITE(ops, {"irq ops from C, NASM and GAS", switches_interrupts},
           {"irq ops block an interrupt", blocks_interrupts},
           {"safe_halt and halt wake", sleeps_and_wakes}, {"iret by a jump", returns_by_iret},
           {"cpu, mmu and lock ops", runs_other_ops}, {"swapgs", swaps_gs},
           {"bytes are those of this world", holds_what_the_world_asks},
           {"the table moves to the other world and back", moves_between_worlds},
           {"an op is updated", updates_an_op},
           {"a missing op traps and has a name", names_a_missing_op},
           {"the other world's bytes don't mask, and are named", finds_the_wrong_worlds_bytes});
