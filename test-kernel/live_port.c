/* SPDX-License-Identifier: MIT */
#include "live_port.h"

#include "platform.h"
#include "pv_ops.h"
#include "smp.h"
#include "support.h"

struct live_counts live_counts;
struct live_faults live_faults;
unsigned live_order_faults;
bool live_order_without_middle;
void (*live_step_hook)(const struct tp_trace *trace);
void (*live_foreign_hook)(struct tp_regs *regs);

/* ---- What has been written since the last sync ---- */

enum { WRITES = 4096 };

static struct {
    unsigned count;
    uintptr_t start, end; /* of all of them */
    struct {
        uintptr_t address;
        unsigned length;
    } of[WRITES];
} writes;

static void forget_writes(void) {
    writes.count = 0;
    writes.start = UINTPTR_MAX;
    writes.end = 0;
}

static void note_write(uintptr_t address, unsigned length) {
    if (writes.count == WRITES)
        panic("live_port.c notes %u writes, and there are more", WRITES);
    writes.of[writes.count].address = address;
    writes.of[writes.count++].length = length;
    if (address < writes.start)
        writes.start = address;
    if (address + length > writes.end)
        writes.end = address + length;
}

static void store_again(void *alias) {
    for (unsigned i = 0; i < writes.count; i++) {
        volatile uint8_t *to = (uint8_t *)alias + (writes.of[i].address - writes.start);
        const volatile uint8_t *from = (const volatile uint8_t *)writes.of[i].address;
        for (unsigned byte = 0; byte < writes.of[i].length; byte++)
            to[byte] = from[byte];
    }
}

static enum rendezvous sync_and_store_again(unsigned *silent) {
    size_t length = writes.end - writes.start;
    void *alias = map_text(writes.start, length);
    if (!alias)
        panic("live_port.c: no alias of %lu bytes", length);
    enum rendezvous result = stop_others(NULL, store_again, alias, silent);
    unmap_text(alias, length);
    return result;
}

bool live_port_is_plain(void) {
    static int plain = -1;
    if (plain < 0)
        plain = command_line_has("plain-sync");
    return plain;
}

static bool make_sync(unsigned *silent) {
    if (live_port_is_plain() || !writes.count) {
        bool all = sync_others(silent);
        tp_serialize_cpu();
        return all;
    }
    return sync_and_store_again(silent) == RENDEZVOUS_DONE;
}

/* ---- Judging the order ---- */

enum { SITES = 2048 };

enum progress { TRAPPED, TAILED, WHOLE, STOPPED };

static struct {
    bool open, set;
    bool stopping; /* all other CPUs stand still */
    unsigned syncs_asked;
    const char *fault;
    unsigned count;
    struct {
        uintptr_t address;
        enum progress progress;
        unsigned syncs; /* that had been made when it came to this */
    } sites[SITES];
} order;

const char *live_order_fault(void) {
    return order.fault;
}

void forget_live_order_faults(void) {
    live_order_faults = 0;
    order.fault = NULL;
}

static void require(bool held, const char *fault) {
    if (held)
        return;
    live_order_faults++;
    if (!order.fault)
        order.fault = fault;
}

/* The number of the site in this batch; order.count if it has none yet. */
static unsigned find_number(uintptr_t address) {
    unsigned number = 0;
    while (number < order.count && order.sites[number].address != address)
        number++;
    return number;
}

static void set_progress(unsigned number, uintptr_t address, enum progress progress) {
    if (number == SITES)
        panic("live_port.c judges %u sites, and there are more", SITES);
    if (number == order.count)
        order.count++;
    order.sites[number].address = address;
    order.sites[number].progress = progress;
    order.sites[number].syncs = live_counts.syncs;
}

static void begin_site(uintptr_t address, enum progress progress) {
    unsigned number = find_number(address);
    require(order.open, "a site outside a batch");
    require(order.set, "a site before the cells");
    require(number == order.count, "a site twice");
    set_progress(number, address, progress);
}

static bool is_in_state(unsigned number, enum progress progress) {
    return number < order.count && order.sites[number].progress == progress;
}

static bool was_synced(unsigned number) {
    return number < order.count && order.sites[number].syncs < live_counts.syncs;
}

static void judge_tail(uintptr_t address) {
    unsigned number = find_number(address);
    require(is_in_state(number, TRAPPED), "a tail without its int3");
    require(was_synced(number), "a tail without a sync since the int3");
    set_progress(number, address, TAILED);
}

/* A site of one byte has no tail. */
static void judge_first(uintptr_t address) {
    unsigned number = find_number(address);
    bool has_tail = is_in_state(number, TAILED);
    require(has_tail || is_in_state(number, TRAPPED), "a first byte without its int3");
    require(was_synced(number) || (has_tail && live_order_without_middle),
            "a first byte without a sync since the tail");
    set_progress(number, address, WHOLE);
}

static void judge_end(void) {
    require(order.open, "an end without a beginning");
    for (unsigned i = 0; i < order.count; i++) {
        require(order.sites[i].progress >= WHOLE, "an end with an int3 in the text");
        require(order.sites[i].progress == STOPPED || was_synced(i), "an end without a sync since the last byte");
    }
    order.open = false;
}

static void judge_begin(void) {
    require(!order.open, "a batch in a batch");
    order.open = true;
    order.set = false;
    order.count = order.syncs_asked = 0;
}

static void judge(const struct tp_trace *trace) {
    switch (trace->step) {
    case TP_STEP_BEGIN: judge_begin(); break;
    case TP_STEP_SET: order.set = true; break;
    case TP_STEP_INT3: begin_site(trace->site, TRAPPED); break;
    case TP_STEP_TAIL: judge_tail(trace->site); break;
    case TP_STEP_FIRST: judge_first(trace->site); break;
    case TP_STEP_STORE: begin_site(trace->site, WHOLE); break;
    case TP_STEP_STOPPED:
        require(order.stopping, "a site of several instructions while others run");
        begin_site(trace->site, STOPPED);
        break;
    case TP_STEP_END: judge_end(); break;
    default: break;
    }
}

/* ---- The hooks ---- */

static void trace_step(const struct tp_trace *trace) {
    if (trace->step < TP_STEPS)
        live_counts.steps[trace->step]++;
    if (trace->length && trace->step != TP_STEP_STOPPED) /* nobody translates what stands still */
        note_write(trace->address, trace->length);
    judge(trace);
    if (trace->step == TP_STEP_INT3 && trace->site == live_faults.int3_site)
        poke_text(trace->site, &live_faults.int3_byte, 1);
    if (live_step_hook)
        live_step_hook(trace);
}

static bool lock_taken;

static void take_lock(void) {
    while (__atomic_test_and_set(&lock_taken, __ATOMIC_ACQUIRE))
        __asm__ volatile("pause");
}

static void leave_lock(void) {
    __atomic_clear(&lock_taken, __ATOMIC_RELEASE);
}

static uintptr_t number_caller(void) {
    return cpu_index() + 1;
}

/* Handlers of all kinds run masked in this kernel, NMI and #BP included, in both worlds. */
static bool may_wait(void) {
    return !interrupts_are_masked();
}

static bool sync_cpus(unsigned *silent) {
    if (live_faults.dropped_syncs & 1u << order.syncs_asked++)
        return true;
    if (!make_sync(silent)) {
        order.syncs_asked--;
        return false;
    }
    live_counts.syncs++;
    forget_writes();
    return true;
}

static bool always(uintptr_t ip) {
    (void)ip;
    return true;
}

struct errand {
    void (*write)(void *);
    void *argument;
};

static void write_stopped(void *argument) {
    const struct errand *errand = argument;
    order.stopping = true;
    errand->write(errand->argument);
    order.stopping = false;
}

static enum tp_stop stop_cpus(bool (*may_proceed)(uintptr_t ip), void (*write)(void *), void *argument,
                              unsigned *silent) {
    struct errand errand = {write, argument};
    if (live_faults.everywhere)
        may_proceed = always;
    if (live_faults.never) {
        live_counts.busy++;
        return TP_STOP_BUSY;
    }
    switch (stop_others(may_proceed, write_stopped, &errand, silent)) {
    case RENDEZVOUS_DONE:
        live_counts.stops++;
        return TP_STOP_DONE;
    case RENDEZVOUS_BUSY:
        live_counts.busy++;
        return TP_STOP_BUSY;
    default:
        return TP_STOP_SILENT;
    }
}

static void take_foreign(struct tp_regs *regs) {
    __atomic_add_fetch(&live_counts.foreign, 1, __ATOMIC_RELAXED);
    if (live_foreign_hook)
        live_foreign_hook(regs);
}

const struct tp_port live_port = {
    .map_text = map_text,
    .unmap_text = unmap_text,
    .cpuid = ask_cpuid,
    .lock = take_lock,
    .unlock = leave_lock,
    .caller = number_caller,
    .may_wait = may_wait,
    .sync_cpus = sync_cpus,
    .stop_cpus = stop_cpus,
    .trace = trace_step,
    .breakpoint = take_foreign,
};

void reset_live_port(void) {
    live_counts = (struct live_counts){0};
    live_faults = (struct live_faults){0};
    live_step_hook = NULL;
    live_foreign_hook = NULL;
    live_order_without_middle = false;
    forget_live_order_faults();
    order.open = order.stopping = false;
    order.count = 0;
    forget_writes();
}
