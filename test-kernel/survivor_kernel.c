/* SPDX-License-Identifier: MIT */
/* The kernel's side of survivor.h: what it answers, and what it looks at. */
#include "platform.h"
#include "survivor_own.h"

/* As in suites/survivor.asm. */
enum { CALL_EXIT = 128, CALL_REPLACE, CALL_FORK, NOWHERE = 0x1000 };

enum { FLAG_RESUME = 1 << 16 };

volatile bool survivors_lose_r9;

/* ---- What the kernel sees ---- */

static uint64_t *slots_of(struct tp_regs *regs) {
    return (uint64_t *)regs;
}

/* `syscall` leaves rip in rcx, and the flags in r11. */
static uint64_t wanted_slot(const struct tp_regs *regs, const volatile struct survivor_data *data, unsigned slot) {
    if (regs->vector == TP_VECTOR_SYSCALL && slot == VALUE_RCX)
        return regs->rip;
    if (regs->vector == TP_VECTOR_SYSCALL && slot == VALUE_R11)
        return regs->rflags;
    return data->wanted[slot];
}

/* The first slot from `slot` on that isn't as the program has filled it; VALUES_COMPARED if all are. */
static unsigned find_wrong_slot(const struct tp_regs *regs, const volatile struct survivor_data *data,
                                unsigned slot) {
    const uint64_t *slots = (const uint64_t *)regs;
    for (; slot < VALUE_REGISTERS; slot++)
        if (slots[slot] != wanted_slot(regs, data, slot))
            return slot;
    if ((regs->rflags ^ data->wanted[VALUE_FLAGS]) & ~(uint64_t)FLAG_RESUME)
        return VALUE_FLAGS;
    return regs->rsp == data->wanted[VALUE_RSP] ? VALUES_COMPARED : VALUE_RSP;
}

static void look_at(struct survivor *own, const struct tp_regs *regs, const volatile struct survivor_data *data,
                    unsigned first) {
    unsigned wrong = find_wrong_slot(regs, data, first);
    own->sum.frames++;
    if (wrong == VALUES_COMPARED)
        return;
    if (own->sum.wrong_frames++ == 0) {
        own->wrong_vector = regs->vector;
        own->wrong_slot = wrong;
    }
}

/* ---- Exceptions ---- */

static bool is_meant(const struct tp_regs *regs, const volatile struct survivor_data *data) {
    switch (data->way) {
    case WAY_INT3:
        return regs->vector == VECTOR_BREAKPOINT && regs->rip == data->place + 1;
    case WAY_INVALID:
        return regs->vector == VECTOR_INVALID_OPCODE && regs->rip == data->place;
    case WAY_FAULT:
        return regs->vector == VECTOR_PAGE_FAULT && regs->rip == data->place && fault_address() == NOWHERE;
    case WAY_DIVIDE:
        return regs->vector == VECTOR_DIVIDE && regs->rip == data->place;
    default:
        return false;
    }
}

bool mend_exception(struct tp_regs *regs) {
    struct process *process = is_from_user(regs) ? current_process() : NULL;
    if (!process)
        return false;
    volatile struct survivor_data *data = survivor_data_of(process);
    if (!is_meant(regs, data))
        return false;
    look_at(own_survivor(), regs, data, 0);
    if (data->ask < VALUE_REGISTERS)
        slots_of(regs)[data->ask] = data->ask_value;
    if (survivors_lose_r9 && regs->vector == VECTOR_PAGE_FAULT)
        regs->r9 ^= 1;
    regs->rip = data->behind;
    return true;
}

void mend_survivor(struct tp_regs *regs) {
    if (!mend_exception(regs))
        panic("#BP at %lx is no program's", regs->rip);
}

/* ---- System calls ---- */

static uint64_t number_of(const struct tp_regs *regs) {
    return regs->vector == TP_VECTOR_SYSCALL ? regs->error_code : regs->rax;
}

/* The second form of many a way out: by iret, since rcx or r11 isn't what sysret would leave there. */
static void answer_number(struct tp_regs *regs, uint64_t number) {
    const uint64_t arguments[] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    uint64_t result = number;
    for (unsigned i = 0; i < sizeof arguments / sizeof *arguments; i++)
        result = result * 31 + arguments[i];
    regs->rax = result;
    switch (number >> 3 & 7) {
    case 1:
        regs->rflags ^= 1;
        break;
    case 2:
        regs->rcx = ~result;
        break;
    case 3:
        regs->r11 = result ^ regs->rdi;
        break;
    default:
        break;
    }
}

static void replace_all(struct tp_regs *regs, const volatile struct survivor_data *data) {
    if (regs->rdi != USER_DATA + offsetof(struct survivor_data, replacement))
        return;
    for (unsigned slot = 0; slot < VALUE_REGISTERS; slot++)
        slots_of(regs)[slot] = data->replacement[slot];
    regs->rflags = data->replacement[VALUE_FLAGS];
    regs->rsp = data->replacement[VALUE_RSP];
    regs->rip = data->replacement[VALUE_GS];
}

/* It counts its own round only, and rax is all that differs. */
static void prepare_child(volatile struct survivor_data *data) {
    data->expected[VALUE_RAX] = 0;
    data->stop = 1;
    data->rounds = data->wrong = 0;
    for (unsigned way = 0; way < WAYS_DRAWN; way++)
        data->done[way] = data->wrong_of[way] = 0;
}

/* One child at a time: while there is another, that goes on and the call is made again. */
static void fork_survivor(struct survivor *own, struct tp_regs *regs) {
    if (own->child_runs) {
        regs->rip = survivor_data_of(current_process())->place;
        switch_process(regs);
        return;
    }
    own->child_runs = true;
    fork_process(regs, &own->child, "survivor's child");
    prepare_child(survivor_data_of(&own->child));
    if (own->calls & 1)
        switch_process(regs);
}

static void end_survivor(struct survivor *own, struct tp_regs *regs) {
    struct process *process = current_process();
    exit_process(regs, regs->rdi);
    if (process != &own->child)
        return;
    collect_survivor(own, process);
    own->sum.children++;
    release_process(process);
    own->child_runs = false;
}

/* NMIs that arrive here, and wherever another CPU is. */
static void stir(struct survivor *own) {
    unsigned turn = own->calls++ & 7;
    if (turn == 0)
        send_nmi(cpu_index());
    else if (turn == 4)
        send_nmi((cpu_index() + 1) % cpu_count());
}

void answer_survivor(struct tp_regs *regs) {
    struct survivor *own = own_survivor();
    const volatile struct survivor_data *data = survivor_data_of(current_process());
    uint64_t number = number_of(regs);
    stir(own);
    if (number == CALL_EXIT) {
        end_survivor(own, regs);
        return;
    }
    look_at(own, regs, data, number < FIRST_COMPLETE_SYSCALL && regs->vector == TP_VECTOR_SYSCALL ? VALUE_R11 : 0);
    if (number == CALL_REPLACE)
        replace_all(regs, data);
    else if (number == CALL_FORK)
        fork_survivor(own, regs);
    else
        answer_number(regs, number);
}

/* ---- Interrupts ---- */

/* Only while the program is where its values are in place, which is where it spins. A fork that is made again comes
 * from a system call, and not with all of them. */
void look_inside_survivor(struct tp_regs *regs) {
    const struct process *process = is_from_user(regs) ? current_process() : NULL;
    struct survivor *own = own_survivor();
    if (!process)
        return;
    own->sum.interrupted++;
    const volatile struct survivor_data *data = survivor_data_of(process);
    if (regs->rip != data->place || data->way == WAY_FORK)
        return;
    struct tp_regs seen = *regs;
    if (data->way == WAY_SPIN)
        seen.rcx = data->wanted[VALUE_RCX];
    look_at(own, &seen, data, 0);
}

void tick_survivor(struct tp_regs *regs) {
    look_inside_survivor(regs);
    send_nmi(cpu_index());
    send_nmi((cpu_index() + 1) % cpu_count());
}
