/* SPDX-License-Identifier: MIT */
#include "shadow.h"

#include <textpatch/engine.h>

#include "platform.h"
#include "stacks.h"

enum { RECORDS = 160, WORD = 8, IRET_ROOM = 64 };

/* As the CPU pushes them. */
enum { WORD_RIP, WORD_CS, WORD_RFLAGS, WORD_RSP };

enum record_kind { RECORD_CALL, RECORD_INTERRUPTED, RECORD_USER };

struct record {
    uintptr_t ip;
    uintptr_t sp;       /* a call: behind its return address, the caller's once it has returned */
    uintptr_t first_sp; /* something interrupted: before it was moved */
    uint8_t kind;
    bool by_int3, by_int3_seen; /* rip is behind that, until the way out begins */
    bool moved, left_out;
    bool by_syscall;    /* user mode: its stack was the first one, and no walk has seen the frame yet */
};

/* The last one is the innermost. Those below `began` were there when the shadow began. */
static struct record records[RECORDS];
static unsigned count, began;

static struct shadow_report report;
static struct tp_insn last; /* that has been executed, or is next */
static uintptr_t last_at;   /* 0: nothing was foreseen */

/* ---- Reports ---- */

void add_shadow_report(struct shadow_report *sum, const struct shadow_report *more) {
    sum->walks += more->walks;
    sum->frames += more->frames;
    sum->wrong += more->wrong;
    sum->wrong_in_sites += more->wrong_in_sites;
    sum->in_handlers += more->in_handlers;
    sum->from_user += more->from_user;
    sum->moves += more->moves;
    sum->left_out += more->left_out;
    sum->for_iret += more->for_iret;
    if (more->deepest > sum->deepest)
        sum->deepest = more->deepest;
}

void print_shadow_fault(const struct shadow_report *from) {
    print_format("# %lu of %lu walks are wrong; first at %lx: %s at depth %u is %lx, not %lx\n", from->wrong,
                 from->walks, from->at, from->first_fault, from->depth, from->found, from->expected);
}

static void note_fault(const char *fault, uintptr_t ip, unsigned depth, uintptr_t found, uintptr_t expected) {
    struct tp_site_info site;
    report.wrong++;
    report.wrong_in_sites += tp_describe_site(ip, &site) && site.address != ip;
    if (report.first_fault)
        return;
    report.first_fault = fault;
    report.at = ip;
    report.depth = depth;
    report.found = found;
    report.expected = expected;
}

struct shadow_report read_shadow_report(void) {
    return report;
}

/* ---- Records ---- */

static void add_record(struct record record) {
    if (count == RECORDS)
        panic("more than %u records deep", RECORDS);
    records[count++] = record;
}

static void add_call(uintptr_t place) {
    add_record((struct record){.kind = RECORD_CALL, .ip = *(const volatile uintptr_t *)place, .sp = place + WORD});
}

unsigned shadow_records(void) {
    return count;
}

bool innermost_call(uintptr_t *ip, uintptr_t *sp) {
    if (count == began || records[count - 1].kind != RECORD_CALL)
        return false;
    *ip = records[count - 1].ip;
    *sp = records[count - 1].sp;
    return true;
}

static void drop_returned(uintptr_t sp) {
    while (count > began && records[count - 1].kind == RECORD_CALL && records[count - 1].sp <= sp)
        count--;
}

void begin_shadow(uintptr_t ip, uintptr_t sp, uintptr_t bp) {
    struct tp_unwind frame;
    unsigned found = 0;
    tp_unwind_start_at(&frame, ip, sp, bp, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame) && found < RECORDS)
        records[found++] = (struct record){.kind = RECORD_CALL, .ip = frame.ip, .sp = frame.sp};
    if (frame.end != TP_UNWIND_OUTERMOST || !frame.reliable)
        note_fault("the first walk's end", ip, found, frame.end, TP_UNWIND_OUTERMOST);
    for (unsigned i = 0; i < found / 2; i++) {
        struct record record = records[i];
        records[i] = records[found - 1 - i];
        records[found - 1 - i] = record;
    }
    count = began = found;
}

void shadow_syscall(void) {
    add_record((struct record){.kind = RECORD_USER, .by_syscall = true});
}

void shadow_entry(const struct tp_regs *regs, unsigned offset, bool by_int3) {
    const volatile uint64_t *words = (const volatile uint64_t *)(regs->rsp + offset);
    if (words[WORD_CS] & 3)
        add_record((struct record){.kind = RECORD_USER});
    else
        add_record((struct record){.kind = RECORD_INTERRUPTED, .ip = words[WORD_RIP], .sp = words[WORD_RSP],
                                   .first_sp = words[WORD_RSP], .by_int3 = by_int3});
}

/* ---- Instructions ---- */

static void foresee_at(uintptr_t ip) {
    if (tp_insn_decode((const uint8_t *)ip, text_end, &last) != TP_OK)
        panic("no instruction at %lx", ip);
    last_at = ip;
}

void foresee(const struct tp_regs *regs) {
    foresee_at(regs->rip);
}

void foresee_nothing(void) {
    last = (struct tp_insn){.kind = TP_INSN_OTHER};
    last_at = 0;
}

/* ---- iret ---- */

static bool is_near(uintptr_t sp, const struct record *record) {
    return sp + WORD - record->first_sp <= 2 * WORD;
}

/* Which record this iret has gone to; `count` if it has gone to none: its words were made by somebody else. */
static unsigned find_resumed(uintptr_t sp) {
    for (unsigned i = count; i-- > began;) {
        if (records[i].kind == RECORD_CALL)
            continue;
        if (records[i].kind == RECORD_INTERRUPTED && is_near(sp, &records[i]))
            return i;
        if (records[i].kind == RECORD_USER || !records[i].left_out)
            return count;
    }
    return count;
}

static void follow_iret(const struct tp_regs *regs) {
    unsigned resumed = find_resumed(regs->rsp);
    if (resumed == count)
        return;
    struct record record = records[resumed];
    if (record.moved && record.ip != regs->rip)
        note_fault("where it goes on", regs->rip, 0, record.ip, regs->rip);
    else if (record.moved && record.sp != regs->rsp)
        note_fault("rsp when it goes on", regs->rip, 0, record.sp, regs->rsp);
    count = resumed;
    if (regs->rsp == record.first_sp - WORD)
        add_call(regs->rsp);
}

/* QEMU 7.2 doesn't trap behind `pause` (f3 90), but behind what follows it. */
static void pass_pause(const struct tp_regs *regs) {
    const uint8_t *at = (const uint8_t *)last_at;
    if (last_at && at[0] == 0xf3 && at[1] == 0x90 && regs->rip != last_at + 2)
        foresee_at(last_at + 2);
}

void shadow_step(const struct tp_regs *regs) {
    pass_pause(regs);
    if (last.kind == TP_INSN_IRET)
        follow_iret(regs);
    drop_returned(regs->rsp);
    if (last.kind == TP_INSN_CALL_RELATIVE || last.kind == TP_INSN_CALL_INDIRECT)
        add_call(regs->rsp);
}

enum tp_insn_kind foreseen_kind(void) {
    return last.kind;
}

void reset_shadow(void) {
    report = (struct shadow_report){0};
    count = began = 0;
    foresee_nothing();
}

/* ---- Walks ---- */

/* The records as a walk should find them: from the innermost on. */
struct cursor {
    unsigned left;      /* records from 0 on that are to be found */
    uintptr_t call_at;  /* not 0: where a call's return address lies that was only emulated */
    uintptr_t sp;       /* where the walk began */
    bool passed_iret;
    unsigned depth;
    const char *fault;
    uintptr_t found, expected;
};

static bool refuse(struct cursor *cursor, const char *fault, uintptr_t found, uintptr_t expected) {
    cursor->fault = fault;
    cursor->found = found;
    cursor->expected = expected;
    return false;
}

static bool take_call(struct cursor *cursor, const struct tp_unwind *frame, uintptr_t ip, uintptr_t sp) {
    if (frame->ip != ip)
        return refuse(cursor, "ip", frame->ip, ip);
    if (frame->sp != sp)
        return refuse(cursor, "sp", frame->sp, sp);
    return frame->behind || refuse(cursor, "a call that is none", frame->ip, ip);
}

/* The way out: iret, or what stands in front of it in an NMI's entry. */
static bool is_way_out(uintptr_t ip) {
    struct tp_insn insn;
    const uint8_t *at = (const uint8_t *)ip;
    if (tp_insn_decode(at, text_end, &insn) != TP_OK)
        return false;
    if (insn.kind == TP_INSN_JCC_RELATIVE && tp_insn_decode(at + insn.length, text_end, &insn) != TP_OK)
        return false;
    return insn.kind == TP_INSN_IRET;
}

static bool is_same(const struct tp_unwind *frame, const struct record *record) {
    return frame->ip == record->ip && frame->sp == record->sp;
}

static void leave_out(struct record *record) {
    report.left_out += !record->left_out;
    record->left_out = true;
}

static void move(struct record *record, const struct tp_unwind *frame) {
    record->ip = frame->ip;
    record->sp = frame->sp;
    record->moved = true;
    report.moves++;
}

/* What was moved as if it had called has one more to return to; as if it had returned, one less. */
static void find_behind(struct cursor *cursor, const struct record *record) {
    if (record->sp == record->first_sp - WORD)
        cursor->call_at = record->sp;
    if (record->sp == record->first_sp + WORD && cursor->left > 0 && records[cursor->left - 1].kind == RECORD_CALL &&
        records[cursor->left - 1].sp == record->sp)
        cursor->left--;
}

/* A handler may pass an int3 over: on its way out rip is where it goes on, as where it has been moved. */
static bool is_rightly_behind(const struct tp_unwind *frame, struct record *record) {
    bool expected = record->by_int3 && !record->moved;
    if (!frame->behind && expected && record->by_int3_seen)
        expected = record->by_int3 = false;
    record->by_int3_seen = true;
    return frame->behind == expected;
}

static bool take_record(struct cursor *cursor, const struct tp_unwind *frame);

static bool take_interrupted(struct cursor *cursor, const struct tp_unwind *frame, struct record *record) {
    if (record->left_out)
        return take_record(cursor, frame);
    if (!is_same(frame, record)) {
        if (record->moved || !is_near(frame->sp, record)) {
            if (!is_way_out(record->ip) || record->moved)
                return refuse(cursor, record->moved ? "a second move" : "what was interrupted", frame->ip, record->ip);
            leave_out(record);
            return take_record(cursor, frame);
        }
        move(record, frame);
    }
    if (!is_rightly_behind(frame, record))
        return refuse(cursor, "behind what is executed", frame->behind, !frame->behind);
    find_behind(cursor, record);
    return true;
}

static bool take_record(struct cursor *cursor, const struct tp_unwind *frame) {
    if (cursor->call_at) {
        uintptr_t place = cursor->call_at;
        cursor->call_at = 0;
        return take_call(cursor, frame, *(const volatile uintptr_t *)place, place + WORD);
    }
    if (cursor->left == 0)
        return refuse(cursor, "one frame too many", frame->ip, 0);
    struct record *record = &records[--cursor->left];
    if (record->kind == RECORD_CALL)
        return take_call(cursor, frame, record->ip, record->sp);
    if (record->kind == RECORD_INTERRUPTED)
        return take_interrupted(cursor, frame, record);
    return refuse(cursor, "a frame behind user mode", frame->ip, 0);
}

/* Words for an iret that goes nowhere else: those of a function that serialises so, say. They lie on the stack, and the
 * frame is theirs. */
static bool is_for_iret(const struct cursor *cursor, const struct tp_unwind *frame) {
    const struct record *record = cursor->left ? &records[cursor->left - 1] : NULL;
    bool is_interrupted = record && record->kind == RECORD_INTERRUPTED;
    if (cursor->depth > 0 || cursor->passed_iret || frame->behind || is_interrupted || cursor->call_at)
        return false;
    for (uintptr_t place = cursor->sp; place < cursor->sp + IRET_ROOM; place += WORD) {
        const volatile uintptr_t *words = (const volatile uintptr_t *)place;
        if (words[WORD_RIP] == frame->ip && words[WORD_RSP] == frame->sp)
            return true;
    }
    return false;
}

/* A walk that has come to what the records are above of. */
static bool follow_walk(struct cursor *cursor, struct tp_unwind *frame) {
    while (tp_unwind_next(frame)) {
        report.frames++;
        if (is_for_iret(cursor, frame)) {
            cursor->passed_iret = true;
            report.for_iret++;
            continue;
        }
        if (!take_record(cursor, frame))
            return false;
        cursor->depth++;
    }
    return true;
}

/* The table says that nobody called while the stack is still, or again, user mode's. */
static bool ends_in_user(struct cursor *cursor, const struct tp_unwind *frame) {
    struct record *user = &records[cursor->left - 1];
    struct tp_stack stack;
    if (frame->end == TP_UNWIND_OUTERMOST && (user->by_syscall || !find_kernel_stack(frame->sp, &stack, NULL)))
        return true;
    user->by_syscall = false;
    return frame->end == TP_UNWIND_USER || refuse(cursor, "end", frame->end, TP_UNWIND_USER);
}

static bool is_at_end(struct cursor *cursor, const struct tp_unwind *frame) {
    if (!frame->reliable)
        return refuse(cursor, "not reliable", frame->ip, 0);
    while (cursor->left > 0 && records[cursor->left - 1].kind == RECORD_INTERRUPTED && frame->end == TP_UNWIND_USER &&
           is_way_out(records[cursor->left - 1].ip))
        leave_out(&records[--cursor->left]);
    if (cursor->left > 0 && records[cursor->left - 1].kind == RECORD_USER)
        return ends_in_user(cursor, frame);
    if (cursor->left > 0 || cursor->call_at)
        return refuse(cursor, "an end too early", frame->ip, frame->end);
    return frame->end == TP_UNWIND_OUTERMOST || refuse(cursor, "end", frame->end, TP_UNWIND_OUTERMOST);
}

static void note_kinds(void) {
    bool interrupted = false, user = false;
    for (unsigned i = began; i < count; i++) {
        interrupted |= records[i].kind == RECORD_INTERRUPTED;
        user |= records[i].kind == RECORD_USER;
    }
    report.in_handlers += interrupted;
    report.from_user += user;
}

static void compare_from(struct tp_unwind *frame, uintptr_t ip) {
    struct cursor cursor = {.left = count, .sp = frame->sp};
    report.walks++;
    note_kinds();
    if (!follow_walk(&cursor, frame) || !is_at_end(&cursor, frame))
        note_fault(cursor.fault, ip, cursor.depth, cursor.found, cursor.expected);
    if (cursor.depth > report.deepest)
        report.deepest = cursor.depth;
}

void compare_walk(const struct tp_regs *regs) {
    struct tp_unwind frame;
    tp_unwind_start(&frame, regs, find_kernel_stack, NULL);
    compare_from(&frame, regs->rip);
}

void compare_walk_from_here(const struct tp_regs *regs) {
    struct tp_unwind frame;
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    while (frame.regs != regs && tp_unwind_next(&frame)) {
    }
    if (frame.regs == regs && frame.ip == regs->rip && frame.sp == regs->rsp && !frame.behind)
        compare_from(&frame, regs->rip);
    else
        note_fault("these registers, from the handler", regs->rip, 0, frame.ip, frame.end);
}
