/* SPDX-License-Identifier: MIT */
/*
 * Walks over stacks that were laid by hand.
 *
 * Cases
 *   calls               frames counted from rsp and from rbp, rbp saved in each of its places, up to the end
 *   from_memory         frames that a word on the stack names
 *   from_registers      frames counted from other registers: known where something was interrupted, else lost
 *   behind              behind a call ip - 1 is looked up, where a frame of registers leads ip itself, and where
 *                       TP_ORC_SIGNAL says so
 *   registers           a complete frame; its pointer; five words; rbp of both; user mode ends both
 *   breakpoint          vector 3 in each state of being moved, for calls and jumps, at both values of rsp's bit 3
 *   other_stacks        by registers, by words, by a frame that lies elsewhere; each once
 *   lower               by registers to a lower place of the same stack, once
 *   frame_pointers      without a table, and where it says nothing: not reliable from there on
 *   bounds              frames that begin or end one word outside, odd ones, wild ones: lost, and the frame stays
 *   unknown_stack       registers whose rsp is on no stack: a frame, and what lies there isn't read
 *   odd                 return addresses that are no multiple of 8, up to the stack's end
 *   no_stack            no hook, or one that knows nothing: one frame
 *   here                a walk from this function
 */
#include "unwind.h"

/* Places in the text, 16 bytes each: what is said of the code there. */
enum place {
    NOWHERE,
    END,
    CALL_8,       /* at a function's first byte */
    CALL_24_BP,   /* rsp + 24, rbp below the return address */
    CALL_BP,      /* push rbp; mov rbp, rsp */
    CALL_BP_AT_SP,
    CALL_BP_LOST,
    CALL_AT_SP,
    CALL_AT_BP,
    CALL_BEHIND_SP,
    CALL_R10,
    CALL_SIGNAL,
    REGS,
    WORDS,
    WORDS_TRAP,
    WORDS_VECTOR,
    PLACES,
};

static const struct tp_orc_entry entries[PLACES] = {
    [NOWHERE] = {0, 0, 0, TP_ORC_UNDEFINED},
    [END] = {0, 0, 0, TP_ORC_END},
    [CALL_8] = {8, 0, TP_ORC_BASE_SP, TP_ORC_CALL},
    [CALL_24_BP] = {24, -16, TP_ORC_BASE_SP | TP_ORC_BP_SAVED, TP_ORC_CALL},
    [CALL_BP] = {16, -16, TP_ORC_BASE_BP | TP_ORC_BP_SAVED, TP_ORC_CALL},
    [CALL_BP_AT_SP] = {16, 0, TP_ORC_BASE_SP | TP_ORC_BP_AT_SP, TP_ORC_CALL},
    [CALL_BP_LOST] = {8, 0, TP_ORC_BASE_SP | TP_ORC_BP_UNKNOWN, TP_ORC_CALL},
    [CALL_AT_SP] = {8, 0, TP_ORC_BASE_AT_SP, TP_ORC_CALL},
    [CALL_AT_BP] = {-8, 0, TP_ORC_BASE_AT_BP | TP_ORC_BP_AT_BP, TP_ORC_CALL},
    [CALL_BEHIND_SP] = {0, 0, TP_ORC_BASE_BEHIND_SP, TP_ORC_CALL},
    [CALL_R10] = {0, 0, TP_ORC_BASE_R10, TP_ORC_CALL},
    [CALL_SIGNAL] = {8, 0, TP_ORC_BASE_SP, TP_ORC_CALL | TP_ORC_SIGNAL},
    [REGS] = {0, 0, TP_ORC_BASE_SP, TP_ORC_REGS},
    [WORDS] = {16, -16, TP_ORC_BASE_SP | TP_ORC_BP_SAVED, TP_ORC_WORDS},
    [WORDS_TRAP] = {0, 0, TP_ORC_BASE_SP, TP_ORC_WORDS | TP_ORC_TRAP},
    [WORDS_VECTOR] = {16, 0, TP_ORC_BASE_SP, TP_ORC_WORDS | TP_ORC_VECTOR},
};

static struct tp_unwind_table table;

/* In the middle, so that an ip that is wrong by one is the same place. */
static uintptr_t in(enum place place) {
    return TEXT + 16 * place + 8;
}

static int set_up(void **state) {
    (void)state;
    make_stacks();
    table = make_table(entries, NULL, PLACES, 16 * PLACES);
    hook_calls = 0;
    return tp_unwind_add(&table) != TP_OK;
}

static int tear_down(void **state) {
    (void)state;
    bool removed = tp_unwind_remove(&table) == TP_OK;
    free_table(&table);
    free_stacks();
    return !removed;
}

static struct tp_unwind start(enum place place, uintptr_t sp, uintptr_t bp) {
    struct tp_unwind frame;
    tp_unwind_start_at(&frame, in(place), sp, bp, find_test_stack, stacks);
    assert_true(frame.reliable);
    return frame;
}

static void expect_frame(struct tp_unwind *frame, enum place place, uintptr_t sp, uintptr_t bp) {
    assert_true(tp_unwind_next(frame));
    assert_int_equal(frame->ip, in(place));
    assert_int_equal(frame->sp, sp);
    assert_int_equal(frame->bp, bp);
}

static void expect_end(struct tp_unwind *frame, enum tp_unwind_end end) {
    struct tp_unwind before = *frame;
    for (unsigned i = 0; i < 2; i++) {
        assert_false(tp_unwind_next(frame));
        assert_int_equal(frame->end, end);
        assert_int_equal(frame->ip, before.ip);
        assert_int_equal(frame->sp, before.sp);
        assert_int_equal(frame->bp, before.bp);
        assert_int_equal(frame->reliable, before.reliable);
        assert_ptr_equal(frame->regs, before.regs);
    }
}

static void calls(void **state) {
    (void)state;
    uint64_t *words = stacks[0];
    words[0] = in(CALL_24_BP);
    words[2] = 0x1234; /* rbp at 24 - 16 = word 1 + 1 */
    words[3] = in(CALL_BP_AT_SP);
    words[4] = at(0, 10);
    words[5] = in(CALL_BP);
    words[10] = 0x77;
    words[11] = in(CALL_BP_LOST);
    words[12] = in(END);
    struct tp_unwind frame = start(CALL_8, at(0, 0), 0x99);
    expect_frame(&frame, CALL_24_BP, at(0, 1), 0x99);
    expect_frame(&frame, CALL_BP_AT_SP, at(0, 4), 0x1234);
    expect_frame(&frame, CALL_BP, at(0, 6), at(0, 10));
    expect_frame(&frame, CALL_BP_LOST, at(0, 12), 0x77);
    expect_frame(&frame, END, at(0, 13), 0);
    assert_true(frame.reliable);
    expect_end(&frame, TP_UNWIND_OUTERMOST);
}

static void from_memory(void **state) {
    (void)state;
    uint64_t *words = stacks[0];
    words[1] = at(0, 4);
    words[3] = in(CALL_BEHIND_SP);
    words[4] = at(0, 8);
    words[8] = in(CALL_AT_BP);
    words[19] = at(0, 30);
    words[20] = 0x5678;
    words[29] = in(END);
    struct tp_unwind frame = start(CALL_AT_SP, at(0, 0), at(0, 20));
    expect_frame(&frame, CALL_BEHIND_SP, at(0, 4), at(0, 20));
    expect_frame(&frame, CALL_AT_BP, at(0, 9), at(0, 20));
    expect_frame(&frame, END, at(0, 30), 0x5678);
    assert_true(frame.reliable);
}

static struct tp_regs *lay_regs(unsigned stack, unsigned word, enum place place, uintptr_t rsp) {
    struct tp_regs *regs = (struct tp_regs *)&stacks[stack][word];
    memset(regs, 0x11, sizeof *regs);
    regs->vector = 14;
    regs->error_code = 0;
    regs->cs = 8;
    regs->rip = in(place);
    regs->rsp = rsp;
    regs->rbp = 0xb9;
    return regs;
}

static void from_registers(void **state) {
    (void)state;
    static const struct {
        uint8_t base;
        uint8_t offset;
    } known[] = {
        {TP_ORC_BASE_AX, offsetof(struct tp_regs, rax)},  {TP_ORC_BASE_CX, offsetof(struct tp_regs, rcx)},
        {TP_ORC_BASE_DX, offsetof(struct tp_regs, rdx)},  {TP_ORC_BASE_DI, offsetof(struct tp_regs, rdi)},
        {TP_ORC_BASE_SI, offsetof(struct tp_regs, rsi)},  {TP_ORC_BASE_R10, offsetof(struct tp_regs, r10)},
        {TP_ORC_BASE_R11, offsetof(struct tp_regs, r11)}, {TP_ORC_BASE_R13, offsetof(struct tp_regs, r13)},
    };
    stacks[0][39] = in(END);
    struct tp_orc_entry *entry = (struct tp_orc_entry *)&table.entries[CALL_R10];
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        entry->registers = known[i].base;
        entry->sp_offset = 16;
        struct tp_regs *regs = lay_regs(0, 0, CALL_R10, at(0, 23));
        *(uint64_t *)((uint8_t *)regs + known[i].offset) = at(0, 38);
        struct tp_unwind frame = start(REGS, at(0, 0), 0);
        expect_frame(&frame, CALL_R10, at(0, 23), 0xb9);
        expect_frame(&frame, END, at(0, 40), 0xb9);
        frame = start(CALL_R10, at(0, 0), 0);
        expect_end(&frame, TP_UNWIND_LOST);
        tp_unwind_start(&frame, regs, find_test_stack, stacks);
        assert_int_equal(frame.ip, in(CALL_R10));
        expect_frame(&frame, END, at(0, 40), 0xb9);
    }
}

/* As rsp is where clang has made a frame of 12 bytes. */
static void odd(void **state) {
    (void)state;
    const uint64_t ip = in(END);
    for (unsigned offset = 0; offset < 8; offset++) {
        memcpy((uint8_t *)&stacks[0][4] + offset, &ip, sizeof ip);
        struct tp_unwind frame = start(CALL_8, at(0, 4) + offset, 0);
        expect_frame(&frame, END, at(0, 5) + offset, 0);
    }
    const uintptr_t last = at(0, STACK_WORDS) - sizeof ip;
    memcpy((void *)last, &ip, sizeof ip);
    struct tp_unwind frame = start(CALL_8, last, 0);
    expect_frame(&frame, END, at(0, STACK_WORDS), 0);
    for (unsigned offset = 1; offset < 8; offset++) {
        frame = start(CALL_8, last + offset, 0);
        expect_end(&frame, TP_UNWIND_LOST);
    }
}

static void behind(void **state) {
    (void)state;
    /* Each ip is the first byte of END's code: behind a call it is the code before it. */
    const uintptr_t ip = TEXT + 16 * END;
    stacks[0][0] = stacks[0][1] = ip;
    struct tp_unwind frame = start(CALL_8, at(0, 0), 0);
    assert_true(tp_unwind_next(&frame));
    assert_true(frame.behind && frame.reliable);
    assert_int_equal(tp_unwind_place(&frame), ip - 1);
    expect_end(&frame, TP_UNWIND_LOST); /* NOWHERE; rbp is nothing */
    frame = start(CALL_SIGNAL, at(0, 0), 0);
    assert_true(tp_unwind_next(&frame));
    assert_false(frame.behind);
    expect_end(&frame, TP_UNWIND_OUTERMOST);
    struct tp_regs *regs = lay_regs(0, 0, END, at(0, 23));
    regs->rip = ip;
    frame = start(REGS, at(0, 0), 0);
    assert_true(tp_unwind_next(&frame));
    expect_end(&frame, TP_UNWIND_OUTERMOST);
    regs->vector = 3;
    frame = start(REGS, at(0, 0), 0);
    assert_true(tp_unwind_next(&frame));
    assert_int_equal(tp_unwind_place(&frame), ip - 1);
    expect_end(&frame, TP_UNWIND_LOST);
    for (unsigned trap = 0; trap < 2; trap++) {
        frame = start(trap ? WORDS_TRAP : WORDS, (uintptr_t)&regs->rip - (trap ? 0 : 16), 0);
        assert_true(tp_unwind_next(&frame));
        assert_int_equal(tp_unwind_place(&frame), ip - trap);
    }
    for (unsigned vector = 2; vector < 5; vector++) {
        regs->vector = vector;
        frame = start(WORDS_VECTOR, (uintptr_t)&regs->vector, 0);
        assert_true(tp_unwind_next(&frame));
        assert_int_equal(tp_unwind_place(&frame), ip - (vector == 3));
    }
}

static void registers(void **state) {
    (void)state;
    struct tp_regs *regs = lay_regs(0, 0, CALL_8, at(0, 24));
    stacks[0][24] = in(END);
    struct tp_unwind frame = start(REGS, at(0, 0), 0);
    expect_frame(&frame, CALL_8, at(0, 24), 0xb9);
    assert_ptr_equal(frame.regs, regs);
    assert_false(frame.behind);
    expect_frame(&frame, END, at(0, 25), 0xb9);
    assert_null(frame.regs);
    frame = start(WORDS, at(0, 15), 0x55);
    expect_frame(&frame, CALL_8, at(0, 24), regs->vector);
    assert_null(frame.regs);
    frame = start(WORDS_TRAP, at(0, 17), 0x55);
    expect_frame(&frame, CALL_8, at(0, 24), 0x55);
    for (unsigned cs = 1; cs < 4; cs++) {
        regs->cs = 0x28 | cs;
        frame = start(REGS, at(0, 0), 0);
        expect_end(&frame, TP_UNWIND_USER);
        frame = start(WORDS, at(0, 15), 0);
        expect_end(&frame, TP_UNWIND_USER);
        tp_unwind_start(&frame, regs, find_test_stack, stacks);
        expect_end(&frame, TP_UNWIND_USER);
    }
    regs->cs = 0x100000000 | 0xe030 ; /* Xen's mask beside it */
    frame = start(WORDS, at(0, 15), 0);
    expect_frame(&frame, CALL_8, at(0, 24), regs->vector);
}

static void expect_moved(struct tp_regs *regs, uintptr_t place, uintptr_t sp) {
    struct tp_unwind frame = start(REGS, at(0, 0), 0);
    assert_true(tp_unwind_next(&frame));
    assert_int_equal(tp_unwind_place(&frame), place);
    assert_int_equal(frame.sp, sp);
    struct tp_unwind first;
    tp_unwind_start(&first, regs, find_test_stack, stacks);
    assert_int_equal(tp_unwind_place(&first), place);
    assert_int_equal(first.ip, frame.ip);
}

/* In the order in which lib/commit/breakpoint.c does it. */
static void breakpoint(void **state) {
    (void)state;
    const uintptr_t site = in(CALL_8), target = in(END);
    for (unsigned word = 30; word < 32; word++) {
        for (unsigned half = 0; half < 2; half++) {
            struct tp_regs *regs = lay_regs(0, 0, CALL_8, at(0, word));
            const uintptr_t lower = half ? 0xffff800000000000 : 0;
            regs->vector = 3;
            regs->rip = (site - TEXT + lower) + 1;
            const uintptr_t old = regs->rip - 1;
            expect_moved(regs, old, at(0, word));
            regs->error_code = tp_breakpoint_moving(regs);
            expect_moved(regs, old, at(0, word));
            regs->rip = target;
            expect_moved(regs, old, at(0, word));
            regs->rsp -= 8;
            expect_moved(regs, target, at(0, word - 1));
            regs->rsp += 8;
            expect_moved(regs, old, at(0, word));
            regs->error_code = TP_BREAKPOINT_MOVED;
            expect_moved(regs, target, at(0, word));
        }
    }
}

/* By a handler of the kernel's own: from behind an int3, and from where the library's had moved it already. */
static void go_to(void **state) {
    (void)state;
    struct tp_regs *regs = lay_regs(0, 0, CALL_8, at(0, 30));
    const uintptr_t first = in(END), second = in(CALL_8) + 3;
    regs->vector = 3;
    regs->rip = in(CALL_8) + 1;
    expect_moved(regs, in(CALL_8), at(0, 30));
    tp_breakpoint_go_to(regs, first);
    expect_moved(regs, first, at(0, 30));
    tp_breakpoint_go_to(regs, second);
    expect_moved(regs, second, at(0, 30));
    assert_int_equal(regs->error_code, TP_BREAKPOINT_MOVED);
    regs->error_code = 0; /* a call that was emulated */
    regs->rip = in(CALL_8) + 1;
    regs->error_code = tp_breakpoint_moving(regs);
    regs->rip = first;
    regs->rsp -= 8;
    const uint64_t code = regs->error_code;
    expect_moved(regs, first, at(0, 29));
    tp_breakpoint_go_to(regs, second);
    expect_moved(regs, second, at(0, 29));
    assert_int_equal(regs->error_code, code);
}

static void other_stacks(void **state) {
    (void)state;
    lay_regs(0, 3, WORDS_TRAP, at(1, 5)); /* 0 by registers to 1 */
    uint64_t *words = &stacks[1][5];
    words[0] = in(CALL_AT_SP); /* 1 by words to 2, where memory names 3 */
    words[1] = 8;
    words[3] = at(2, 50);
    stacks[2][51] = at(3, 10);
    stacks[3][9] = in(REGS);
    struct tp_regs *last = lay_regs(3, 10, END, at(3, 40));
    struct tp_unwind frame = start(REGS, at(0, 3), 0);
    expect_frame(&frame, WORDS_TRAP, at(1, 5), 0xb9);
    expect_frame(&frame, CALL_AT_SP, at(2, 50), 0xb9);
    expect_frame(&frame, REGS, at(3, 10), 0xb9);
    expect_frame(&frame, END, at(3, 40), 0xb9);
    expect_end(&frame, TP_UNWIND_OUTERMOST);
    for (unsigned stack = 0; stack < 3; stack++) { /* back to each of them */
        last->rsp = at(stack, 60);
        frame = start(REGS, at(0, 3), 0);
        for (unsigned i = 0; i < 3; i++)
            assert_true(tp_unwind_next(&frame));
        expect_end(&frame, TP_UNWIND_LOST);
    }
}

static void lower(void **state) {
    (void)state;
    lay_regs(0, 60, REGS, at(0, 10)); /* from the top down */
    struct tp_regs *second = lay_regs(0, 10, REGS, at(0, 33));
    lay_regs(0, 33, END, at(0, 90));
    struct tp_unwind frame = start(REGS, at(0, 60), 0);
    expect_frame(&frame, REGS, at(0, 10), 0xb9);
    expect_frame(&frame, REGS, at(0, 33), 0xb9);
    expect_frame(&frame, END, at(0, 90), 0xb9);
    second->rsp = at(0, 60); /* and down again */
    frame = start(REGS, at(0, 60), 0);
    expect_frame(&frame, REGS, at(0, 10), 0xb9);
    expect_frame(&frame, REGS, at(0, 60), 0xb9);
    expect_end(&frame, TP_UNWIND_LOST);
}

static void frame_pointers(void **state) {
    (void)state;
    for (unsigned known = 0; known < 2; known++) {
        const uintptr_t ip = known ? in(NOWHERE) : TEXT + 0x100000;
        uint64_t *words = stacks[0];
        words[4] = at(0, 10);
        words[5] = ip;
        words[10] = at(0, 20);
        words[11] = in(CALL_8);
        words[12] = in(END);
        struct tp_unwind frame;
        tp_unwind_start_at(&frame, ip, at(0, 0), at(0, 4), find_test_stack, stacks);
        assert_true(frame.reliable);
        assert_true(tp_unwind_next(&frame));
        assert_int_equal(frame.ip, ip);
        assert_int_equal(frame.sp, at(0, 6));
        assert_int_equal(frame.bp, at(0, 10));
        assert_false(frame.reliable);
        expect_frame(&frame, CALL_8, at(0, 12), at(0, 20));
        expect_frame(&frame, END, at(0, 13), at(0, 20));
        assert_false(frame.reliable);
        expect_end(&frame, TP_UNWIND_OUTERMOST);
        tp_unwind_start_at(&frame, ip, at(0, 0), 0, find_test_stack, stacks);
        expect_end(&frame, TP_UNWIND_LOST);
        assert_true(frame.reliable);
        words[5] = 0;
        tp_unwind_start_at(&frame, ip, at(0, 0), at(0, 4), find_test_stack, stacks);
        expect_end(&frame, TP_UNWIND_LOST);
    }
}

static void lose_at(enum place place, uintptr_t sp, uintptr_t bp) {
    struct tp_unwind frame = start(place, sp, bp);
    expect_end(&frame, TP_UNWIND_LOST);
}

static void bounds(void **state) {
    (void)state;
    for (unsigned stack = 0; stack < STACKS; stack++)
        for (unsigned word = 0; word < STACK_WORDS; word++)
            stacks[stack][word] = in(END);
    struct tp_unwind frame = start(CALL_8, at(0, STACK_WORDS - 1), 0);
    expect_frame(&frame, END, at(0, STACK_WORDS), 0);
    lose_at(CALL_8, at(0, STACK_WORDS), 0);
    lose_at(CALL_24_BP, at(0, STACK_WORDS - 2), 0);
    lose_at(REGS, at(0, 5) + 4, 0);
    lose_at(CALL_BP, at(0, 5), at(0, 4) - 8); /* below rsp */
    lose_at(CALL_BP, at(0, 5), UINTPTR_MAX - 7);
    lose_at(CALL_BP, at(0, 5), 0);
    lose_at(CALL_8, 0, 0);
    lose_at(CALL_8, UINTPTR_MAX - 7, 0);
    lose_at(REGS, at(0, STACK_WORDS - 21), 0);
    lose_at(WORDS, at(0, STACK_WORDS - 6), 0);
    lose_at(WORDS_VECTOR, at(0, 0) - 16, 0);
    lay_regs(0, STACK_WORDS - 22, END, at(0, STACK_WORDS));
    frame = start(REGS, at(0, STACK_WORDS - 22), 0);
    expect_frame(&frame, END, at(0, STACK_WORDS), 0xb9);
}

/* What was interrupted had a stack that nobody knows, user mode's where `syscall` enters: it is a frame, and its stack
 * isn't read. */
static void unknown_stack(void **state) {
    (void)state;
    lay_regs(0, STACK_WORDS - 22, END, 0x1000);
    struct tp_unwind frame = start(REGS, at(0, STACK_WORDS - 22), 0);
    expect_frame(&frame, END, 0x1000, 0xb9);
    expect_end(&frame, TP_UNWIND_OUTERMOST);
    lay_regs(0, STACK_WORDS - 22, CALL_8, 0x1000);
    frame = start(REGS, at(0, STACK_WORDS - 22), 0);
    expect_frame(&frame, CALL_8, 0x1000, 0xb9);
    expect_end(&frame, TP_UNWIND_LOST);
}

static bool know_nothing(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)sp, (void)argument;
    *stack = (struct tp_stack){0, UINTPTR_MAX};
    return false;
}

static bool know_wrong(uintptr_t sp, struct tp_stack *stack, void *argument) {
    (void)argument;
    *stack = (struct tp_stack){sp + 8, sp + 800};
    return true;
}

static void no_stack(void **state) {
    (void)state;
    tp_find_stack *const hooks[] = {NULL, know_nothing, know_wrong};
    struct tp_unwind frame;
    for (unsigned i = 0; i < 3; i++) {
        tp_unwind_start_at(&frame, in(CALL_8), at(0, 0), 0, hooks[i], NULL);
        expect_end(&frame, TP_UNWIND_LOST);
        tp_unwind_start_at(&frame, in(END), at(0, 0), 0, hooks[i], NULL);
        expect_end(&frame, TP_UNWIND_OUTERMOST);
    }
}

static __attribute__((noinline)) void here(void **state) {
    (void)state;
    struct tp_unwind frame;
    tp_unwind_here(&frame, NULL, NULL);
    assert_true(frame.ip > (uintptr_t)here && frame.ip - (uintptr_t)here < 4096);
    assert_true((uintptr_t)__builtin_frame_address(0) - frame.sp < 65536);
    assert_false(frame.behind);
    expect_end(&frame, TP_UNWIND_LOST);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(calls),        CASE(from_memory), CASE(from_registers), CASE(behind), CASE(registers), CASE(breakpoint), CASE(go_to),
        CASE(other_stacks), CASE(lower),       CASE(frame_pointers), CASE(bounds), CASE(unknown_stack),
        CASE(odd),          CASE(no_stack), CASE(here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
