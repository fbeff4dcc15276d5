/* SPDX-License-Identifier: MIT */
/*
 * All CPUs of a kernel call its ops, with interrupts, while the whole table of ops is switched to and fro between two
 * backends: inline instructions, and functions that count. Words on the command line:
 *   switches=N   how many, an even number; else 100,000 natively and 5,000 under Xen PV
 *   crowd        the other CPUs do nothing but what gets them interrupted in the middle of sites
 *   no-check     negative control: CPUs may be stopped anywhere, inside a site too. The run must fail.
 *   color
 */
#include "backends.h"
#include "load.h"
#include "platform.h"
#include "port.h"
#include "pv_ops.h"
#include "show.h"
#include "sites.h"
#include "smp.h"

enum {
    SWITCHES = 100000,
    SWITCHES_XEN_PV = 5000,
    PROGRESS_LINES = 10,
    CLASSES_SHARE = 20, /* one in so many switches: they take longer */
    MILLISECOND = 1000000,
};

static struct tp_image kernel;

/* ---- Starting ---- */

static unsigned read_switches(void) {
    unsigned switches = 0;
    char text[12];
    if (!command_line_value("switches", text, sizeof text))
        return world == WORLD_XEN_PV ? SWITCHES_XEN_PV : SWITCHES;
    for (const char *digit = text; *digit >= '0' && *digit <= '9'; digit++)
        switches = 10 * switches + (unsigned)(*digit - '0');
    return switches;
}

static void prepare_library(void) {
    show_status("tp_init", tp_init(set_up_port()));
    tp_kernel_image(&kernel, text_start, text_end);
    show_status("tp_image_add", tp_image_add(&kernel));
    if (world == WORLD_XEN_PV)
        require(tp_feature_set(TP_FEATURE_XEN_PV) == TP_OK, "tp_feature_set");
    require(tp_set_cpu_count(MAXIMUM_CPUS) == TP_OK, "tp_set_cpu_count");
    show_status("tp_apply", tp_apply());
}

static unsigned repeated; /* under Xen PV, by all CPUs */

/*
 * An instruction that Xen emulates (mov %cr3, %rax) faults first, and then Xen reads it from memory. By then it may
 * have been changed; Xen doesn't emulate what it finds, and passes the fault on. What stands there now is right: once
 * more.
 */
static bool repeat_at_site(struct tp_regs *regs) {
    struct tp_site_info site;
    if (!tp_describe_site(regs->rip, &site) || site.address != regs->rip)
        return false;
    __atomic_add_fetch(&repeated, 1, __ATOMIC_RELAXED);
    return true;
}

static void go_live(void) {
    void (*entry)(void) = world == WORLD_XEN_PV ? tp_breakpoint_entry_xen_pv : tp_breakpoint_entry;
    set_exception_entry(VECTOR_BREAKPOINT, (const void *)(uintptr_t)entry);
    if (world == WORLD_XEN_PV)
        set_exception_handler(VECTOR_GENERAL_PROTECTION, repeat_at_site);
    unmask_interrupts();
    start_cpus(MAXIMUM_CPUS);
    show_status("tp_cpus_running", tp_cpus_running(true));
    print_label("CPUs");
    print_format("%3u\n", cpu_count());
}

/* ---- Switching ---- */

static unsigned switches_made;

static bool switch_once(void) {
    note_switch_begun();
    enum tp_status status = switch_table(backend_after(switches_made + 1));
    note_switch_done();
    if (status != TP_OK) {
        show_status("a switch", status);
        return false;
    }
    switches_made++;
    work_once();
    return true;
}

static void print_progress(uint64_t begin) {
    uint64_t elapsed = (read_nanoseconds() - begin) / MILLISECOND;
    print_label("so far");
    print_format("%12u switches in %lu.%lu s\n", switches_made, elapsed / 1000, elapsed / 100 % 10);
}

/*
 * The first ones each site by the class that it needs, which holds nobody up. Then all of them by the class that some
 * need in any case: one stop of all CPUs a switch, which is the quickest for a whole table.
 */
static const struct way {
    const char *title;
    enum tp_class least_class;
} ways[] = {
    {"3. All CPUs work while the table is switched, each site by the class that it needs", TP_CLASS_STORE},
    {"4. The same with one stop of all CPUs a switch", TP_CLASS_RENDEZVOUS},
};

static void print_number(const char *label, uint64_t number, bool as_it_should_be) {
    print_label(label);
    print_format("%12lu%*s", number, VALUE_WIDTH - 12, "");
    end_line(as_it_should_be, label);
}

static void print_steps(const struct way *way, unsigned switches) {
    const struct live_counts *counts = &live_counts;
    bool only_stops = way->least_class == TP_CLASS_RENDEZVOUS;
    print_number("batches", counts->steps[TP_STEP_END], counts->steps[TP_STEP_END] == switches);
    print_number("sites by one store", counts->steps[TP_STEP_STORE],
                 !only_stops || counts->steps[TP_STEP_STORE] == 0);
    print_number("sites by int3", counts->steps[TP_STEP_FIRST],
                 counts->steps[TP_STEP_FIRST] == counts->steps[TP_STEP_INT3] &&
                     (counts->steps[TP_STEP_FIRST] > 0) == !only_stops);
    print_number("sites while all others were stopped", counts->steps[TP_STEP_STOPPED],
                 counts->steps[TP_STEP_STOPPED] >= counts->stops);
    print_number("syncs of all CPUs", counts->syncs, only_stops ? counts->syncs == 0 : counts->syncs > 0);
    print_number("stops of all others", counts->stops, counts->stops == (only_stops ? switches : switches / 2));
    print_number("stops that found one inside a site", counts->busy, true);
    print_number("steps out of order", live_order_faults, live_order_faults == 0);
}

/* An even number, so that the table is as it was. */
static void switch_by(const struct way *way, unsigned switches) {
    struct tp_live_options options;
    tp_get_live_options(&options);
    options.least_class = way->least_class;
    print_heading(way->title);
    show_status("tp_set_live_options", tp_set_live_options(&options));
    reset_live_port();
    uint64_t begin = read_nanoseconds();
    for (unsigned number = 1; number <= switches && !stops_inside && switch_once(); number++)
        if (number * PROGRESS_LINES / switches > (number - 1) * PROGRESS_LINES / switches)
            print_progress(begin);
    print_steps(way, switches);
}

/* ---- Numbers ---- */

static void print_counts(const char *who, const struct load_counts *counts) {
    print_format("  %-4s %10lu %10lu %10lu %10lu %10lu %10lu %8lu %7lu %6lu\n", who, counts->calls, counts->plain,
                 counts->traced, counts->during, counts->counted, counts->states, counts->interrupts,
                 counts->interrupts_inside, counts->wrong_effect + counts->wrong_backend);
}

static void print_load(void) {
    struct load_counts sum = {0};
    print_format("  %-4s %10s %10s %10s %10s %10s %10s %8s %7s %6s\n", "CPU", "calls", "to plain", "to traced",
                 "in between", "counted", "states", "ticks", "inside", "wrong");
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct load_counts counts = count_load(cpu);
        print_counts((const char[]){(char)('0' + cpu), 0}, &counts);
        add_counts(&sum, &counts);
        require(counts.states > 0 && counts.interrupts > 0, "each CPU works, and is interrupted");
    }
    print_counts("all", &sum);
    print_number("calls whose effect was wrong", sum.wrong_effect, sum.wrong_effect == 0);
    print_number("calls that the wrong one answered", sum.wrong_backend, sum.wrong_backend == 0);
    require(sum.calls == sum.plain + sum.traced + sum.during, "each call is of one kind");
    require(sum.counted >= sum.traced && sum.counted <= sum.traced + sum.during, "traced calls are counted");
    require(sum.plain > switches_made && sum.traced > switches_made, "both backends are called");
}

/* ---- There and back ---- */

static void show_audit(void) { show_status("tp_audit", tp_audit(NULL, NULL)); }

static void show_hash(const char *label, uint64_t expected) {
    print_label(label);
    print_format("%016lx%*s", hash_text(), VALUE_WIDTH - 16, "");
    end_line(hash_text() == expected, label);
}

void kernel_main(const char *command_line) {
    (void)command_line;
    unsigned switches = read_switches(), by_classes = switches / CLASSES_SHARE & ~1u;

    set_up_backends();
    protect_text();
    uint64_t pristine = hash_text();
    print_heading("1. The machine and the library");
    print_world();
    prepare_library();
    go_live();
    uint64_t patched = hash_text();

    print_heading("2. One switch: each slot, one of its sites before and after");
    keep_sites();
    show_status("to the traced backend", switch_table(TRACED_BACKEND));
    print_sites(1);
    unsigned changing = count_changed_sites();
    show_audit();
    show_status("and back", switch_table(PLAIN_BACKEND));
    show_hash("text, as it was", patched);

    print_label("to come");
    print_format("%u switches of %u slots and %u sites each\n", switches, OPS, changing);
    start_load(command_line_has("crowd"));
    switch_by(&ways[0], by_classes);
    switch_by(&ways[1], switches - by_classes);

    print_heading("5. There and back, while all CPUs work");
    show_audit();
    show_hash("text, patched", patched);
    show_status("tp_revert", tp_revert());
    show_hash("text, as linked", pristine);
    show_status("tp_apply", tp_apply());
    show_hash("text, patched", patched);
    show_audit();
    stop_load();

    print_heading("6. What has been counted");
    print_number("switches", switches_made, switches_made == switches);
    print_load();
    print_number("instructions that Xen lost, repeated", repeated, world == WORLD_XEN_PV || repeated == 0);
    require(!command_line_has("no-check"), "no-check");
    end_demo();
}
