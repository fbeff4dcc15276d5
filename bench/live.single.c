/* SPDX-License-Identifier: MIT */
/*
 * One change of one site, while the other CPU executes it, in multiples of a sync.
 */
#include "live.h"

enum { PAIRS = 151, CHANGES = 10 };

static void *cell;
static uint64_t values[2];
static unsigned shown;

static void change(void) {
    shown ^= 1;
    live_must(tp_key_update(cell, values[shown]));
}

static double time_changes(void) {
    return live_time(change, CHANGES);
}

/* The other CPU may see either value, at any time. */
static void time_site(const char *name, const struct tp_live_options *options, site_code *code, void *the_cell,
                      site_code *first, site_code *second) {
    static const struct bench_pair pair = {time_changes, live_time_sync};
    cell = the_cell;
    values[0] = (uintptr_t)first;
    values[1] = (uintptr_t)second;
    shown = 0;
    live_start(options, NULL);
    live_must(tp_key_update(cell, values[0]));
    peer_give(&live_peer, code, first());
    peer_change(&live_peer, second());
    struct bench_result result = bench_compare_pair(&pair, PAIRS);
    bench_row(name, &result, 1, "ns");
    peer_give(&live_peer, NULL, 0);
    live_must(tp_key_update(cell, (uintptr_t)value_1));
    live_stop();
}

void live_time_singles(void) {
    time_site("live.single.store", &live_stores, op_whole, &op_whole_cell, value_1, value_2);
    time_site("live.single.trap", &live_traps, op_across, &op_across_cell, value_1, value_2);
    time_site("live.single.rendezvous", &live_traps, op_many, &op_many_cell, value_5, value_7);
    time_site("live.scheme.emulate", &live_traps, op_prefix, &op_prefix_cell, value_1, value_2);
    time_site("live.scheme.prefix", &live_prefix, op_prefix, &op_prefix_cell, value_1, value_2);
    time_site("live.scheme.store", &live_cells, op_whole, &op_whole_cell, value_1, value_2);
    time_site("live.scheme.cell", &live_cells, op_across, &op_across_cell, value_1, value_2);
    if (live_peer.wrong)
        bench_die("live: %lu wrong executions, the first gave %u", live_peer.wrong, live_peer.first_wrong);
}
