/* SPDX-License-Identifier: MIT */
/*
 * The test kernel: suites/ as KTAP. `suite=NAME` on the command line picks one, `quick` leaves out those that take long
 * on purpose, else all run.
 *
 * Where interrupts come at any instruction (`any-instruction`), suite `unwind` waits for some to come inside sites.
 *
 * Where CPUs take turns (`lockstep`), four more are left out unless they are named.
 *
 * The exit status is 0 only if every case passed.
 */
#include "ktap.h"
#include "platform.h"
#include "support.h"

/* `early` is first: its cases run before tp_init() has ever been called. From live_cpus on, all CPUs run. */
#define FOR_EACH_SUITE(macro)                                                                                \
    macro(early) macro(ops) macro(op_calls) macro(op_registers) macro(alternatives) macro(static_calls)      \
    macro(static_keys) macro(lock_prefix) macro(engine) macro(port_hooks) macro(bad_images) macro(w_xor_x)   \
    macro(interrupts) macro(user) macro(entry_steps) macro(entry_faults) macro(live_cpus) macro(user_cpus)   \
    macro(unwind) macro(entry_returns) macro(entry_registers) macro(live_switch) macro(live_images)          \
    macro(live_errors) macro(live_order) macro(live_breakpoint) macro(live_controls) macro(live_storm)       \
    macro(inline_calls) macro(live_inline_calls) macro(modules) macro(modules_steps) macro(live_modules)     \
    macro(live_user) macro(unwind_steps) macro(unwind_entries)

#define DECLARE_SUITE(name) extern const struct ktap_suite suite_##name;
#define LIST_SUITE(name) &suite_##name,
FOR_EACH_SUITE(DECLARE_SUITE)
static const struct ktap_suite *const suites[] = {FOR_EACH_SUITE(LIST_SUITE)};
enum { SUITES = sizeof suites / sizeof *suites };

static const struct ktap_frame frame = {open_case, close_case};

static char wanted[32]; /* empty: all */
static bool quick, lockstep;

static bool takes_long(const struct ktap_suite *suite) {
    return suite == &suite_live_storm || suite == &suite_live_controls || suite == &suite_live_switch ||
           suite == &suite_live_images || suite == &suite_live_modules || suite == &suite_live_user ||
           suite == &suite_entry_registers || suite == &suite_entry_steps ||
           suite == &suite_unwind_steps || suite == &suite_unwind_entries;
}

/* For an emulator that executes one instruction after the other: unless they are asked for by name. */
static bool takes_too_long_in_lockstep(const struct ktap_suite *suite) {
    return suite == &suite_live_user || suite == &suite_entry_registers ||
           suite == &suite_unwind_steps || suite == &suite_unwind_entries;
}

static bool is_wanted(const struct ktap_suite *suite) {
    const char *left = wanted, *right = suite->name;
    if (quick && takes_long(suite))
        return false;
    if (lockstep && !wanted[0] && takes_too_long_in_lockstep(suite))
        return false;
    while (*left && *left == *right) {
        left++;
        right++;
    }
    return !wanted[0] || *left == *right;
}

static unsigned count_cases(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < SUITES; i++)
        if (is_wanted(suites[i]))
            count += suites[i]->count;
    return count;
}

struct census {
    unsigned all, nested, kinds[16];
};

static bool count_site(const struct tp_site_info *site, void *argument) {
    struct census *census = argument;
    census->all++;
    census->nested += site->nested;
    census->kinds[site->kind & 15]++;
    return true;
}

/* For those who build this kernel in several ways and compare: the linker must not have lost a site. */
static void print_census(void) {
    struct census census = {0};
    open_case();
    if (!start_library(&alias_port))
        panic("the kernel's own image is refused");
    tp_for_each_site(count_site, &census);
    print_format("# live sites: %u\n# of these in others: %u\n", census.all, census.nested);
    for (unsigned kind = TP_KIND_ALTERNATIVE; kind <= TP_KIND_LOCK_PREFIX; kind++)
        print_format("# %s: %u\n", tp_kind_text(kind), census.kinds[kind]);
    close_case();
}

static unsigned run_suites(void) {
    unsigned failed = 0;
    for (unsigned i = 0; i < SUITES; i++) {
        if (i == 1)
            print_census();
        if (is_wanted(suites[i]))
            failed += run_suite(suites[i], &frame);
    }
    return failed;
}

void kernel_main(const char *command_line) {
    (void)command_line;
    command_line_value("suite", wanted, sizeof wanted);
    quick = command_line_has("quick");
    lockstep = command_line_has("lockstep");
    unsigned count = count_cases();
    print_plan(count);
    print_format("# world: %s\n", world == WORLD_XEN_PV ? "Xen PV" : "native");
    if (lockstep && !wanted[0])
        print_format("# left out, since CPUs take turns here: live_user, entry_registers, unwind_steps, unwind_entries\n");
    keep_pristine_text();
    unsigned failed = run_suites();
    print_format("# %u cases, %u failed\n", count, failed);
    exit_kernel(count > 0 && failed == 0 ? 0 : 1);
}
