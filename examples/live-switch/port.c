/* SPDX-License-Identifier: MIT */
#include "port.h"

#include "platform.h"
#include "show.h"
#include "sites.h"
#include "smp.h"
#include "support.h"

/* An emulator on a machine that does much else may let a CPU wait for long: many times a short while. */
enum { TIMEOUT = 20000000, TRIES = 3000, TRIES_NO_CHECK = 100, MOMENTS_MAX = 1024 };

unsigned stops_inside;
static unsigned tries_max;

/*
 * What an emulator gets wrong (test-kernel/live_port.h) can be an int3 that is long gone from memory. A CPU that
 * executes it with interrupts masked is sent back to it for ever, and never comes to the sync that would end it. So
 * whoever waits for long stores the bytes once more. No CPU needs that: the return from #BP serialises.
 */
static bool sync_patiently(unsigned *silent) {
    for (unsigned tries = 0; tries < tries_max; tries++) {
        if (live_port.sync_cpus(silent))
            return true;
        store_sites_again();
    }
    return false;
}

static bool proceed_anyway(uintptr_t ip) {
    if (tp_preempt_ok(ip))
        return true;
    if (stops_inside++ == 0)
        print_format("  no-check: a CPU stands inside a site, at %016lx, and the site is written\n", ip);
    return true;
}

static void pause_for(unsigned moments) {
    while (moments-- > 0)
        __asm__ volatile("pause");
}

/*
 * A CPU that was found inside a site leaves it when it runs again; but an interrupt that is pending by then, the next
 * stop's, comes before the first instruction, and finds it where it was. So the next stop comes a little later.
 */
static enum tp_stop stop_patiently(bool (*may_proceed)(uintptr_t ip), void (*write)(void *), void *argument,
                                   unsigned *silent) {
    static unsigned moments = 1;
    enum tp_stop result = TP_STOP_SILENT;
    for (unsigned tries = 0; tries < tries_max && result == TP_STOP_SILENT; tries++)
        result = live_port.stop_cpus(may_proceed, write, argument, silent);
    if (result == TP_STOP_BUSY) {
        pause_for(moments);
        moments = moments < MOMENTS_MAX ? 2 * moments : MOMENTS_MAX;
    } else {
        moments = 1;
    }
    return result;
}

static enum tp_stop stop_anywhere(bool (*may_proceed)(uintptr_t ip), void (*write)(void *), void *argument,
                                  unsigned *silent) {
    (void)may_proceed;
    return stop_patiently(proceed_anyway, write, argument, silent);
}

const struct tp_port *set_up_port(void) {
    static struct tp_port port;
    bool checks = !command_line_has("no-check");
    reset_live_port();
    port = live_port;
    port.log = print_message;
    port.sync_cpus = sync_patiently;
    port.stop_cpus = checks ? stop_patiently : stop_anywhere;
    tries_max = checks ? TRIES : TRIES_NO_CHECK;
    call_timeout = TIMEOUT;
    return &port;
}
