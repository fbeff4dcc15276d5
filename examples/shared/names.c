/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <textpatch/ops.h>

#include "counting.h"
#include "platform.h"

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
        NAMED(tp_native_load_gs),    NAMED(tp_xen_pv_load_gs),
        {(uintptr_t)tp_static_call(trace_entry), "trampoline_trace_entry"},
        {(uintptr_t)tp_static_call(trace_exit), "trampoline_trace_exit"},
        NAMED(tp_nop_function),      NAMED(tp_identity64),        NAMED(tp_return0),
    };
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].address == address)
            return functions[i].name;
    const char *name = name_counting_function(address);
    return name ? name : name_own_function(address);
}
