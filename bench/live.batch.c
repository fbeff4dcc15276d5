/* SPDX-License-Identifier: MIT */
/*
 * Many sites in one batch, against the same in batches of 256; and how many syncs one change of a static call needs.
 */
#include "live.h"

enum { PAIRS = 41, BATCH = 256 };

static struct crowd crowd;
static unsigned shown;

static unsigned calls_per_batch;

/* All calls go to the other function. */
static void change_all(void) {
    uint64_t value = (uintptr_t)((shown ^= 1) ? value_2 : value_1);
    for (unsigned first = 0; first < crowd.calls; first += calls_per_batch) {
        live_must(tp_batch_begin());
        for (unsigned i = first; i < first + calls_per_batch; i++)
            live_must(tp_batch_set(&crowd.cells[i], value));
        live_must(tp_batch_commit());
    }
}

static double time_whole(void) {
    calls_per_batch = crowd.calls;
    return live_time(change_all, 1) / crowd.sites;
}

/* Of 256 sites each, or what there is. */
static double time_parts(void) {
    calls_per_batch = 1;
    return live_time(change_all, 1) / crowd.sites;
}

static void start(unsigned sites, bool across) {
    crowd_build(&crowd, sites, sites > BATCH ? sites / BATCH : 1, across);
    shown = 0;
    live_start(across ? &live_traps : &live_stores, &crowd);
    peer_give(&live_peer, crowd_code(&crowd, sites / 2), 1);
    peer_change(&live_peer, 2);
}

static void time_batch(unsigned sites, bool across) {
    static const struct bench_pair pair = {time_whole, time_parts};
    double syncs[PAIRS];
    start(sites, across);
    for (unsigned i = 0; i < PAIRS; i++)
        syncs[i] = live_time_sync();
    double sync = bench_median(syncs, PAIRS) * (across ? 3 : 1) / sites;
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    double beyond = result.value > sync ? result.value - sync : 0;
    printf("live.batch.%u%s,%.3f,ns,%.3f,%.3f\n", sites, across ? "" : ".store", beyond, result.reference,
           beyond / result.reference);
    fprintf(stderr, "live.batch.%u%s: with its syncs %.3f ns a site; half of the ratios lie in %.3f to %.3f\n", sites,
            across ? "" : ".store", result.value, result.low, result.high);
    live_stop();
}

static void count_syncs(const char *name, bool across, unsigned aim) {
    enum { SITES = 1000 };
    crowd_build(&crowd, SITES, 1, across);
    live_start(across ? &live_traps : &live_stores, &crowd);
    peer_give(&live_peer, crowd_code(&crowd, 0), 1);
    peer_change(&live_peer, 2);
    silicon_reset();
    live_must(tp_key_update(&crowd.cells[0], (uintptr_t)value_2));
    printf("%s,%lu,syncs,%u,%.3f\n", name, silicon_seen.syncs, aim, (double)silicon_seen.syncs / aim);
    live_stop();
}

void live_time_batches(void) {
    static const unsigned sizes[] = {1, 16, 256, 4096, 65536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        time_batch(sizes[i], true);
        time_batch(sizes[i], false);
    }
    count_syncs("live.syncs.static_call_1000", true, 3);
    count_syncs("live.syncs.static_call_1000.store", false, 1);
    if (live_peer.wrong)
        bench_die("live: %lu wrong executions, the first gave %u", live_peer.wrong, live_peer.first_wrong);
}
