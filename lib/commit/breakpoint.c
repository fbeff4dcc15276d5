/* SPDX-License-Identifier: MIT */
/*
 * #BP: what stands for the site while its first byte is an int3. Runs on any CPU, at any moment, also on the one that
 * patches: it reads tables that don't change, cells, and text, and writes nothing but what it was given.
 *
 *   1. find      the site whose first byte is at rip - 1; none: foreign
 *   2. number    of the batch, before the byte is read again
 *   3. re-read   the byte: no int3 any more: the site has been patched meanwhile, go there
 *   4. emulate   the site by what its cell holds, if int3s are expected and its record says that this is one
 *   5. number    again: another batch by now: go to the site, and trap anew if its int3 still stands there
 *   6. foreign   else
 *   A handler may be held up anywhere for as long as it likes: before step 3 the byte is restored meanwhile, behind it
 *   the record may no longer own the int3, but then the number has changed, and nobody is taken for a stranger.
 */
#include "../commit/breakpoint.h"

#include <textpatch/unwind.h>

#include "../commit/transition.h"
#include "../port.h"
#include "../root.h"
#include "../serialize.h"
#include "../site/registry.h"
#include "../site/search.h"
#include "../site/site.h"

enum { INT3 = 0xcc, INT3_LENGTH = 1 };

/* Odd while a batch may have int3 bytes in the text. Written by the holder of the lock; x86 keeps stores in order. */
static volatile unsigned batch_number;

void tp_expect_breakpoints(void) {
    batch_number |= 1; /* before the first int3; read in steps 2 and 5 of the handler */
    __asm__ volatile("" : : : "memory");
}

void tp_expect_no_breakpoints(void) {
    batch_number += batch_number & 1; /* behind the last sync, and before a record forgets its int3 */
    __asm__ volatile("" : : : "memory");
}

/* What is to be done, apart from doing it: the frame may have to be moved first. */
struct answer {
    bool foreign;
    bool pushes;
    uintptr_t ip;
    uintptr_t return_address;
};

/* Jcc's sixteen conditions: pairs, the odd one of which is the negation (Intel SDM vol. 1 appendix B). */
static bool condition_holds(unsigned condition, uint64_t flags) {
    const bool carry = flags & 1, parity = flags & 4, zero = flags & 0x40, sign = flags & 0x80, overflow = flags & 0x800;
    bool holds = false;
    switch (condition >> 1) {
    case 0: holds = overflow; break;
    case 1: holds = carry; break;
    case 2: holds = zero; break;
    case 3: holds = carry || zero; break;
    case 4: holds = sign; break;
    case 5: holds = parity; break;
    case 6: holds = sign != overflow; break;
    case 7: holds = zero || sign != overflow; break;
    }
    return holds != (condition & 1);
}

static struct answer go_to(uintptr_t ip) {
    return (struct answer){.ip = ip};
}

static struct answer branch(const struct tp_site *site, uint64_t flags, uintptr_t target) {
    const unsigned kind = tp_site_branch(site);
    if (kind == TP_BRANCH_CALL)
        return (struct answer){.pushes = true, .ip = target, .return_address = tp_site_end(site)};
    if (kind == TP_BRANCH_JMP || condition_holds(kind & 0xf, flags))
        return go_to(target);
    return go_to(tp_site_end(site));
}

static uint64_t read_cell(const struct tp_site *site) {
    return *(const volatile tp_cell *)tp_site_cell(site);
}

static struct answer take_static_branch(const struct tp_site *site) {
    bool enabled = (int64_t)read_cell(site) > 0;
    bool jumps = enabled == !!(site->detail & TP_KEY_JUMPS_IF_ENABLED);
    return go_to(jumps ? tp_relative(&site->form) : tp_site_end(site));
}

/* By TP_SCHEME_PREFIX only a prefix is missing: what it stood before follows at once. */
static struct answer emulate(const struct tp_site *site, uint64_t flags) {
    if (tp_site_kind(site) == TP_KIND_STATIC_KEY)
        return take_static_branch(site);
    if (tp_registry.options.call_scheme == TP_SCHEME_PREFIX)
        return go_to(tp_site_address(site) + INT3_LENGTH);
    return branch(site, flags, read_cell(site));
}

/* The site whose first byte it is. */
static const struct tp_site *find_site(uintptr_t address) {
    const struct tp_site *site = tp_find_place(address);
    return site && tp_site_address(site) == address ? site : NULL;
}

/* Read once, when the byte has been: see expect_int3() in live.c for the other side. */
static bool is_changing(const struct tp_site *site) {
    return *(const volatile uint16_t *)&site->detail & TP_DETAIL_CHANGING;
}

static struct answer decide(const struct tp_regs *regs) {
    const struct answer foreign = {.foreign = true};
    const uintptr_t address = regs->rip - INT3_LENGTH;
    if (address == (uintptr_t)tp_probe_int3)
        return go_to((uintptr_t)tp_probe_answer);
    const struct tp_site *site = find_site(address); /* 1 */
    if (!site)
        return foreign;
    unsigned before = batch_number;                        /* 2 */
    if (*(const volatile uint8_t *)address != INT3)        /* 3 */
        return go_to(address);
    if (before & 1 && is_changing(site))                   /* 4 */
        return emulate(site, regs->rflags);
    return batch_number != before ? go_to(address) : foreign; /* 5, 6 */
}

/* For who interrupts this and unwinds through the frame, one store makes the difference: the last (textpatch/unwind.h). */
static void take(struct tp_regs *regs, const struct answer *answer) {
    volatile struct tp_regs *frame = regs;
    if (answer->pushes)
        *(volatile tp_cell *)(regs->rsp - sizeof(uint64_t)) = answer->return_address;
    frame->error_code = tp_breakpoint_moving(regs);
    frame->rip = answer->ip;
    if (answer->pushes)
        frame->rsp -= sizeof(uint64_t);
    else
        frame->error_code = TP_BREAKPOINT_MOVED;
}

TP_ROOT enum tp_breakpoint tp_handle_breakpoint(struct tp_regs *regs) {
    const struct answer answer = decide(regs);
    if (answer.foreign)
        return TP_BREAKPOINT_FOREIGN;
    take(regs, &answer);
    return TP_BREAKPOINT_RESUME;
}

static void hand_on(struct tp_regs *regs) {
    if (tp_port()->breakpoint)
        tp_port()->breakpoint(regs);
}

/* What user mode executes is no site, wherever it lies: nothing is pushed to a stack that it has chosen. */
static bool comes_from_user(const struct tp_regs *regs) {
    return regs->cs & 3;
}

/* Word by word: for `*to = *from` compilers may call memcpy, which is the kernel's and may hold sites. */
static void copy_regs(struct tp_regs *to, const struct tp_regs *from) {
    volatile uint64_t *out = &to->r15;
    const uint64_t *in = &from->r15;
    for (unsigned i = 0; i < TP_REGS_SIZE / sizeof *in; i++)
        out[i] = in[i];
}

TP_ROOT void tp_breakpoint_dispatch(struct tp_regs *regs) {
    if (comes_from_user(regs) || tp_handle_breakpoint(regs) == TP_BREAKPOINT_FOREIGN)
        hand_on(regs);
}

TP_ROOT struct tp_regs *tp_breakpoint_dispatch_copied(struct tp_regs *regs, struct tp_regs *copy) {
    const struct answer answer = decide(regs);
    if (comes_from_user(regs) || answer.foreign) {
        hand_on(regs);
        return regs;
    }
    if (!answer.pushes) {
        take(regs, &answer);
        return regs;
    }
    copy_regs(copy, regs);
    take(copy, &answer);
    return copy;
}

/* The outermost site is asked: what lies in it is written with it. */
bool tp_preempt_ok(uintptr_t ip) {
    const struct tp_site *site = tp_find_place(ip);
    return !site || tp_site_address(site) == ip;
}

TP_ROOT bool tp_outside_changing(uintptr_t ip) {
    const struct tp_site *site = tp_find_place(ip);
    return !site || tp_site_address(site) == ip || !is_changing(site);
}

TP_ROOT void tp_serialize_cpu(void) {
    tp_serialize(tp_state_has(&tp_registry.wanted, TP_FEATURE_SERIALIZE));
}

void tp_cpu_online(void) {
    tp_serialize_cpu();
}
