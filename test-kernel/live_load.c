/* SPDX-License-Identifier: MIT */
#include "live_load.h"

#include "ktap.h"
#include "platform.h"
#include "smp.h"
#include "support.h"

enum { TIMER_HERTZ = 500, POLLS_BEFORE_KICK = 3000, ROUNDS_LEAST = 30 };
#define PATIENCE 20000000000ull
#define SECOND 1000000000ull

/* ---- The library, live ---- */

const struct tp_live_options live_defaults = {.least_assurance = TP_ASSURANCE_VENDOR, .call_scheme = TP_CALL_SCHEME};

static bool breakpoint_has_own_stack;

static void (*plain_entry(void))(void) {
    return world == WORLD_XEN_PV ? tp_breakpoint_entry_xen_pv : tp_breakpoint_entry;
}

/* What live_entry.asm goes by. */
extern uint64_t live_text_alias, live_stale_hits;
extern void (*live_entry_target)(void);
uint64_t live_text_alias; /* added to an address of the text */
uint64_t live_stale_hits;
void (*live_entry_target)(void);
void live_entry(void), live_entry_xen_pv(void);

static size_t text_length(void) {
    return (size_t)(text_end - text_start);
}

static void set_entry(const struct live_setup *setup) {
    void (*first)(void) = world == WORLD_XEN_PV ? live_entry_xen_pv : live_entry;
    live_entry_target = setup->entry ? setup->entry : plain_entry();
    if (live_port_is_plain())
        first = live_entry_target;
    live_stale_hits = 0;
    set_exception_entry(VECTOR_BREAKPOINT, (const void *)(uintptr_t)first);
}

/* On all CPUs: protect_text() flushes the TLBs of the others, too. */
static void map_and_protect_text(void) {
    uint8_t *alias = map_text((uintptr_t)text_start, text_length());
    if (!alias)
        panic("live_load.c: no alias of all text");
    live_text_alias = (uintptr_t)alias - (uintptr_t)text_start;
    protect_text();
}

static bool start_engine(const struct live_setup *setup) {
    if (!EXPECT_OK(tp_init(setup->port ? setup->port : &live_port)))
        return false;
    if (world == WORLD_XEN_PV && !EXPECT_OK(tp_feature_set(TP_FEATURE_XEN_PV)))
        return false;
    if (!EXPECT_OK(tp_set_live_options(&setup->options)))
        return false;
    tp_kernel_image(&kernel_image, text_start, text_end);
    return EXPECT_OK(tp_image_add(&kernel_image)) && EXPECT_OK(tp_set_cpu_count(MAXIMUM_CPUS)) && EXPECT_OK(tp_apply());
}

bool open_live(const struct live_setup *setup) {
    reset_live_port();
    live_order_without_middle = setup->options.without_middle_sync;
    map_and_protect_text();
    if (!start_engine(setup))
        return false;
    set_entry(setup);
    breakpoint_has_own_stack = setup->own_stack;
    if (setup->own_stack && !EXPECT(use_breakpoint_stack(true)))
        return false;
    unmask_interrupts();
    return EXPECT_OK(tp_cpus_running(true));
}

static void judge_live(void) {
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_EQUAL(live_order_faults, 0);
    if (live_order_fault())
        print_format("# %s\n", live_order_fault());
}

/* By the boot writer: the other CPUs are idle. */
static void end_engine(void) {
    EXPECT_OK(tp_cpus_running(false));
    EXPECT_OK(tp_revert());
    EXPECT_OK(tp_finish());
}

void close_live(void) {
    judge_live();
    end_engine();
    use_breakpoint_stack(false);
    reset_exception_entry(VECTOR_BREAKPOINT);
    unmap_text((uint8_t *)text_start + live_text_alias, text_length());
    nmi_hook = NULL;
    timer_hook = NULL;
    live_step_hook = NULL;
    live_foreign_hook = NULL;
    mask_interrupts();
}

void run_live(const struct live_setup *setup, void (*test)(void)) {
    start_cpus(MAXIMUM_CPUS);
    if (cpu_count() < 2)
        SKIP("there is one CPU");
    if (open_live(setup))
        test();
    close_live();
}

void run_live_plainly(void (*test)(void)) {
    run_live(&(struct live_setup){.options = live_defaults}, test);
}

/* ---- Who visits ---- */

enum way { BY_WORK, BY_TIMER, BY_NMI, BY_STEP, WAYS };

/* Each CPU's own. */
static struct loaded {
    volatile uint64_t rounds; /* of all places */
    volatile uint64_t visits[WAYS];
    volatile uint64_t wrong, damaged;
    unsigned inside; /* a visit, or several of them, one having interrupted the other */
    uint64_t random;
    uintptr_t stack;         /* an address in the work's frame */
    unsigned answers_at_nmi; /* of all CPUs, when the last NMI was sent to this one */
} __attribute__((aligned(64))) loaded[MAXIMUM_CPUS];

static const struct live_storm *load; /* what goes on; NULL: nothing */
static volatile unsigned moves_begun, moves_done;
static volatile bool stopping;
static unsigned wrong_place;
static uint64_t wrong_value;

static bool is_right(const struct live_place *place, uint64_t value, unsigned from, unsigned to) {
    for (unsigned move = from; move <= to; move++)
        if (value == place->values[move % load->states])
            return true;
    return false;
}

static void note_wrong(struct loaded *own, const struct live_place *place, uint64_t value) {
    if (own->wrong++)
        return;
    wrong_place = (unsigned)(place - load->places);
    wrong_value = value;
}

/* ---- Stores by themselves (live_load.h) ---- */

static bool held; /* nobody begins a visit */

static bool may_store(void) {
    struct tp_live_options options;
    tp_get_live_options(&options);
    return options.least_class == TP_CLASS_STORE;
}

/* Whether the visit may be made: either the one who holds sees it, or it sees that it is held. */
static bool enter_visit(struct loaded *own) {
    __atomic_add_fetch(&own->inside, 1, __ATOMIC_SEQ_CST);
    return !__atomic_load_n(&held, __ATOMIC_SEQ_CST) || own == &loaded[0];
}

static void leave_visit(struct loaded *own) {
    __atomic_sub_fetch(&own->inside, 1, __ATOMIC_SEQ_CST);
}

static void hold_visits(bool hold) {
    __atomic_store_n(&held, hold, __ATOMIC_SEQ_CST);
    for (unsigned cpu = 1; hold && cpu < cpu_count(); cpu++)
        while (__atomic_load_n(&loaded[cpu].inside, __ATOMIC_SEQ_CST))
            __asm__ volatile("pause");
}

/* What may come next is a store behind the cells and behind the middle sync, and nowhere else. */
static void hold_for_stores(unsigned step) {
    if (!load->stores_alone || !may_store())
        return;
    if (step == TP_STEP_SET || step == TP_STEP_SYNC_TAIL)
        hold_visits(true);
    else if (step == TP_STEP_INT3 || step == TP_STEP_SYNC_LAST || step == TP_STEP_END)
        hold_visits(false);
}

/* ---- Visits ---- */

/* What was done before the visit must show, and what is begun after it can't. */
static void check_visit(struct loaded *own, const struct live_place *place, enum way way) {
    struct live_visit visit = {.skew = own->visits[way] / load->count % 2 * 8};
    unsigned done = moves_done;
    uint64_t value = place->visit(&visit);
    if (!is_right(place, value, done, moves_begun))
        note_wrong(own, place, value);
    own->damaged += visit.damage;
    own->visits[way]++;
}

/* Whether it was made. */
static bool visit(const struct live_place *place, enum way way) {
    struct loaded *own = &loaded[cpu_index()];
    bool may = enter_visit(own);
    if (may)
        check_visit(own, place, way);
    leave_visit(own);
    return may;
}

static bool visit_all(enum way way) {
    bool all = true;
    for (unsigned i = 0; i < load->count; i++)
        all &= visit(&load->places[i], way);
    return all;
}

static void visit_by_timer(struct tp_regs *regs) {
    (void)regs;
    if (load && !stopping)
        visit_all(BY_TIMER);
}

/* ---- NMIs ---- */

/*
 * A stack of its own for #BP can't be entered twice: an int3 would overwrite the frame of the #BP that the NMI has
 * interrupted. While the CPU is on the work's stack there is none.
 */
static bool may_trap(const struct tp_regs *regs) {
    enum { DEEPEST = 8192 };
    return !breakpoint_has_own_stack || loaded[cpu_index()].stack - regs->rsp < DEEPEST;
}

static void visit_by_nmi(struct tp_regs *regs) {
    if (load && !stopping && may_trap(regs))
        visit(load->nmi_place ? load->nmi_place : &load->places[0], BY_NMI);
}

static unsigned count_answers(void) {
    return live_counts.syncs + live_counts.stops + live_counts.busy;
}

/*
 * The #BP in an NMI handler ends in an iret, which lets the next NMI in (Intel SDM vol. 3 section 6.7.1), onto the same
 * stack. So there is no next one until the CPU has answered an interrupt, which it can't in an NMI.
 */
static void send_nmi_to(unsigned cpu) {
    struct loaded *to = &loaded[cpu];
    if (cpu != cpu_index() && to->answers_at_nmi == count_answers())
        return;
    to->answers_at_nmi = count_answers();
    send_nmi(cpu);
}

/* One place after each site, all of them after each step of the whole batch. */
static void visit_by_step(const struct tp_trace *trace) {
    static unsigned turn;
    if (!load || stopping)
        return;
    hold_for_stores(trace->step);
    send_nmi_to(++turn % cpu_count());
    if (load->without_own_visits)
        return;
    if (trace->site)
        visit(&load->places[turn % load->count], BY_STEP);
    else
        visit_all(BY_STEP);
}

/* ---- Work ---- */

static unsigned draw(struct loaded *own, unsigned most) {
    own->random = own->random * 6364136223846793005 + 1442695040888963407;
    return 1 + (unsigned)(own->random >> 33) % most;
}

/* Sleeping CPUs answer at once, where an emulator has fewer CPUs of its own than it emulates. */
static void rest(struct loaded *own, unsigned *left) {
    if (load->burst == 0 || --*left > 0)
        return;
    *left = draw(own, load->burst);
    wait_for_interrupt();
}

static void work(void *argument) {
    struct loaded *own = argument;
    unsigned left = 1;
    tp_cpu_online();
    own->stack = (uintptr_t)__builtin_frame_address(0);
    start_cpu_timer(TIMER_HERTZ);
    while (!stopping) {
        own->rounds += visit_all(BY_WORK);
        __asm__ volatile("pause; pause" : : : "memory");
        rest(own, &left);
    }
    stop_cpu_timer();
}

void load_cpu(unsigned cpu) {
    loaded[cpu] = (struct loaded){.random = cpu, .answers_at_nmi = UINT32_MAX};
    run_on(cpu, work, &loaded[cpu]);
}

void start_load(const struct live_storm *storm) {
    EXPECT_OK(storm->move(0));
    live_counts = (struct live_counts){0};
    moves_begun = moves_done = 0;
    stopping = held = false;
    loaded[0] = (struct loaded){.stack = (uintptr_t)__builtin_frame_address(0)};
    load = storm;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        load_cpu(cpu);
    timer_hook = visit_by_timer;
    nmi_hook = visit_by_nmi;
    live_step_hook = visit_by_step;
    start_cpu_timer(TIMER_HERTZ);
}

static void do_nothing(void *unused) {
    (void)unused;
}

static void kick_others(void) {
    (void)call_on_others(do_nothing, NULL, call_timeout, NULL);
}

static bool await_rounds(unsigned cpu, uint64_t rounds) {
    uint64_t deadline = read_nanoseconds() + PATIENCE;
    for (unsigned polls = 1; loaded[cpu].rounds < rounds; polls++) {
        __asm__ volatile("pause");
        if (polls % POLLS_BEFORE_KICK)
            continue;
        if (read_nanoseconds() > deadline)
            return false;
        kick_others();
    }
    return true;
}

/* One more than two: the round that is under way may have been past a site already. */
bool await_visits(void) {
    uint64_t wanted[MAXIMUM_CPUS];
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wanted[cpu] = loaded[cpu].rounds + 3;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        if (!cpu_is_idle(cpu) && !await_rounds(cpu, wanted[cpu]))
            return false;
    return true;
}

enum tp_status move_load(void) {
    unsigned move = moves_begun + 1;
    moves_begun = move;
    enum tp_status status = load->move(move % load->states);
    if (status != TP_OK)
        return status;
    moves_done = move;
    visit_all(BY_WORK);
    return TP_OK;
}

static void add_up(struct live_result *result, const struct loaded *own) {
    result->visits += own->visits[BY_WORK];
    result->timer_visits += own->visits[BY_TIMER];
    result->nmi_visits += own->visits[BY_NMI];
    result->step_visits += own->visits[BY_STEP];
    result->wrong += own->wrong;
    result->damaged += own->damaged;
}

struct live_result stop_load(void) {
    struct live_result result = {.rounds = moves_done};
    stopping = true;
    stop_cpu_timer();
    kick_others();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (cpu != 0)
            wait_for(cpu);
        add_up(&result, &loaded[cpu]);
    }
    load = NULL;
    return result;
}

/* ---- Storms ---- */

static unsigned count_sites_changed(void) {
    const unsigned *steps = live_counts.steps;
    return steps[TP_STEP_FIRST] + steps[TP_STEP_STORE] + steps[TP_STEP_STOPPED];
}

static void print_storm(const struct live_storm *storm, const struct live_result *result) {
    print_format("# %s: %u moves of %lu us, %u sites changed; visits: %lu, by timer %lu, by NMI %lu, between "
                 "steps %lu; wrong %lu\n",
                 storm->name, result->rounds, result->nanoseconds / 1000 / (result->rounds + !result->rounds),
                 count_sites_changed(),
                 result->visits, result->timer_visits, result->nmi_visits, result->step_visits, result->wrong);
    if (result->wrong)
        print_format("# the first wrong one: place %u, value %lu\n", wrong_place, wrong_value);
}

/* Where all suites run in one boot, it is the build that is tried rather than the storm. */
static uint64_t longest_storm(void) {
    char suite[32];
    return command_line_value("suite", suite, sizeof suite) ? SECOND * 3 / 2 : SECOND / 5;
}

/* Ends in the state 0. A storm of too few moves proves nothing, so that time doesn't count until then. */
static bool is_over(const struct live_storm *storm, unsigned moves, uint64_t begin) {
    if (moves % storm->states != 0 || moves < ROUNDS_LEAST)
        return false;
    return moves >= storm->rounds || read_nanoseconds() - begin > longest_storm();
}

struct live_result storm(const struct live_storm *storm) {
    uint64_t begin = read_nanoseconds();
    start_load(storm);
    EXPECT(await_visits());
    for (unsigned moves = 0; !is_over(storm, moves, begin); moves++)
        if (!EXPECT_OK(move_load()) || !EXPECT(await_visits()))
            break;
    struct live_result result = stop_load();
    result.nanoseconds = read_nanoseconds() - begin;
    print_storm(storm, &result);
    return result;
}

void run_storm(const struct live_storm *of) {
    struct live_result result = storm(of);
    EXPECT(result.rounds >= ROUNDS_LEAST);
    EXPECT_EQUAL(result.wrong, 0);
    EXPECT_EQUAL(result.damaged, 0);
    EXPECT(result.visits > result.rounds);
    EXPECT(result.timer_visits > 0);
    EXPECT(result.nmi_visits > 0);
    EXPECT(of->without_own_visits || result.step_visits > result.rounds);
}
