/* SPDX-License-Identifier: MIT */
/*
 * What the programs of tests/silicon share: cmocka, and the library with this program's own sites.
 */
#ifndef SILICON_HARNESS_H
#define SILICON_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "silicon_port.h"
#include "sites.h"

#include <cmocka.h>

static struct tp_image program;
static bool library_runs;

static inline void must_be(enum tp_status wanted, enum tp_status status, const char *call) {
    char message[TP_MESSAGE_MAX];
    if (status == wanted)
        return;
    tp_format_error(tp_last_error(), message, sizeof message);
    fail_msg("%s: %s, not %s; last: %s", call, tp_status_text(status), tp_status_text(wanted), message);
}
#define must(call) must_be(TP_OK, call, #call)
#define must_answer(status, call) must_be(status, call, #call)

static inline void stop_library(void) {
    if (!library_runs)
        return;
    library_runs = false;
    must(tp_cpus_running(false));
    must(tp_revert());
    must(tp_finish());
}

/* With all sites applied, from what the linker put there, and this thread as CPU 0. */
static inline void start_library(const struct tp_live_options *options) {
    if (library_runs) /* a test has failed before it could */
        stop_library();
    silicon_reset();
    program = (struct tp_image){.name = "program"};
    silicon_program_image(&program);
    must(tp_init(&silicon_port));
    must(tp_set_live_options(options));
    must(tp_image_add(&program));
    must(tp_set_cpu_count(2));
    must(tp_apply());
    must(tp_cpus_running(true));
    library_runs = true;
}

/* For cmocka_run_group_tests(): the port, and a skip that says why. */
static inline int start_process(void **state) {
    (void)state;
    const char *why = silicon_start();
    if (why) {
        printf("skipped: %s\n", why);
        exit(SILICON_SKIPPED);
    }
    silicon_pin(0);
    silicon_enter(0);
    return 0;
}

#endif
