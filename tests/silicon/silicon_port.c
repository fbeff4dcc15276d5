/* SPDX-License-Identifier: MIT */
#include "silicon_port.h"

#include <linux/membarrier.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, RANGES = 4, PATIENCE = 2000 };

struct silicon_control silicon_control = {.stop_patience = PATIENCE};
struct silicon_seen silicon_seen;
__thread bool silicon_may_wait = true;

void silicon_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void silicon_reset(void) {
    silicon_port.trace = NULL;
    silicon_control = (struct silicon_control){.stop_patience = PATIENCE};
    silicon_seen.syncs = silicon_seen.stops = silicon_seen.busy = silicon_seen.traps = silicon_seen.foreign = 0;
}

/* ---- Text ---- */

struct range {
    uintptr_t start;
    size_t size;
    uint8_t *alias;
};
static struct range ranges[RANGES];
static unsigned range_count;

/* One piece of memory: the alias is written, then the text is mapped where the program executes it. */
static struct range *add_range(uintptr_t start, size_t size) {
    int file = memfd_create("text", 0);
    struct range *range = &ranges[range_count];
    if (range_count == RANGES || file < 0 || ftruncate(file, (off_t)size) != 0)
        silicon_die("silicon: no memory for text");
    *range = (struct range){start, size, mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)};
    if (range->alias == MAP_FAILED)
        silicon_die("silicon: no alias for text");
    if (start >= ranges[0].start && start < ranges[0].start + ranges[0].size)
        memcpy(range->alias, (const void *)start, size);
    if (mmap((void *)start, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
        silicon_die("silicon: no text at %#lx", (long)start);
    close(file);
    range_count++;
    return range;
}

void *silicon_map_text(uintptr_t address, size_t size) {
    return (void *)add_range(address, (size + PAGE - 1) / PAGE * PAGE)->start;
}

uint8_t *silicon_alias(uintptr_t address, size_t length) {
    for (unsigned i = 0; i < range_count; i++)
        if (address >= ranges[i].start && address + length <= ranges[i].start + ranges[i].size)
            return ranges[i].alias + (address - ranges[i].start);
    return NULL;
}

/* The program comes first in the list of objects. */
static int find_text(struct dl_phdr_info *info, size_t size, void *found) {
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        struct range *range = found;
        range->start = (info->dlpi_addr + header->p_vaddr) / PAGE * PAGE;
        range->size = (info->dlpi_addr + header->p_vaddr + header->p_memsz - range->start + PAGE - 1) / PAGE * PAGE;
    }
    return 1;
}

/* The bytes stay what they are, so that we may be executing them. */
static void share_program(void) {
    dl_iterate_phdr(find_text, &ranges[0]);
    add_range(ranges[0].start, ranges[0].size);
}

void silicon_program_image(struct tp_image *image) {
    tp_kernel_image(image, (const void *)ranges[0].start, (const void *)(ranges[0].start + ranges[0].size));
}

static void *map_text(uintptr_t address, size_t length) {
    return silicon_alias(address, length);
}

static void unmap_text(void *alias, size_t length) {
    (void)alias, (void)length;
}

/* ---- #BP ---- */

/* From the signal's registers to those of an exception, and back. */
static const struct {
    uint8_t theirs, ours;
} registers[] = {
    {REG_R15, 0}, {REG_R14, 1},  {REG_R13, 2},  {REG_R12, 3},  {REG_RBP, 4},  {REG_RBX, 5},  {REG_R11, 6},
    {REG_R10, 7}, {REG_R9, 8},   {REG_R8, 9},   {REG_RDI, 10}, {REG_RSI, 11}, {REG_RDX, 12}, {REG_RCX, 13},
    {REG_RAX, 14}, {REG_RIP, 17}, {REG_EFL, 19}, {REG_RSP, 20},
};

static void copy_registers(gregset_t theirs, uint64_t *ours, bool back) {
    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++)
        if (back)
            theirs[registers[i].theirs] = (greg_t)ours[registers[i].ours];
        else
            ours[registers[i].ours] = (uint64_t)theirs[registers[i].theirs];
}

static void take_breakpoint(int signal_number, siginfo_t *info, void *context) {
    union {
        struct tp_regs regs;
        uint64_t all[TP_REGS_SIZE / 8];
    } frame = {.regs = {.vector = 3, .cs = 0x33, .ss = 0x2b}};
    ucontext_t *interrupted = context;
    (void)signal_number, (void)info;
    copy_registers(interrupted->uc_mcontext.gregs, frame.all, false);
    atomic_fetch_add_explicit(&silicon_seen.traps, 1, memory_order_relaxed);
    if (tp_handle_breakpoint(&frame.regs) == TP_BREAKPOINT_FOREIGN) {
        atomic_fetch_add(&silicon_seen.foreign, 1);
        if (!silicon_control.foreign || !silicon_control.foreign(&frame.regs)) {
            static const char message[] = "silicon: an int3 that is nobody's\n";
            (void)!write(2, message, sizeof message - 1);
            abort();
        }
    }
    copy_registers(interrupted->uc_mcontext.gregs, frame.all, true);
}

/* ---- Syncs ---- */

static bool sync_cpus(unsigned *silent) {
    unsigned long number = atomic_fetch_add(&silicon_seen.syncs, 1) + 1;
    if (number == silicon_control.silent_sync) {
        *silent = silicon_control.silent_cpu;
        return false;
    }
    if (number == silicon_control.skip_sync)
        return true;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0)
        silicon_die("silicon: membarrier failed");
    tp_serialize_cpu();
    if (silicon_control.synced)
        silicon_control.synced();
    return true;
}

/* ---- Stopping ---- */

enum { RUNS, ASKED, STOPPED };

/* Only its thread goes from ASKED to STOPPED; only the one that stops all goes back to RUNS. */
static struct cpu {
    atomic_int thread; /* its number to the kernel, 0: nobody */
    atomic_int state;
    uintptr_t ip; /* where it was interrupted */
    atomic_bool serialized;
} cpus[SILICON_THREADS];
static __thread struct cpu *this_cpu;

static void take_stop(int signal_number, siginfo_t *info, void *context) {
    const ucontext_t *interrupted = context;
    struct cpu *cpu = this_cpu;
    int asked = ASKED;
    (void)signal_number, (void)info;
    if (!cpu)
        return;
    cpu->ip = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
    /* Who is late finds that nobody waits for it any more. */
    if (!atomic_compare_exchange_strong(&cpu->state, &asked, STOPPED))
        return;
    while (atomic_load_explicit(&cpu->state, memory_order_acquire) == STOPPED)
        __builtin_ia32_pause();
    tp_serialize_cpu();
    atomic_store(&cpu->serialized, true);
}

static double milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static bool is_other(const struct cpu *cpu) {
    return cpu != this_cpu && cpu->thread != 0;
}

/* The number of one that doesn't stop, or -1. */
static int stop_all(void) {
    for (struct cpu *cpu = cpus; cpu < cpus + SILICON_THREADS; cpu++)
        if (is_other(cpu)) {
            cpu->serialized = false;
            cpu->state = ASKED;
            syscall(SYS_tgkill, getpid(), cpu->thread, SIGUSR1);
        }
    double end = milliseconds() + silicon_control.stop_patience;
    for (struct cpu *cpu = cpus; cpu < cpus + SILICON_THREADS; cpu++)
        while (is_other(cpu) && atomic_load_explicit(&cpu->state, memory_order_acquire) != STOPPED) {
            if (milliseconds() > end)
                return (int)(cpu - cpus);
            __builtin_ia32_pause();
        }
    return -1;
}

/* Those that had stopped have serialised when it returns. */
static void let_all_go(void) {
    for (struct cpu *cpu = cpus; cpu < cpus + SILICON_THREADS; cpu++)
        if (is_other(cpu) && atomic_exchange(&cpu->state, RUNS) != STOPPED)
            cpu->serialized = true;
    for (struct cpu *cpu = cpus; cpu < cpus + SILICON_THREADS; cpu++)
        while (is_other(cpu) && !cpu->serialized)
            __builtin_ia32_pause();
}

static bool may_all_proceed(bool (*may_proceed)(uintptr_t ip)) {
    for (struct cpu *cpu = cpus; cpu < cpus + SILICON_THREADS; cpu++)
        if (is_other(cpu) && !may_proceed(cpu->ip))
            return false;
    return true;
}

static pthread_mutex_t cpus_lock = PTHREAD_MUTEX_INITIALIZER;

static enum tp_stop stop_cpus(bool (*may_proceed)(uintptr_t ip), void (*write)(void *), void *argument,
                              unsigned *silent) {
    enum tp_stop done = TP_STOP_DONE;
    pthread_mutex_lock(&cpus_lock);
    atomic_fetch_add(&silicon_seen.stops, 1);
    int late = stop_all();
    if (late >= 0) {
        *silent = (unsigned)late;
        done = TP_STOP_SILENT;
    } else if (!may_all_proceed(may_proceed)) {
        atomic_fetch_add(&silicon_seen.busy, 1);
        done = TP_STOP_BUSY;
    } else {
        write(argument);
        tp_serialize_cpu();
    }
    let_all_go();
    pthread_mutex_unlock(&cpus_lock);
    return done;
}

void silicon_enter(unsigned number) {
    pthread_mutex_lock(&cpus_lock);
    if (number >= SILICON_THREADS || cpus[number].thread)
        silicon_die("silicon: there is a CPU %u already", number);
    this_cpu = &cpus[number];
    this_cpu->state = RUNS;
    this_cpu->thread = gettid();
    pthread_mutex_unlock(&cpus_lock);
    tp_cpu_online();
}

/* Who stops all holds the lock meanwhile; the signal comes through while we wait for it. */
void silicon_leave(void) {
    pthread_mutex_lock(&cpus_lock);
    this_cpu->thread = 0;
    this_cpu = NULL;
    pthread_mutex_unlock(&cpus_lock);
}

static cpu_set_t allowed; /* at the start, when nobody was pinned */

void silicon_pin(unsigned n) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && n-- == 0)
            CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        silicon_die("silicon: no such CPU");
}

/* ---- The rest ---- */

static pthread_mutex_t batch_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) {
    pthread_mutex_lock(&batch_lock);
}

static void unlock(void) {
    pthread_mutex_unlock(&batch_lock);
}

static uintptr_t caller(void) {
    return (uintptr_t)gettid();
}

static bool may_wait(void) {
    return silicon_may_wait;
}

static void log_message(const char *message) {
    fprintf(stderr, "# %s\n", message);
}

struct tp_port silicon_port = {
    .map_text = map_text,
    .unmap_text = unmap_text,
    .log = log_message,
    .lock = lock,
    .unlock = unlock,
    .caller = caller,
    .may_wait = may_wait,
    .sync_cpus = sync_cpus,
    .stop_cpus = stop_cpus,
};

/* Neither of the two signals comes while the other is handled: nobody is stopped inside the #BP handler. */
static bool handle(int signal_number, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    return sigaction(signal_number, &action, NULL) == 0;
}

const char *silicon_start(void) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0)
        return "this Linux has no membarrier(PRIVATE_EXPEDITED_SYNC_CORE)";
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return "there is one CPU only";
    if (!handle(SIGTRAP, take_breakpoint) || !handle(SIGUSR1, take_stop))
        return "signals can't be handled";
    share_program();
    return NULL;
}
