/* SPDX-License-Identifier: MIT */
/*
 * A thread on another CPU that executes a site over and over, and knows what it may see.
 *
 * How it works
 *   A site's code returns a number below 64, maybe in each of four bytes, and `allowed` has a bit for each number that
 *   is right. Before a change the patcher allows the new one too; after it, the new one alone, and then it waits until
 *   the peer has executed the site twice: once may have begun before. Without that wait a peer that doesn't run would
 *   hide everything. The peer reads `allowed` before and after, since a change may begin or end in between; more than
 *   one can't.
 *
 * Example
 *   struct peer peer;
 *   peer_start(&peer, 1);
 *   peer_give(&peer, op_whole, 1);
 *   peer_change(&peer, 2);  tp_key_update(…);  peer_changed(&peer);
 *   peer_end(&peer);        wrong = peer.wrong;
 */
#ifndef SILICON_PEER_H
#define SILICON_PEER_H

#include "silicon_port.h"

#include <pthread.h>

typedef unsigned site_code(void);

struct peer {
    _Alignas(64) site_code *_Atomic run;
    _Atomic uint64_t allowed;
    atomic_bool ends;
    _Alignas(64) atomic_ulong rounds; /* executions, and looks at whether there is something to execute */
    atomic_ulong wrong;
    atomic_uint first_wrong; /* the number */
    unsigned number;
    pthread_t thread;
    unsigned new_value;
};

/* As CPU `number` of stop_cpus. */
void peer_start(struct peer *peer, unsigned number);
void peer_end(struct peer *peer);

/* What it executes from here on, NULL for nothing, and what that returns. */
void peer_give(struct peer *peer, site_code *run, unsigned value);

/* Around a change. The second returns when the site has been executed again. */
void peer_change(struct peer *peer, unsigned new_value);
void peer_changed(struct peer *peer);
/* The change was not made. */
void peer_unchanged(struct peer *peer, unsigned value);

/* Until it has executed twice from here on. */
void peer_wait(struct peer *peer);

#endif
