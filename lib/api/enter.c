/* SPDX-License-Identifier: MIT */
/*
 * One caller at a time. While one CPU runs there can be no other, and no lock is needed; but a batch may be open.
 */
#include "../api/pass.h"

#include "../port.h"
#include "../report.h"
#include "../serialize.h"

/* Who has entered: the port's word for it, or ALONE. Only ever compared with oneself, so it needs no lock. */
enum { ALONE = 1 };
static volatile uintptr_t entered_by;
static bool has_lock;

/* NULL if there are all. stop_cpus is not asked for: only sites that go by rendezvous need it. */
static const char *missing_hook(void) {
    const struct tp_port *port = tp_port();
    if (!port->map_text)
        return "map_text";
    if (!port->lock)
        return "lock";
    if (!port->unlock)
        return "unlock";
    if (!port->caller)
        return "caller";
    if (!port->may_wait)
        return "may_wait";
    return port->sync_cpus ? NULL : "sync_cpus";
}

static uintptr_t this_caller(void) {
    return tp_registry.others_run ? tp_port()->caller() : ALONE;
}

static enum tp_status enter_among_others(void) {
    const char *missing = missing_hook();
    if (missing)
        return tp_fail(&(struct tp_error){.status = TP_ERR_PORT_HOOK_MISSING, .hook = missing});
    if (!tp_port()->may_wait())
        return tp_fail_with(TP_ERR_WRONG_CONTEXT);
    if (entered_by == this_caller())
        return tp_fail_with(TP_ERR_BATCH_OPEN);
    tp_port()->lock();
    has_lock = true;
    return TP_OK;
}

enum tp_status tp_enter(void) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (!tp_registry.others_run && entered_by)
        return tp_fail_with(TP_ERR_BATCH_OPEN);
    enum tp_status status = tp_registry.others_run ? enter_among_others() : TP_OK;
    if (status != TP_OK)
        return status;
    entered_by = this_caller();
    tp_registry.by_amd = tp_state_has(&tp_registry.wanted, TP_FEATURE_VENDOR_AMD);
    return TP_OK;
}

/* Asked before the first int3 of a site and not at it, when it would be too late to say so. */
enum tp_status tp_check_breakpoints(void) {
    if (missing_hook() || tp_probe_breakpoint())
        return TP_OK;
    return tp_fail_with(TP_ERR_NO_BREAKPOINT);
}

/* Where a hook is missing nobody writes: what is kept out by the lock elsewhere is other callers that look. */
enum tp_status tp_enter_to_read(void) {
    return tp_registry.initialized && tp_registry.others_run && missing_hook() ? TP_OK : tp_enter();
}

void tp_leave(void) {
    entered_by = 0;
    if (has_lock) {
        has_lock = false;
        tp_port()->unlock();
    }
}

bool tp_has_entered(void) {
    return entered_by != 0;
}

enum tp_status tp_check_entered(void) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    return entered_by && entered_by == this_caller() ? TP_OK : tp_fail_with(TP_ERR_NO_BATCH);
}

enum tp_status tp_check_may_wait(void) {
    return tp_registry.others_run && !tp_port()->may_wait() ? tp_fail_with(TP_ERR_WRONG_CONTEXT) : TP_OK;
}

enum tp_status tp_sync_cpus(void) {
    unsigned silent = 0;
    if (!tp_registry.others_run || tp_port()->sync_cpus(&silent))
        return TP_OK;
    return tp_fail(&(struct tp_error){.status = TP_ERR_CPU_SILENT, .value = silent});
}
