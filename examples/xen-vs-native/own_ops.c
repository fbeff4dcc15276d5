/* SPDX-License-Identifier: MIT */
#include "own_ops.h"

#include "platform.h"

struct own_ops own_ops;
TP_OPS(own) {
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
    pv_ops = *world_ops();
    own_ops.weigh = world == WORLD_XEN_PV ? xen_pv_weigh : native_weigh;
}

/* Both tables as what they are to the counting functions in sites.S: slots. */
typedef uintptr_t __attribute__((may_alias)) slot;
enum { PV_SLOTS = sizeof pv_ops / sizeof(slot), SLOTS = PV_SLOTS + 1, COUNTING_FUNCTION_BYTES = 16 };
_Static_assert(SLOTS == 20, "sites.S has as many counting functions");

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

const char *name_own_function(uintptr_t address) {
    if (address == (uintptr_t)native_weigh)
        return "native_weigh";
    return address == (uintptr_t)xen_pv_weigh ? "xen_pv_weigh" : NULL;
}
