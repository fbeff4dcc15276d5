/* SPDX-License-Identifier: MIT */
#include "programs.h"

#include "backend.h"
#include "effects.h"
#include "page.h"
#include "user_space.h"

extern const uint8_t program_goes_round[]; /* programs.asm */

enum { CALL_ADD = 1, CALL_RAISE = 2, CALL_SWITCH = FIRST_COMPLETE_SYSCALL, CALL_EXIT };
enum { ROUNDS = 20, STORE_LENGTH = 3, SEED_ONE = 0x51, SEED_TWO = 0x12 };
/* A round's: the sum, the switch and the event's call; the event, the page fault and int 0x80; all but that
 * call. */
enum { BY_SYSRET = 3 * ROUNDS, BY_IRET = 3 * ROUNDS, GS_LOOKS = 5 * ROUNDS };

/* At USER_DATA: programs.asm. */
struct program_data {
    uint64_t seed, rounds, selector, events, gs_word;
    uint64_t by_sysret, by_iret, gs_kept, selector_loaded;
    uint64_t rounds_wanted;
};

static struct process one, two;

static volatile struct program_data *data_of(const struct process *process) {
    return (volatile struct program_data *)process->data;
}

/* Two selectors that user mode may load: its data and its code. */
static unsigned selector_of(const struct process *process) {
    return process == &one ? (world == WORLD_XEN_PV ? FLAT_USER_DS32 : backend->user_selectors.stack)
                           : backend->user_selectors.code;
}

static unsigned long read_cr3_register(void) {
    unsigned long value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static void look_at_space(const struct process *process) {
    see(OP(mmu.write_cr3), *(const volatile uint64_t *)USER_DATA == data_of(process)->seed);
    see(OP(mmu.read_cr3), read_cr3() == read_cr3_register());
}

/* The selector that user mode finds in gs is each one's own, and the base that came with it is not the one it
 * has. */
static void go_on_as(const struct process *process) {
    load_gs(selector_of(process));
    set_process_gs_base(process->gs_base);
    see(OP(cpu.swapgs), this_cpu() == &cpus[0]);
    if (data_of(process)->seed)
        look_at_space(process);
}

static uint64_t number_of(const struct tp_regs *regs) {
    return regs->vector == TP_VECTOR_SYSCALL ? regs->error_code : regs->rax;
}

static void answer(struct tp_regs *regs) {
    switch (number_of(regs)) {
    case CALL_ADD:
        regs->rax = regs->rdi + regs->rsi;
        break;
    case CALL_RAISE:
        raise_event();
        break;
    case CALL_SWITCH:
        switch_process(regs);
        go_on_as(current_process());
        break;
    case CALL_EXIT:
        exit_process(regs, 0);
        if (current_process())
            go_on_as(current_process());
        break;
    default:
        kill_process(regs, "a number that nobody has");
    }
}

static bool skip_store(struct tp_regs *regs) {
    if (!is_from_user(regs))
        return false;
    see(OP(mmu.read_cr2), fault_address() == regs->rsi);
    regs->rip += STORE_LENGTH;
    return true;
}

static void count_for_program(struct tp_regs *regs) {
    if (is_from_user(regs))
        data_of(current_process())->events++;
}

/* What is compared: Xen has bits of its own in an entry. */
static const uint64_t entry_mask =
    ((1ull << 52) - PAGE_SIZE) | PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_NOEXECUTE;

/* What the table holds, and what was meant: the page's frame and what the program may do there. */
static void look_at_entries(const struct process *process) {
    for (uint64_t offset = 0; offset < USER_DATA_SIZE; offset += PAGE_SIZE) {
        uint64_t meant = backend->frame_of((uintptr_t)process->data + offset) << PAGE_SHIFT | PAGE_PRESENT |
                         PAGE_WRITABLE | PAGE_USER | PAGE_NOEXECUTE;
        bool right = (user_page_entry(process->space, USER_DATA + offset) & entry_mask) == meant;
        see(OP(mmu.make_pte), right);
        see(OP(mmu.pte_val), right);
    }
}

void build_shared_tables(void) {
    static struct process nobody;
    make_process(&nobody, "nobody", program_goes_round, 0);
}

static void make_one(struct process *process, const char *name, uint64_t seed) {
    make_process(process, name, program_goes_round, seed);
    volatile struct program_data *data = data_of(process);
    data->selector = selector_of(process);
    data->gs_word = seed;
    data->rounds_wanted = ROUNDS;
    process->gs_base = USER_DATA + offsetof(struct program_data, gs_word);
    look_at_entries(process);
}

static void look_at_program(const struct process *process) {
    const volatile struct program_data *data = data_of(process);
    bool ended = process->state == PROCESS_EXITED && data->rounds == ROUNDS && data->events == ROUNDS;
    see_many(OP(cpu.usergs_sysret64), ended ? data->by_sysret : 0, BY_SYSRET);
    see_many(OP(cpu.iret), ended ? data->by_iret : 0, BY_IRET);
    see_many(OP(cpu.swapgs), ended ? data->gs_kept : 0, GS_LOOKS);
    see_many(OP(cpu.load_gs), ended ? data->selector_loaded : 0, ROUNDS);
}

/* Their spaces are not given back: the next ones are built, too. */
void run_programs(void) {
    syscall_handler syscalls = set_syscall_handler(answer);
    exception_handler faults = set_exception_handler(VECTOR_PAGE_FAULT, skip_store);
    event_hook = count_for_program;
    make_one(&one, "one", SEED_ONE);
    make_one(&two, "two", SEED_TWO);
    run_processes((struct process *const[]){&one, &two}, 2);
    look_at_program(&one);
    look_at_program(&two);
    event_hook = NULL;
    set_exception_handler(VECTOR_PAGE_FAULT, faults);
    set_syscall_handler(syscalls);
}
