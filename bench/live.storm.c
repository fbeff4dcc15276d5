/* SPDX-License-Identifier: MIT */
/*
 * The storm, and the control that shows that wrong executions would have been seen.
 */
#include "live.h"

static void change(void *cell, uint64_t value, unsigned returned) {
    peer_change(&live_peer, returned);
    live_must(tp_key_update(cell, value));
    peer_changed(&live_peer);
}

static void change_often(site_code *code, uint64_t *cell, const uint64_t values[2], unsigned long patches) {
    peer_give(&live_peer, code, 1);
    for (unsigned long i = 1; i <= patches; i++)
        change(cell, values[i % 2], 1 + i % 2);
    peer_give(&live_peer, NULL, 0);
    live_must(tp_key_update(cell, values[0]));
}

/* Call - call and nop - jmp, half of each. */
static void storm_by(const struct tp_live_options *options, bool across, unsigned long patches) {
    const uint64_t functions[2] = {(uintptr_t)value_1, (uintptr_t)value_2}, counts[2] = {0, 1};
    live_start(options, NULL);
    if (across) {
        change_often(op_across, &op_across_cell, functions, patches / 2);
        change_often(key_long_across, &key_long_across_cell, counts, patches / 2);
    } else {
        change_often(op_whole, &op_whole_cell, functions, patches / 2);
        change_often(key_long, &key_long_cell, counts, patches / 2);
    }
    live_stop();
}

/* As many as the storm has, but no more than it takes to be sure. */
static void control(unsigned long patches) {
    unsigned long stores = patches < 1000000 ? patches : 1000000;
    live_peer.wrong = 0;
    grid_store(&live_peer, GRID_ACROSS, stores, false);
    peer_give(&live_peer, NULL, 0);
    printf("live.control_torn,%lu,executions,%lu,%.6f\n", live_peer.wrong, stores,
           (double)live_peer.wrong / (double)stores);
    live_peer.wrong = 0;
}

void live_storm(unsigned long patches) {
    unsigned long by_trap = patches / 10, by_store = patches - by_trap;
    live_peer.wrong = 0;
    double start = live_now();
    storm_by(&live_stores, false, by_store);
    double middle = live_now();
    storm_by(&live_traps, true, by_trap);
    fprintf(stderr, "live: %lu changes by store, %.0f ns each with the wait; %lu by trap, %.0f ns\n", by_store,
            (middle - start) / (double)by_store, by_trap, (live_now() - middle) / (double)by_trap);
    printf("live.patches,%lu,patches,,\n", by_store + by_trap);
    printf("live.torn,%lu,executions,0,\n", live_peer.wrong);
    control(patches);
}
