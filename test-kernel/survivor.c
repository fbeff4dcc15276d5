/* SPDX-License-Identifier: MIT */
#include "survivor.h"

#include "ktap.h"
#include "survivor_own.h"

enum { HERTZ = 1000, GS_CELLS = 0x500 };
#define PATIENCE 30000000000ull

extern const uint8_t survivor[];

const uint8_t survivor_everything[WAYS_DRAWN] = {
    WAY_LAZY,     WAY_LAZY,     WAY_LAZY, WAY_LAZY, WAY_LAZY,    WAY_LAZY,  WAY_LAZY,   WAY_COMPLETE,
    WAY_COMPLETE, WAY_COMPLETE, WAY_GATE, WAY_INT3, WAY_INVALID, WAY_FAULT, WAY_DIVIDE, WAY_SPIN,
};

struct survivor survivors[MAXIMUM_CPUS];
static const uint8_t *drawn_ways;
static volatile bool stopping;
static unsigned programs; /* that run on all CPUs */

/* ---- Who answers ---- */

static const unsigned vectors[] = {VECTOR_DIVIDE, VECTOR_BREAKPOINT, VECTOR_INVALID_OPCODE, VECTOR_PAGE_FAULT};
enum { TAKEN = sizeof vectors / sizeof *vectors };
static exception_handler handlers_before[TAKEN];
static syscall_handler answer_before;
static uint64_t nmis_before[MAXIMUM_CPUS], ticks_before[MAXIMUM_CPUS];

void open_survivors(const uint8_t *ways) {
    for (unsigned cpu = 0; cpu < MAXIMUM_CPUS; cpu++) {
        survivors[cpu] = (struct survivor){.calls = cpu};
        nmis_before[cpu] = nmi_count(cpu);
        ticks_before[cpu] = cpu_ticks(cpu);
    }
    drawn_ways = ways;
    stopping = false;
    for (unsigned i = 0; i < TAKEN; i++)
        handlers_before[i] = set_exception_handler(vectors[i], mend_exception);
    answer_before = set_syscall_handler(answer_survivor);
    timer_hook = tick_survivor;
    nmi_hook = look_inside_survivor;
}

/* ---- Programs ---- */

static void note_first(struct survivor *own, const volatile struct survivor_data *data) {
    own->first_way = data->first_way;
    own->first_value = data->first_value;
    own->first_expected = data->first_expected;
    own->first_found = data->first_found;
    own->first_round = data->first_round;
}

static void add_data(struct survivor_sum *sum, const volatile struct survivor_data *data) {
    sum->rounds += data->rounds;
    sum->wrong += data->wrong;
    for (unsigned way = 0; way < SURVIVOR_WAYS; way++) {
        sum->done[way] += data->done[way];
        sum->wrong_of[way] += data->wrong_of[way];
    }
}

void collect_survivor(struct survivor *own, const struct process *process) {
    const volatile struct survivor_data *data = survivor_data_of(process);
    if (own->sum.wrong == 0 && data->wrong)
        note_first(own, data);
    add_data(&own->sum, data);
}

/* Two programs have theirs at different places of their pages. */
static void prepare(struct process *process, uint64_t rounds) {
    volatile struct survivor_data *data = survivor_data_of(process);
    static uint64_t seed;
    uint64_t number = __atomic_add_fetch(&seed, 1, __ATOMIC_RELAXED), gs = GS_CELLS + number % 32 * 8;
    data->random = number * 0x9e3779b97f4a7c15;
    data->limit = rounds;
    data->stop = stopping;
    for (unsigned i = 0; i < WAYS_DRAWN; i++)
        data->ways[i] = drawn_ways[i];
    data->wanted[VALUE_GS] = ~data->random;
    *(volatile uint64_t *)(process->data + gs) = ~data->random;
    process->gs_base = USER_DATA + gs;
}

static void run_prepared(struct survivor *own, uint64_t rounds) {
    struct process *process = &own->process;
    make_process(process, "survivor", survivor, 0);
    prepare(process, rounds);
    __atomic_store_n(&own->runs, true, __ATOMIC_SEQ_CST);
    if (stopping)
        survivor_data_of(process)->stop = 1;
    run_processes((struct process *const[]){process}, 1);
    own->runs = false;
    collect_survivor(own, process);
    own->sum.lost += process->state != PROCESS_EXITED;
    release_process(process);
}

void run_survivor(uint64_t rounds) {
    start_cpu_timer(HERTZ);
    run_prepared(own_survivor(), rounds);
    stop_cpu_timer();
}

static void work(void *argument) {
    struct survivor *own = argument;
    run_survivor(own->rounds_wanted);
    __atomic_sub_fetch(&programs, 1, __ATOMIC_SEQ_CST);
}

static uint64_t rounds_on(unsigned cpu) {
    const struct survivor *one = &survivors[cpu];
    return __atomic_load_n(&one->runs, __ATOMIC_ACQUIRE) ? survivor_data_of(&one->process)->rounds : 0;
}

/* What one CPU sends another. */
struct aim {
    uint64_t rounds, nmis; /* that there were */
    unsigned sent;         /* in this round */
};

/* The next one when the last one has come, and no more than a program can bear: an NMI that is sent in the handler of
 * one comes before the program gets on by an instruction. */
static bool may_send(struct aim *aim, unsigned cpu) {
    enum { A_ROUND = 3 };
    uint64_t rounds = rounds_on(cpu);
    if (rounds != aim->rounds)
        *aim = (struct aim){.rounds = rounds, .nmis = UINT64_MAX};
    return aim->sent < A_ROUND && nmi_count(cpu) != aim->nmis;
}

static void send_to(struct aim *aim, unsigned cpu) {
    aim->sent++;
    aim->nmis = nmi_count(cpu);
    send_nmi(cpu);
}

static void flood(void *unused) {
    struct aim aims[MAXIMUM_CPUS] = {{0}};
    (void)unused;
    for (unsigned turn = 0; __atomic_load_n(&programs, __ATOMIC_SEQ_CST); turn++) {
        unsigned cpu = turn % cpu_index();
        if (may_send(&aims[cpu], cpu))
            send_to(&aims[cpu], cpu);
        for (unsigned i = 0; i < turn % 61; i++)
            __asm__ volatile("pause");
    }
}

static void start_on(unsigned cpu, uint64_t rounds) {
    survivors[cpu].rounds_wanted = rounds;
    __atomic_add_fetch(&programs, 1, __ATOMIC_SEQ_CST);
    run_on(cpu, work, &survivors[cpu]);
}

void start_survivors(uint64_t rounds, bool flooded) {
    unsigned last = cpu_count() - 1;
    stopping = false;
    for (unsigned cpu = 1; cpu < last + !flooded; cpu++)
        start_on(cpu, rounds);
    if (flooded)
        run_on(last, flood, NULL);
}

static void wait_for_others(void) {
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wait_for(cpu);
}

/* A program that is made only now sees `stopping`. */
void stop_survivors(void) {
    __atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (__atomic_load_n(&survivors[cpu].runs, __ATOMIC_SEQ_CST))
            survivor_data_of(&survivors[cpu].process)->stop = 1;
    wait_for_others();
}

/* The flood goes on until the last program has ended, which may be this one. */
void run_survivors(uint64_t rounds, bool flooded) {
    __atomic_add_fetch(&programs, 1, __ATOMIC_SEQ_CST);
    start_survivors(rounds, flooded);
    run_survivor(rounds);
    __atomic_sub_fetch(&programs, 1, __ATOMIC_SEQ_CST);
    wait_for_others();
}

/* ---- Numbers ---- */

uint64_t count_calls(const struct survivor_sum *sum) {
    return sum->done[WAY_LAZY] + sum->done[WAY_COMPLETE] + sum->done[WAY_REPLACE] + sum->done[WAY_FORK];
}

static void add_sum(struct survivor_sum *sum, const struct survivor_sum *other) {
    sum->rounds += other->rounds;
    sum->wrong += other->wrong;
    for (unsigned way = 0; way < SURVIVOR_WAYS; way++) {
        sum->done[way] += other->done[way];
        sum->wrong_of[way] += other->wrong_of[way];
    }
    sum->frames += other->frames;
    sum->wrong_frames += other->wrong_frames;
    sum->interrupted += other->interrupted;
    sum->children += other->children;
    sum->lost += other->lost;
}

struct survivor_sum add_up_survivors(void) {
    struct survivor_sum sum = {0};
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        const struct survivor *one = &survivors[cpu];
        add_sum(&sum, &one->sum);
        if (__atomic_load_n(&one->runs, __ATOMIC_ACQUIRE))
            add_data(&sum, survivor_data_of(&one->process));
        sum.nmis += nmi_count(cpu) - nmis_before[cpu];
        sum.ticks += cpu_ticks(cpu) - ticks_before[cpu];
    }
    return sum;
}

static bool await_round(unsigned cpu, uint64_t rounds) {
    uint64_t deadline = read_nanoseconds() + PATIENCE;
    while (rounds_on(cpu) < rounds) {
        if (read_nanoseconds() > deadline)
            return false;
        __asm__ volatile("pause");
    }
    return true;
}

bool await_survivors(uint64_t rounds) {
    uint64_t wanted[MAXIMUM_CPUS];
    bool all = true;
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        wanted[cpu] = rounds_on(cpu) + rounds;
    for (unsigned cpu = 1; cpu < cpu_count() && all; cpu++)
        all = await_round(cpu, wanted[cpu]);
    return all;
}

struct survivor_sum close_survivors(void) {
    timer_hook = NULL;
    nmi_hook = NULL;
    for (unsigned i = 0; i < TAKEN; i++)
        set_exception_handler(vectors[i], handlers_before[i]);
    set_syscall_handler(answer_before);
    return add_up_survivors();
}

static const char *name_way(uint64_t way) {
    static const char *const names[SURVIVOR_WAYS] = {"a lazy call",     "a complete call", "int 0x80",   "int3",
                                                     "ud2",             "a page fault",    "a division", "nothing",
                                                     "a replaced frame", "a fork"};
    return way < SURVIVOR_WAYS ? names[way] : "no way";
}

static const char *name_value(uint64_t value) {
    static const char *const names[] = {"r15", "r14", "r13", "r12", "rbp", "rbx", "r11",   "r10", "r9",   "r8",
                                        "rdi", "rsi", "rdx", "rcx", "rax", "flags", "rsp", "gs:0", "stack"};
    return value < sizeof names / sizeof *names ? names[value] : "no value";
}

static void print_first(unsigned cpu) {
    const struct survivor *one = &survivors[cpu];
    if (one->sum.wrong)
        print_format("# CPU %u, round %lu, after %s: %s is %lx and should be %lx\n", cpu, one->first_round,
                     name_way(one->first_way), name_value(one->first_value), one->first_found, one->first_expected);
    if (one->sum.wrong_frames)
        print_format("# CPU %u, a frame of vector %lu: slot of %s\n", cpu, one->wrong_vector,
                     name_value(one->wrong_slot));
}

void print_survivors(const char *name, const struct survivor_sum *sum) {
    const uint64_t *done = sum->done;
    print_format("# %s: %lu rounds: %lu syscalls, %lu by int 0x80, %lu int3s, %lu faults; in user mode %lu times "
                 "interrupted by %lu NMIs and %lu ticks; wrong %lu; of %lu frames wrong %lu\n",
                 name, sum->rounds, count_calls(sum), done[WAY_GATE], done[WAY_INT3],
                 done[WAY_INVALID] + done[WAY_FAULT] + done[WAY_DIVIDE], sum->interrupted, sum->nmis, sum->ticks,
                 sum->wrong, sum->frames, sum->wrong_frames);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        print_first(cpu);
}
