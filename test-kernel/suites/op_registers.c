/* SPDX-License-Identifier: MIT */
/*
 * op_registers: every op keeps every register but rax, in the original form and in this world's.
 *
 *   all registers are loaded, the op is called, all are compared; irq ops with an interrupt pending, too
 *   a C function that changes every register, by way of its callee-save thunk
 *   a C function that is compiled to keep them, with GCC
 *   the first of these without its thunk is noticed: the test can fail
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

ONE_COPY static unsigned long cr3_now(void) { return read_cr3(); }

static void wait_for_events(uint64_t count) {
    for (unsigned tries = 0; tries < 100000 && event_count != count; tries++)
        __asm__ volatile("pause");
}

static void fill_registers(uint64_t *registers, uint64_t seed) {
    for (unsigned i = 0; i < REGISTERS; i++)
        registers[i] = (seed + i) * 0x9e3779b97f4a7c15;
}

static unsigned count_changed(void (*site)(uint64_t *), uint64_t rdi) {
    uint64_t before[REGISTERS], after[REGISTERS];
    unsigned changed = 0;
    fill_registers(before, (uintptr_t)site);
    before[REGISTER_RDI] = rdi;
    for (unsigned i = 0; i < REGISTERS; i++)
        after[i] = before[i];
    site(after);
    for (unsigned i = 1; i < REGISTERS; i++) /* rax is the result */
        changed += after[i] != before[i];
    return changed;
}

/* Called by the assembler's sites survive_thunk and survive_clobbering. */
struct {
    long (*thunk)(long, long, long);
    long (*clobbering)(long, long, long);
} survival_ops;
TP_OPS(survival) {
    TP_OP(survival_ops.thunk);
    TP_OP(survival_ops.clobbering);
}

long clobber_registers(long first, long second, long third);
__attribute__((used, noinline)) long clobber_registers(long first, long second, long third) {
    __asm__ volatile("" : : : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    __asm__ volatile("xor %%ecx, %%ecx\n\txor %%edx, %%edx\n\txor %%esi, %%esi\n\txor %%r8d, %%r8d\n\t"
                     "xor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\txor %%r11d, %%r11d"
                     : : : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc");
    return first + second + third;
}
TP_CALLEE_SAVE_THUNK(clobber_registers);

#ifdef TP_CALLEE_SAVE
TP_CALLEE_SAVE static long change_arguments(long first, long second, long third) {
    first *= third;
    second += first;
    third ^= second;
    return first + second * third;
}
#else
#define change_arguments clobber_registers_callee_save
#endif

static void check_survival(void) {
    static void (*const sites[])(uint64_t *) = {survive_save_fl,  survive_irq_disable, survive_irq_enable,
                                                survive_wbinvd,   survive_read_cr2,    survive_read_cr3,
                                                survive_make_pte, survive_pte_val,     survive_wait,
                                                survive_kick,     survive_thunk};
    uint8_t byte = 1;
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++)
        EXPECT_EQUAL(count_changed(sites[i], 0x123456789abcdef0), 0);
    uint64_t before = event_count;
    mask_interrupts();
    EXPECT_EQUAL(count_changed(survive_restore_fl, 2), 0);
    raise_event();
    EXPECT_EQUAL(count_changed(survive_restore_fl, FLAGS_IF | 2), 0); /* by way of the hypercall, under Xen */
    wait_for_events(before + 1);
    mask_interrupts();
    raise_event();
    EXPECT_EQUAL(count_changed(survive_irq_enable, 5), 0);
    wait_for_events(before + 2);
    mask_interrupts();
    raise_event();
    EXPECT_EQUAL(count_changed(survive_safe_halt, 5), 0);
    wait_for_events(before + 3);
    EXPECT_EQUAL(event_count, before + 3);
    mask_interrupts();
    EXPECT_EQUAL(count_changed(survive_write_cr3, cr3_now()), 0);
    EXPECT_EQUAL(count_changed(survive_unlock, (uintptr_t)&byte), 0);
    EXPECT_EQUAL(byte, 0);
}

static void keeps_registers(void) {
    survival_ops.thunk = clobber_registers_callee_save;
    REQUIRE(start_library(&alias_port));
    check_survival();
    REQUIRE_OK(tp_apply());
    check_survival();
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_op_update(survival_ops.thunk, (long (*)(long, long, long))(void *)change_arguments));
    EXPECT_EQUAL(count_changed(survive_thunk, 0x123456789abcdef0), 0);
}

static void notices_changed_registers(void) {
    survival_ops.clobbering = clobber_registers;
    EXPECT(count_changed(survive_clobbering, 5) >= 7);
    REQUIRE(start_applied());
    EXPECT(count_changed(survive_clobbering, 5) >= 7);
}

KTAP_SUITE(op_registers, {"all registers but rax are kept", keeps_registers},
           {"a callee that changes them is noticed", notices_changed_registers});
