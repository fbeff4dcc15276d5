/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <sched.h>

static uint64_t bit_of(unsigned value) {
    if (value == (value & 0xff) * 0x01010101u)
        value &= 0xff;
    return value < 64 ? UINT64_C(1) << value : 0;
}

static void check(struct peer *peer, unsigned value, uint64_t before) {
    uint64_t allowed = before | atomic_load_explicit(&peer->allowed, memory_order_acquire);
    if (allowed & bit_of(value))
        return;
    if (peer->wrong++ == 0)
        peer->first_wrong = value;
}

static void *run_peer(void *argument) {
    struct peer *peer = argument;
    silicon_pin(peer->number);
    silicon_enter(peer->number);
    unsigned long rounds = 0;
    while (!atomic_load_explicit(&peer->ends, memory_order_relaxed)) {
        site_code *run = atomic_load_explicit(&peer->run, memory_order_acquire);
        uint64_t before = atomic_load_explicit(&peer->allowed, memory_order_acquire);
        if (run)
            check(peer, run(), before);
        else
            sched_yield();
        atomic_store_explicit(&peer->rounds, ++rounds, memory_order_release);
    }
    silicon_leave();
    return NULL;
}

void peer_start(struct peer *peer, unsigned number) {
    *peer = (struct peer){.number = number};
    if (pthread_create(&peer->thread, NULL, run_peer, peer) != 0)
        silicon_die("silicon: no thread");
    peer_wait(peer);
}

void peer_end(struct peer *peer) {
    peer->ends = true;
    pthread_join(peer->thread, NULL);
}

/* Who waits long waits for a thread that doesn't run: others may need this CPU, and we need it when that one runs. */
void peer_wait(struct peer *peer) {
    enum { PATIENCE = 20000 };
    unsigned long seen = atomic_load_explicit(&peer->rounds, memory_order_acquire);
    for (unsigned tries = 0; atomic_load_explicit(&peer->rounds, memory_order_acquire) - seen < 2; tries++)
        if (tries < PATIENCE)
            __builtin_ia32_pause();
        else
            sched_yield();
}

void peer_give(struct peer *peer, site_code *run, unsigned value) {
    atomic_store(&peer->run, NULL);
    peer_wait(peer);
    peer->new_value = value;
    atomic_store(&peer->allowed, bit_of(value));
    atomic_store(&peer->run, run);
    peer_wait(peer);
}

void peer_change(struct peer *peer, unsigned new_value) {
    peer->new_value = new_value;
    atomic_fetch_or(&peer->allowed, bit_of(new_value));
}

void peer_changed(struct peer *peer) {
    atomic_store(&peer->allowed, bit_of(peer->new_value));
    peer_wait(peer);
}

void peer_unchanged(struct peer *peer, unsigned value) {
    peer->new_value = value;
    peer_changed(peer);
}
