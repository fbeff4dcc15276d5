/* SPDX-License-Identifier: MIT */
#include "pv_ops.h"

#include "platform.h"

struct tp_ops pv_ops;
struct own_ops own_ops;
TP_OPS(pv) {
    TP_OPS_OF(pv_ops);
    TP_OP(own_ops.weigh);
}

/* Two ways to the same sum, in which each argument has a weight of its own: one that got lost would be
 * missed. */
static unsigned long native_weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    return a + 2ul * b + 3ul * c + 4ul * d + 5ul * e + 6ul * f;
}
static unsigned long xen_pv_weigh(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    unsigned long from_f = f, from_e = from_f + e, from_d = from_e + d, from_c = from_d + c,
                  from_b = from_c + b;
    return from_f + from_e + from_d + from_c + from_b + (from_b + a);
}

void choose_ops(void) {
    pv_ops = world == WORLD_XEN_PV ? tp_xen_pv_ops : tp_native_ops;
    own_ops.weigh = world == WORLD_XEN_PV ? xen_pv_weigh : native_weigh;
}

/* Both tables as what they are to the counting functions in sites.S: slots. */
typedef uintptr_t __attribute__((may_alias)) slot;
enum { PV_SLOTS = sizeof pv_ops / sizeof(slot), SLOTS = PV_SLOTS + 1, COUNTING_FUNCTION_BYTES = 16 };
_Static_assert(SLOTS == 19, "sites.S has as many counting functions");

extern const uint8_t counting_functions[] __attribute__((visibility("hidden")));
unsigned long counted_calls[SLOTS] __attribute__((visibility("hidden")));
uintptr_t counted_targets[SLOTS] __attribute__((visibility("hidden")));

static slot *find_slot(unsigned number) {
    return number < PV_SLOTS ? (slot *)&pv_ops + number : (slot *)&own_ops;
}

void count_table_calls(void) {
    for (unsigned i = 0; i < SLOTS; i++) {
        slot *cell = find_slot(i);
        counted_targets[i] = *cell;
        counted_calls[i] = 0;
        *cell = (uintptr_t)&counting_functions[COUNTING_FUNCTION_BYTES * i];
    }
}

void stop_counting(void) {
    for (unsigned i = 0; i < SLOTS; i++)
        *find_slot(i) = counted_targets[i];
}

unsigned long table_calls(const void *cell) {
    for (unsigned i = 0; i < SLOTS; i++)
        if (find_slot(i) == cell)
            return counted_calls[i];
    panic("there is no slot at %p", cell);
}

#define NAMED(function)                                                                                      \
    { (uintptr_t)(function), #function }

const char *name_function(uintptr_t address) {
    static const struct {
        uintptr_t address;
        const char *name;
    } functions[] = {
        NAMED(tp_native_save_fl),    NAMED(tp_native_restore_fl), NAMED(tp_native_irq_disable),
        NAMED(tp_native_irq_enable), NAMED(tp_native_safe_halt),  NAMED(tp_native_halt),
        NAMED(tp_native_wbinvd),     NAMED(tp_native_swapgs),     NAMED(tp_native_usergs_sysret64),
        NAMED(tp_native_iret),       NAMED(tp_native_read_cr2),   NAMED(tp_native_read_cr3),
        NAMED(tp_native_write_cr3),  NAMED(tp_native_unlock),     NAMED(tp_native_wait),
        NAMED(tp_xen_pv_save_fl),    NAMED(tp_xen_pv_restore_fl), NAMED(tp_xen_pv_irq_disable),
        NAMED(tp_xen_pv_irq_enable), NAMED(tp_xen_pv_safe_halt),  NAMED(tp_xen_pv_halt),
        NAMED(tp_xen_pv_wbinvd),     NAMED(tp_xen_pv_iret),       NAMED(tp_xen_pv_usergs_sysret64),
        NAMED(tp_xen_pv_read_cr2),   NAMED(tp_xen_pv_write_cr3),  NAMED(tp_xen_pv_wait),
        NAMED(tp_nop_function),      NAMED(tp_identity64),        NAMED(tp_return0),
        NAMED(native_weigh),         NAMED(xen_pv_weigh),
    };
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].address == address)
            return functions[i].name;
    return NULL;
}
