/* SPDX-License-Identifier: MIT */
/*
 * Every op of struct tp_ops where a kernel really has it: in the entries and the ways out of them, in the
 * page fault's path, in the change from one process to another, in locks and in the idle loop. One workload
 * runs three times, through the table, by direct calls, and as this world's own instructions; what is called
 * is counted, and what it does is looked at.
 */
#include <textpatch/engine.h>

#include "counting.h"
#include "effects.h"
#include "kernel_ops.h"
#include "platform.h"
#include "programs.h"
#include "pv_ops.h"
#include "show.h"
#include "sites.h"
#include "table.h"

enum { MOMENT = 10000 };

static struct tp_image kernel;

static struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text, .log = print_message};

const char *name_own_function(uintptr_t address) {
    (void)address;
    return NULL;
}

/* Whatever is still pending comes now, and not in the middle of what is counted. */
static void let_interrupts_in(void) {
    unmask_interrupts();
    for (unsigned i = 0; i < MOMENT; i++)
        __asm__ volatile("pause");
    mask_interrupts();
}

/* The table's functions count. */
static void run_workload(enum form form) {
    forget_effects();
    run_kernel_ops();
    run_programs();
    keep_calls(form);
    run_sleeping_ops();
    keep_calls_of_sleepers(form);
    keep_bytes(form);
    let_interrupts_in();
}

void kernel_main(const char *command_line) {
    (void)command_line;
    protect_text();
    build_shared_tables();
    let_interrupts_in();
    print_heading("1. The text as linked: each call goes through the table");
    print_world();
    show_start(&port, &kernel);
    choose_sites();
    count_table_calls(NULL);
    run_workload(AS_LINKED);
    stop_counting();

    print_heading("2. The table's functions count, the text calls them, and then it is this world's own");
    count_table_calls(NULL);
    show_status("tp_apply, functions that count", tp_apply());
    run_workload(DIRECT);
    stop_counting();
    show_status("tp_apply, this world's functions", tp_apply());
    count_table_calls(NULL);
    run_workload(PATCHED);
    stop_counting();
    show_status("tp_audit", tp_audit(NULL, NULL));

    print_heading("3. Every op");
    print_table();
    end_demo();
}
