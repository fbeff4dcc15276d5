/* SPDX-License-Identifier: MIT */
/*
 * Storms: sites change back and forth while a thread on another CPU executes them; at least 10^6 changes, each of which
 * waits until that thread has executed the site again, twice. No execution may be wrong.
 *
 * Cases
 *   by_store             call - call, call - inline, nop - jmp in 5 and in 2 bytes, an alternative: in one quadword
 *   by_trap              the same and inline - inline across a line; then in one quadword, with stores forbidden
 *   by_rendezvous        two instructions - two others, call - two instructions, an alternative across a line
 *   by_prefix            TP_SCHEME_PREFIX: an int3 in front of the call only
 *   by_store_or_cell     TP_SCHEME_STORE: a store in one quadword; across a line the site reads its cell
 *   by_batch             hundreds of sites of one static call, by trap and by store; the thread executes all of them
 *   without_middle_sync  trap with two syncs; on CPUs by AMD only, and skipped elsewhere
 *   enough               the million
 * Each begins with some changes that a trace hook looks at: the class is the one that the case is about. The rest has no
 * hook, as in a kernel. Each ends with an audit.
 */
#include "crowd.h"
#include "harness.h"

enum { NONE = 9, STORE = TP_CLASS_STORE, TRAP = TP_CLASS_TRAP, RENDEZVOUS = TP_CLASS_RENDEZVOUS };
enum { TRACED = 200, BATCHES = 400 };
enum { BY_STORE = 150000, BY_TRAP = 8000, BY_RENDEZVOUS = 3000 };

struct storm {
    const char *name;
    site_code *run;
    void *cell;         /* NULL: the feature `values[0]`, off and on */
    uint64_t values[2]; /* of the cell */
    uint8_t seen[2];    /* what the site returns with them */
    uint8_t classes[2]; /* by which it changes to them */
};

static struct peer peer;
static unsigned long patches, sites_by_class[3];

static void count_classes(const struct tp_trace *step) {
    if (step->site && (step->step == TP_STEP_STORE || step->step == TP_STEP_FIRST || step->step == TP_STEP_STOPPED))
        sites_by_class[step->class_chosen]++;
}

static enum tp_status change(const struct storm *storm, unsigned to) {
    if (storm->cell)
        return tp_key_update(storm->cell, storm->values[to]);
    uint16_t feature = (uint16_t)storm->values[0];
    enum tp_status status = to ? tp_feature_set(feature) : tp_feature_clear(feature);
    return status ? status : tp_apply();
}

static void check_classes(const struct storm *storm, unsigned to) {
    if (!silicon_port.trace)
        return;
    for (unsigned i = 0; i < 3; i++)
        if ((sites_by_class[i] != 0) != (i == storm->classes[to]))
            fail_msg("%s: %lu sites by class %s", storm->name, sites_by_class[i], tp_class_text(i));
    memset(sites_by_class, 0, sizeof sites_by_class);
}

static void rage(const struct storm *storm, unsigned long count) {
    peer_give(&peer, NULL, 0);
    must(change(storm, 0));
    peer_give(&peer, storm->run, storm->seen[0]);
    memset(sites_by_class, 0, sizeof sites_by_class);
    for (unsigned long i = 1; i <= count; i++) {
        unsigned to = i % 2;
        silicon_port.trace = i <= TRACED ? count_classes : NULL;
        peer_change(&peer, storm->seen[to]);
        must(change(storm, to));
        peer_changed(&peer);
        check_classes(storm, to);
    }
    must(tp_audit(NULL, NULL));
    patches += count;
    if (peer.wrong)
        fail_msg("%s: %lu wrong executions, the first gave %u", storm->name, peer.wrong, peer.first_wrong);
}

static void rage_all(const struct tp_live_options *options, const struct storm *storms, unsigned count,
                     unsigned long each) {
    start_library(options);
    peer_start(&peer, 1);
    for (unsigned i = 0; i < count; i++)
        rage(&storms[i], each);
    printf("# %u storms of %lu: %lu syncs, %lu traps, %lu stops of which %lu found a CPU in a site\n", count, each,
           silicon_seen.syncs, silicon_seen.traps, silicon_seen.stops, silicon_seen.busy);
    peer_end(&peer);
    for (unsigned i = 0; i < count; i++)
        must(change(&storms[i], 0));
    stop_library();
}
#define RAGE(options, storms, each) rage_all(options, storms, sizeof storms / sizeof *storms, each)

#define FUNCTION(name) (uint64_t)(uintptr_t)(name)
#define OP(site, a, b, ...)                                                                                    \
    {#site " " #a " - " #b, site, &site##_cell, {FUNCTION(value_##a), FUNCTION(value_##b)}, {a, b}, {__VA_ARGS__}}
#define CALL(site, a, b, class)                                                                                \
    {#site " " #a " - " #b, site, &tp_static_call_##site, {FUNCTION(value_##a), FUNCTION(value_##b)}, {a, b},  \
     {class, class}}
#define KEY(site, class) {#site, site, &site##_cell, {0, 1}, {1, 2}, {class, class}}
#define FEATURE(site, bit, class) {#site, site, NULL, {TP_FEATURE_KERNEL(bit), 0}, {1, 2}, {class, class}}

static const struct tp_live_options practice = {.least_assurance = TP_ASSURANCE_PRACTICE};
static const struct tp_live_options no_stores = {.least_class = TP_CLASS_TRAP,
                                                 .least_assurance = TP_ASSURANCE_VENDOR};

static void by_store(void **state) {
    (void)state;
    const struct storm storms[] = {
        OP(op_whole, 1, 2, STORE, STORE),       OP(op_whole, 1, 3, STORE, STORE),
        OP(op_whole, 3, 4, STORE, STORE),       CALL(call_whole, 1, 2, STORE),
        KEY(key_long, STORE),                   KEY(key_short, STORE),
        FEATURE(alternative_whole, 20, STORE),
    };
    RAGE(&practice, storms, BY_STORE);
}

static void by_trap(void **state) {
    (void)state;
    const struct storm across[] = {
        OP(op_across, 1, 2, TRAP, TRAP),  OP(op_across, 1, 3, TRAP, TRAP),      OP(op_across, 3, 4, TRAP, TRAP),
        KEY(key_long_across, TRAP),       KEY(key_short_across, TRAP),          CALL(call_jump, 1, 2, TRAP),
        CALL(call_across, 1, 2, TRAP),    OP(op_jump_across, 1, 2, TRAP, TRAP),
    };
    const struct storm whole[] = {
        OP(op_whole, 1, 2, TRAP, TRAP), OP(op_whole, 1, 3, TRAP, TRAP),       KEY(key_long, TRAP),
        KEY(key_short, TRAP),           OP(op_jump_whole, 1, 2, TRAP, TRAP),
    };
    RAGE(&no_stores, across, BY_TRAP);
    RAGE(&no_stores, whole, BY_TRAP);
}

static void by_rendezvous(void **state) {
    (void)state;
    const struct storm storms[] = {
        OP(op_many, 5, 6, RENDEZVOUS, RENDEZVOUS),
        OP(op_many, 1, 5, RENDEZVOUS, TRAP),
        OP(op_many, 3, 6, RENDEZVOUS, TRAP),
        FEATURE(alternative_across, 21, RENDEZVOUS),
    };
    RAGE(&no_stores, storms, BY_RENDEZVOUS);
}

static void by_prefix(void **state) {
    (void)state;
    const struct tp_live_options options = {
        .least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_PRACTICE, .call_scheme = TP_SCHEME_PREFIX};
    const struct storm storms[] = {OP(op_prefix, 1, 2, TRAP, TRAP), CALL(call_prefix, 1, 2, TRAP)};
    RAGE(&options, storms, BY_TRAP);
}

static void by_store_or_cell(void **state) {
    (void)state;
    const struct tp_live_options options = {.least_assurance = TP_ASSURANCE_PRACTICE, .call_scheme = TP_SCHEME_STORE};
    const struct storm storms[] = {
        OP(op_whole, 1, 2, STORE, STORE),
        OP(op_across, 1, 2, NONE, NONE),
        CALL(call_whole, 1, 2, STORE),
        CALL(call_across, 1, 2, STORE), /* the trampoline alone */
    };
    RAGE(&options, storms, BY_TRAP);
}

static struct crowd crowd;
static atomic_uint crowd_leaves; /* the value that no site has any more after the change */

/*
 * What all of the crowd's sites return. If they differ, a change is under way, or was while we looked: then the value
 * that is being left must still be allowed.
 */
static unsigned run_crowd(void) {
    unsigned first = crowd_code(&crowd, 0)();
    for (unsigned i = 1; i < crowd.sites; i++) {
        unsigned value = crowd_code(&crowd, i)();
        if (value != first)
            return value == 1 || value == 2 ? crowd_leaves : value;
    }
    return first;
}

static void rage_in_batches(const struct tp_live_options *options, bool across) {
    enum { SITES = 300 };
    start_library(options);
    crowd_build(&crowd, SITES, 1, across);
    must(tp_image_add(&crowd.image));
    must(tp_apply());
    peer_start(&peer, 1);
    peer_give(&peer, run_crowd, 1);
    for (unsigned i = 1; i <= BATCHES; i++) {
        crowd_leaves = 2 - i % 2;
        peer_change(&peer, 1 + i % 2);
        must(tp_key_update(&crowd.cells[0], (uintptr_t)(i % 2 ? value_2 : value_1)));
        peer_changed(&peer);
    }
    patches += BATCHES;
    if (peer.wrong)
        fail_msg("%lu wrong executions, the first gave %u", peer.wrong, peer.first_wrong);
    peer_end(&peer);
    must(tp_audit(NULL, NULL));
    stop_library();
}

static void by_batch(void **state) {
    (void)state;
    rage_in_batches(&no_stores, true);
    rage_in_batches(&no_stores, false);
    rage_in_batches(&practice, false);
}

static void without_middle_sync(void **state) {
    (void)state;
    const struct tp_live_options options = {
        .least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR, .without_middle_sync = true};
    start_library(NULL);
    bool amd = tp_feature_test(TP_FEATURE_VENDOR_AMD);
    stop_library();
    if (!amd) {
        printf("# skipped: the CPU isn't by AMD, and only there stores are known to reach the fetcher in order\n");
        skip();
    }
    const struct storm storms[] = {OP(op_across, 1, 2, TRAP, TRAP), KEY(key_long_across, TRAP)};
    RAGE(&options, storms, BY_TRAP);
}

static void enough(void **state) {
    (void)state;
    printf("# %lu changes\n", patches);
    assert_true(patches >= 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_store),  cmocka_unit_test(by_trap),          cmocka_unit_test(by_rendezvous),
        cmocka_unit_test(by_prefix), cmocka_unit_test(by_store_or_cell), cmocka_unit_test(by_batch),
        cmocka_unit_test(without_middle_sync), cmocka_unit_test(enough),
    };
    return cmocka_run_group_tests(tests, start_process, NULL);
}
