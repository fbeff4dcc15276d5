/* SPDX-License-Identifier: MIT */
#include "counting.h"

#include "platform.h"
#include "pv_ops.h"

/* The table as what it is to the counting functions: slots. */
typedef uintptr_t __attribute__((may_alias)) slot;
enum { PV_SLOTS = sizeof pv_ops / sizeof(slot), SLOTS = PV_SLOTS + 1, COUNTING_FUNCTION_BYTES = 16 };
_Static_assert(SLOTS == 20, "counting.S has as many functions");

extern const uint8_t counting_functions[] __attribute__((visibility("hidden")));
unsigned long counted_calls[SLOTS] __attribute__((visibility("hidden")));
uintptr_t counted_targets[SLOTS] __attribute__((visibility("hidden")));

static slot *own;

static slot *find_slot(unsigned number) { return number < PV_SLOTS ? (slot *)&pv_ops + number : own; }

void count_table_calls(void *own_slot) {
    own = own_slot;
    for (unsigned i = 0; i < SLOTS; i++) {
        slot *cell = find_slot(i);
        if (!cell)
            continue;
        counted_targets[i] = *cell;
        counted_calls[i] = 0;
        *cell = (uintptr_t)&counting_functions[COUNTING_FUNCTION_BYTES * i];
    }
}

void stop_counting(void) {
    for (unsigned i = 0; i < SLOTS; i++)
        if (find_slot(i))
            *find_slot(i) = counted_targets[i];
}

unsigned long table_calls(const void *cell) {
    for (unsigned i = 0; i < SLOTS; i++)
        if (find_slot(i) == cell)
            return counted_calls[i];
    panic("there is no slot at %p", cell);
}

/* As in counting.S. */
const char *name_counting_function(uintptr_t address) {
    static const char *const names[SLOTS] = {
        "count_save_fl",         "count_restore_fl", "count_irq_disable", "count_irq_enable",
        "count_safe_halt",       "count_halt",       "count_wbinvd",      "count_swapgs",
        "count_usergs_sysret64", "count_iret",       "count_load_gs",     "count_read_cr2",
        "count_read_cr3",        "count_write_cr3",  "count_make_pte",    "count_pte_val",
        "count_unlock",          "count_wait",       "count_kick",        "count_own",
    };
    uintptr_t offset = address - (uintptr_t)counting_functions;
    if (offset >= SLOTS * COUNTING_FUNCTION_BYTES || offset % COUNTING_FUNCTION_BYTES != 0)
        return NULL;
    return names[offset / COUNTING_FUNCTION_BYTES];
}
