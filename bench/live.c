/* SPDX-License-Identifier: MIT */
/*
 * Live patching on this machine's CPUs: the library in a process (tests/silicon/silicon_port.h), a thread on another
 * CPU that executes what is patched.
 *
 * Options
 *   --long   10^8 changes in the storm instead of 2 * 10^5
 *
 * Rows
 *   live.patches            changes of one site, each of which waited until the other CPU had executed it again, twice
 *   live.torn               wrong executions among them
 *   live.control_torn       wrong executions by plain stores across a line, of which as many were made as `reference`
 *   live.sync               one sync of all CPUs
 *   live.single.store, .trap, .rendezvous   one change of one site, against one sync
 *   live.visible            from a store into text to its execution by the other CPU, against the same with data: one
 *                           cache line's transfer
 *   live.batch.N, live.batch.N.store   ns a site of N in one batch, beyond the syncs; the reference is all of the same
 *                           work, syncs included, in batches of 256
 *   live.syncs.static_call_1000, .store   syncs of one change of a static call with 1,000 call sites
 *   live.bp_lookup.N        ns of #BP's decision, for random ones of N sites; the reference reads the site's byte only
 *   live.scheme.…           one change of one call site, against one sync: `emulate` and `prefix` by trap, `store` in
 *                           one quadword, `cell` across a line, where TP_SCHEME_STORE leaves the site to read its cell
 *
 * What is not here
 *   The two ways to make room for an emulated call's return address, by a gap and by a copied frame, differ in the
 *   kernel's #BP entry, which a process hasn't: signals leave 128 bytes there. The test kernel measures them.
 */
#include "live.h"

#include <time.h>

struct peer live_peer;
static struct tp_image program;

/* The second: on CPUs by AMD too. */
const struct tp_live_options live_stores = {.least_assurance = TP_ASSURANCE_PRACTICE};
const struct tp_live_options live_traps = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR};
const struct tp_live_options live_prefix = {
    .least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_PRACTICE, .call_scheme = TP_SCHEME_PREFIX};
const struct tp_live_options live_cells = {
    .least_assurance = TP_ASSURANCE_PRACTICE, .call_scheme = TP_SCHEME_STORE};

void live_must(enum tp_status status) {
    static char message[TP_MESSAGE_MAX];
    if (status == TP_OK)
        return;
    tp_format_error(tp_last_error(), message, sizeof message);
    bench_die("live: %s: %s", tp_status_text(status), message);
}

double live_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

void live_start(const struct tp_live_options *options, struct crowd *crowd) {
    silicon_reset();
    program = (struct tp_image){.name = "program"};
    silicon_program_image(&program);
    live_must(tp_init(&silicon_port));
    live_must(tp_set_live_options(options));
    live_must(tp_image_add(&program));
    if (crowd)
        live_must(tp_image_add(&crowd->image));
    live_must(tp_set_cpu_count(2));
    live_must(tp_apply());
    live_must(tp_cpus_running(true));
}

void live_stop(void) {
    peer_give(&live_peer, NULL, 0);
    live_must(tp_audit(NULL, NULL));
    live_must(tp_cpus_running(false));
    live_must(tp_revert());
    live_must(tp_finish());
}

double live_time(void (*work)(void), unsigned count) {
    enum { TRIES = 2000 };
    double time = 0;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        unsigned long rounds = live_peer.rounds;
        double start = live_now();
        for (unsigned i = 0; i < count; i++)
            work();
        time = (live_now() - start) / count;
        if (live_peer.rounds - rounds >= count)
            return time;
    }
    fprintf(stderr, "live: the machine is too busy: the other CPU's thread hardly runs\n");
    return time;
}

static void sync_once(void) {
    unsigned silent;
    if (!silicon_port.sync_cpus(&silent))
        bench_die("live: a sync failed");
}

double live_time_sync(void) {
    return live_time(sync_once, 20);
}

static void time_sync(void) {
    enum { PAIRS = 201 };
    double samples[PAIRS];
    live_start(&live_stores, NULL);
    peer_give(&live_peer, op_whole, 1);
    for (unsigned i = 0; i < PAIRS; i++)
        samples[i] = live_time_sync();
    printf("live.sync,%.3f,ns,,\n", bench_median(samples, PAIRS));
    live_stop();
}

int main(int count, char **arguments) {
    bool is_long = count > 1 && strcmp(arguments[1], "--long") == 0;
    const char *why = silicon_start();
    if (why)
        bench_die("live: %s", why);
    grid_map();
    silicon_pin(0);
    silicon_enter(0);
    peer_start(&live_peer, 1);
    live_storm(is_long ? 100000000 : 200000);
    time_sync();
    live_time_singles();
    live_time_visible();
    live_time_batches();
    live_time_lookups();
    peer_end(&live_peer);
    return 0;
}
