/* SPDX-License-Identifier: MIT */
/*
 * Negative controls: without the protocol, the same CPUs and the same way of looking see wrong executions. If these
 * tests find none, the zeros of storm_test.c mean nothing.
 *
 * Cases
 *   plain_store_tears      a displacement that crosses a line, stored as memcpy would: mixtures of both are executed
 *   whole_store_does_not   the same in one quadword, and as many times: none
 *   int3_dropped           by the library, but a hook puts the old first byte back where each int3 is written: the peer
 *                          executes the old opcode with the new tail
 */
#include "grid.h"
#include "harness.h"

enum { STORES_MAX = 20000000 };

static struct peer peer;

static unsigned long stores_made;

static void plain_store_tears(void **state) {
    (void)state;
    peer_start(&peer, 1);
    stores_made = grid_store(&peer, GRID_ACROSS, STORES_MAX, true);
    peer_end(&peer);
    printf("# torn %lu, after %lu stores\n", peer.wrong, stores_made);
    assert_true(peer.wrong > 0);
}

static void whole_store_does_not(void **state) {
    (void)state;
    peer_start(&peer, 1);
    unsigned long count = grid_store(&peer, GRID_WHOLE, stores_made > 1000000 ? stores_made : 1000000, true);
    peer_end(&peer);
    printf("# torn %lu, after %lu stores\n", peer.wrong, count);
    assert_int_equal(peer.wrong, 0);
}

extern uint8_t torn_pad[];

/* The inline form's operand is a displacement, too, so that it is no number that a peer knows. */
static unsigned run_torn(void) {
    unsigned value = torn();
    return value == (unsigned)(torn_pad - torn_end) ? 2 : value;
}

static uint8_t first_byte;

static void drop_int3(const struct tp_trace *step) {
    if (step->step == TP_STEP_BEGIN)
        first_byte = *(volatile uint8_t *)torn_site;
    if (step->step == TP_STEP_INT3 && step->site == (uintptr_t)torn_site)
        *(volatile uint8_t *)silicon_alias(step->address, 1) = first_byte;
}

static void change_torn(unsigned count) {
    for (unsigned i = 1; i <= count && !peer.wrong; i++) {
        peer_change(&peer, 1 + i % 2);
        must(tp_key_update(&tp_static_call_torn, (uintptr_t)(i % 2 ? value_torn : value_1)));
        peer_changed(&peer);
    }
}

static void int3_dropped(void **state) {
    (void)state;
    start_library(NULL);
    peer_start(&peer, 1);
    peer_give(&peer, run_torn, 1);
    change_torn(2000);
    assert_int_equal(peer.wrong, 0);
    silicon_port.trace = drop_int3;
    change_torn(20000);
    silicon_port.trace = NULL;
    printf("# wrong %lu, the first gave %u\n", peer.wrong, peer.first_wrong);
    peer_end(&peer);
    assert_true(peer.wrong > 0);
    stop_library();
}

static int start(void **state) {
    int result = start_process(state);
    grid_map();
    return result;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_store_tears),
        cmocka_unit_test(whole_store_does_not),
        cmocka_unit_test(int3_dropped),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
