/* SPDX-License-Identifier: MIT */
#include "backends.h"

#include "platform.h"

/* traced.S */
#define FOR_EACH_TRACED_OP(macro)                                                                            \
    macro(irq, save_fl) macro(irq, restore_fl) macro(irq, irq_disable) macro(irq, irq_enable)                \
    macro(irq, safe_halt) macro(irq, halt) macro(cpu, wbinvd) macro(mmu, read_cr2) macro(mmu, read_cr3)      \
    macro(mmu, write_cr3) macro(mmu, make_pte) macro(mmu, pte_val) macro(lock, unlock) macro(lock, wait)     \
    macro(lock, kick)

#define DECLARE(group, op) void traced_##op(void) __attribute__((visibility("hidden")));
FOR_EACH_TRACED_OP(DECLARE)

/* As the traced functions see the table of functions that they go on to: slots. */
typedef uintptr_t __attribute__((may_alias)) slot;
uintptr_t traced_targets[OPS] __attribute__((visibility("hidden")));

_Static_assert(offsetof(struct cpu, free_for_suites) == 16, "traced.S finds a CPU's counts there");

static uintptr_t tables[BACKENDS][OPS];

static void fill_table(uintptr_t *table, const struct tp_ops *ops) {
    for (unsigned op = 0; op < OPS; op++)
        table[op] = ((const slot *)ops)[op];
}

/*
 * Three ops stay as they are: swapgs and the ways back to user mode, which are called when %gs or the stack is the
 * user's, where nothing can be counted.
 */
static void trace_ops(uintptr_t *table) {
#define TRACE(group, op) table[offsetof(struct tp_ops, group.op) / sizeof(uintptr_t)] = (uintptr_t)traced_##op;
    FOR_EACH_TRACED_OP(TRACE)
}

void set_up_backends(void) {
    pv_ops = *world_ops();
    fill_table(traced_targets, &pv_ops);
    fill_table(tables[PLAIN_BACKEND], &pv_ops);
    fill_table(tables[TRACED_BACKEND], &pv_ops);
    trace_ops(tables[TRACED_BACKEND]);
}

void trace_into(struct traced_calls *calls) { this_cpu()->free_for_suites[0] = (uintptr_t)calls; }

enum tp_status switch_table(enum backend_kind to) {
    enum tp_status status = tp_batch_begin();
    if (status != TP_OK)
        return status;
    for (unsigned op = 0; op < OPS && status == TP_OK; op++)
        status = tp_batch_set((slot *)&pv_ops + op, tables[to][op]);
    if (status == TP_OK)
        return tp_batch_commit();
    (void)!tp_batch_cancel();
    return status;
}

const char *name_own_function(uintptr_t address) {
#define NAME(group, op)                                                                                      \
    if (address == (uintptr_t)traced_##op)                                                                   \
        return "traced_" #op;
    FOR_EACH_TRACED_OP(NAME)
    return NULL;
}
