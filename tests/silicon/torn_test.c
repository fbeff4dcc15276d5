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
 *
 * How it works
 *   Four functions lie so that each half of the displacement has two values, and each mixture leads to one of them.
 */
#include "harness.h"

enum {
    GRID = 0x60000000,
    GRID_SIZE = 0x40000,
    ACROSS = 61, /* of the call: its displacement has two bytes in each of two lines */
    WHOLE = 2 * 64 + 8,
    STORES = 20000000, /* at most */
};

static struct peer peer;

/* mov $value,%eax; ret */
static void put_function(unsigned offset, unsigned value) {
    uint8_t code[] = {0xb8, (uint8_t)value, 0, 0, 0, 0xc3};
    memcpy(silicon_alias(GRID + offset, sizeof code), code, sizeof code);
}

/* sub $8,%rsp; call; add $8,%rsp; ret */
static site_code *put_caller(unsigned site) {
    static const uint8_t before[] = {0x48, 0x83, 0xec, 8, 0xe8}, after[] = {0x48, 0x83, 0xc4, 8, 0xc3};
    memcpy(silicon_alias(GRID + site - 4, sizeof before), before, sizeof before);
    memcpy(silicon_alias(GRID + site + 5, sizeof after), after, sizeof after);
    return (site_code *)(uintptr_t)(GRID + site - 4);
}

static uint32_t mixture(unsigned low, unsigned high) {
    return (low ? 0x2000 : 0x1000) + (high ? 0x20000 : 0x10000);
}

/* The functions for one site: 1 and 2 are right, 61 and 62 are mixtures. */
static void put_targets(unsigned site) {
    put_function(site + 5 + mixture(0, 0), 1);
    put_function(site + 5 + mixture(1, 1), 2);
    put_function(site + 5 + mixture(1, 0), 61);
    put_function(site + 5 + mixture(0, 1), 62);
}

/* As any plain store: the compiler's 4 bytes at once. Returns how many were made. */
static unsigned store_until_torn(unsigned site, unsigned count) {
    uint32_t values[2] = {mixture(0, 0), mixture(1, 1)};
    uint8_t *operand = silicon_alias(GRID + site + 1, 4);
    put_targets(site);
    memcpy(operand, &values[0], 4);
    peer_give(&peer, put_caller(site), 1);
    peer_change(&peer, 2);
    for (unsigned i = 1; i <= count; i++) {
        *(volatile uint32_t *)operand = values[i % 2];
        peer_wait(&peer);
        if (peer.wrong)
            return i;
    }
    return count;
}

static unsigned stores_made;

static void plain_store_tears(void **state) {
    (void)state;
    peer_start(&peer, 1);
    stores_made = store_until_torn(ACROSS, STORES);
    peer_end(&peer);
    printf("# torn %lu, after %u stores\n", peer.wrong, stores_made);
    assert_true(peer.wrong > 0);
}

static void whole_store_does_not(void **state) {
    (void)state;
    peer_start(&peer, 1);
    unsigned count = store_until_torn(WHOLE, stores_made > 1000000 ? stores_made : 1000000);
    peer_end(&peer);
    printf("# torn %lu, after %u stores\n", peer.wrong, count);
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
    silicon_control.trace = drop_int3;
    change_torn(20000);
    silicon_control.trace = NULL;
    printf("# wrong %lu, the first gave %u\n", peer.wrong, peer.first_wrong);
    peer_end(&peer);
    assert_true(peer.wrong > 0);
    stop_library();
}

static int start(void **state) {
    int result = start_process(state);
    silicon_map_text(GRID, GRID_SIZE);
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
