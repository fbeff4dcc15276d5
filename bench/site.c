/* SPDX-License-Identifier: MIT */
/*
 * What a site costs: real sites, emitted by the macros and patched by the library, in this process, on this CPU.
 *
 * Rows, in core cycles a site, 64 sites in a row; the reference does the same by hand
 *   site.save_fl.inline    pushfq; popq %rax with padding     against the two instructions without
 *   site.save_fl.direct    cs call function                   against the same by hand: where a call lies decides
 *                          more than its prefix does, so that a shorter one would be compared by luck
 *   site.save_fl.indirect  call *slot(%rip), the pristine form     against pushfq; popq %rax: what patching saves
 *   site.nop               a call of nothing                  against one NOP as long
 *   site.ident             mov %rdi,%rax in six bytes         against the plain instruction, in three
 *   site.clobber           a call that changes only rax, nine values live    against one that follows the C ABI
 *
 * How it works
 *   Each row is a pair of functions that differ in nothing but the 64 statements: a loop that begins at the same offset
 *   of an aligned function. Text is written through a port that makes it writable for the pass. A cycle of the core is
 *   a third of a multiplication that waits for the one before; the TSC ticks at another rate.
 */
#include "bench.h"
#include "library.h"


#include <textpatch/textpatch.h>

enum { DENSE = 64, LOOPS = 6000, PAIRS = 301, LIVE_LOOPS = 4000 };

/* asm/patchlets.asm; has an inline form. */
extern unsigned long tp_native_save_fl(void);
/* The same without one. */
extern unsigned long plain_save_fl(void);
/* What a slot holds that has a value to give; keeps all but rax. */
extern unsigned long plain_count(void);
__asm__(".pushsection .text\n\t"
        ".balign 64\nplain_save_fl:\n\tpushfq\n\tpopq %rax\n\tret\n\tint3\n\t"
        ".balign 64\nplain_count:\n\tmov $1, %eax\n\tret\n\tint3\n\t"
        ".popsection\n");

static struct {
    unsigned long (*inline_save_fl)(void);
    unsigned long (*direct_save_fl)(void);
    unsigned long (*indirect_save_fl)(void);
    void (*nothing)(void);
    unsigned long (*identity)(unsigned long);
    unsigned long (*count)(void);
} ops = {tp_native_save_fl, plain_save_fl, plain_save_fl, tp_nop_function, tp_identity64, plain_count};

TP_OPS(site) {
    TP_OP(ops.inline_save_fl);
    TP_OP(ops.direct_save_fl);
    TP_OP(ops.indirect_save_fl);
    TP_OP(ops.nothing);
    TP_OP(ops.identity);
    TP_OP(ops.count);
}

/* A statement by hand, with the operands that the library's macro has. */
#define BY_HAND(code)                                                                                          \
    do {                                                                                                       \
        register unsigned long stack __asm__("rsp");                                                           \
        unsigned long result;                                                                                  \
        __asm__ volatile(code : "=a"(result), "+r"(stack) : : "memory", "cc");                                \
        (void)result;                                                                                          \
    } while (0)
#define BY_HAND_1(code, argument)                                                                              \
    __extension__({                                                                                            \
        register unsigned long stack __asm__("rsp");                                                           \
        unsigned long result;                                                                                  \
        __asm__ volatile(code : "=a"(result), "+r"(stack) : "D"(argument) : "memory", "cc");                  \
        result;                                                                                                \
    })

#define TIMES_4(statement) statement; statement; statement; statement
#define TIMES_64(statement) TIMES_4(TIMES_4(TIMES_4(statement)))
#define LOOP_FUNCTION(name, statement)                                                                         \
    __attribute__((noinline, aligned(64))) static void name(unsigned long times) {                             \
        unsigned long value = times;                                                                           \
        do {                                                                                                   \
            TIMES_64(statement);                                                                               \
        } while (--times);                                                                                     \
        __asm__ volatile("" : : "r"(value));                                                                   \
    }

LOOP_FUNCTION(inline_site, (void)TP_CALLEE_SAVE_CALL(ops.inline_save_fl))
LOOP_FUNCTION(inline_hand, BY_HAND("pushfq\n\tpopq %%rax"))
LOOP_FUNCTION(inline_hand_padded, BY_HAND("pushfq\n\tpopq %%rax\n\tnopl 0(%%rax)"))
LOOP_FUNCTION(direct_site, (void)TP_CALLEE_SAVE_CALL(ops.direct_save_fl))
LOOP_FUNCTION(direct_hand, BY_HAND(".byte 0x2e\n\tcall plain_save_fl"))
LOOP_FUNCTION(direct_hand_short, BY_HAND("call plain_save_fl"))
LOOP_FUNCTION(indirect_site, (void)TP_CALLEE_SAVE_CALL(ops.indirect_save_fl))
LOOP_FUNCTION(nop_site, TP_CALLEE_SAVE_CALL_VOID(ops.nothing))
LOOP_FUNCTION(nop_hand, BY_HAND("nopw 0(%%rax,%%rax,1)"))
LOOP_FUNCTION(ident_site, value = TP_CALLEE_SAVE_CALL(ops.identity, value))
LOOP_FUNCTION(ident_hand, value = BY_HAND_1("movq %%rdi,%%rax", value))

/* Nine values that live across four calls a round, and work on all of them between two calls. */
#define WORK(call)                                                                                             \
    do {                                                                                                       \
        a += call;                                                                                             \
        b ^= a, c += b, d ^= a, e += c, f ^= b, g += d, h ^= e, i += f;                                        \
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h), "+r"(i)); \
    } while (0)
#define LIVE_FUNCTION(name, call)                                                                              \
    __attribute__((noinline, aligned(64))) static void name(unsigned long times) {                             \
        unsigned long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9;                           \
        do {                                                                                                   \
            TIMES_4(WORK(call));                                                                               \
        } while (--times);                                                                                     \
    }
#define C_ABI_CALL                                                                                             \
    __extension__({                                                                                            \
        register unsigned long stack __asm__("rsp");                                                           \
        unsigned long result;                                                                                  \
        __asm__ volatile("call plain_count"                                                                    \
                         : "=a"(result), "+r"(stack)                                                           \
                         :                                                                                     \
                         : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");              \
        result;                                                                                                \
    })
enum { LIVE_CALLS = 4 };
LIVE_FUNCTION(clobber_site, TP_CALLEE_SAVE_CALL(ops.count))
LIVE_FUNCTION(clobber_hand, C_ABI_CALL)

static void (*timed)(unsigned long);
static void (*timed_reference)(unsigned long);
static unsigned long loops;

static double time_one(void (*function)(unsigned long)) {
    function(1);
    uint64_t start = bench_ticks();
    function(loops);
    return (double)(bench_ticks() - start);
}

static double time_site(void) {
    return time_one(timed);
}

static double time_hand(void) {
    return time_one(timed_reference);
}

static void multiply(unsigned long times) {
    unsigned long value = 3;
    do
        __asm__ volatile(".rept 64\n\timul %0, %0\n\t.endr" : "+r"(value));
    while (--times);
}

/* Cycles of the core a tick. */
static double measure_rate(void) {
    static double ticks[101];
    loops = 100;
    for (unsigned i = 0; i < 101; i++)
        ticks[i] = time_one(multiply);
    return 3.0 * 64 * 100 / bench_median(ticks, 101);
}

static struct bench_result compare(void (*site)(unsigned long), void (*hand)(unsigned long), unsigned long times) {
    static const struct bench_pair pair = {time_site, time_hand};
    timed = site;
    timed_reference = hand;
    loops = times;
    return bench_compare_pair(&pair, PAIRS);
}

static void row(const char *name, void (*site)(unsigned long), void (*hand)(unsigned long)) {
    double rate = measure_rate();
    struct bench_result result = compare(site, hand, LOOPS);
    bench_row(name, &result, rate / (DENSE * LOOPS), "cycles");
}

static void live_row(const char *name) {
    double rate = measure_rate();
    struct bench_result result = compare(clobber_site, clobber_hand, LIVE_LOOPS);
    bench_row(name, &result, rate / (LIVE_CALLS * LIVE_LOOPS), "cycles");
}

static void remark(const char *text, void (*site)(unsigned long), void (*hand)(unsigned long)) {
    struct bench_result result = compare(site, hand, LOOPS);
    fprintf(stderr, "site: %s: %.3f\n", text, result.ratio);
}

int main(void) {
    extern const char __executable_start[], etext[];
    static struct tp_image image;
    bench_pin();
    bench_must(tp_init(&bench_text_port));
    tp_kernel_image(&image, __executable_start, etext);
    bench_must(tp_image_add(&image));
    row("site.save_fl.indirect", indirect_site, inline_hand);
    bench_must(tp_apply());
    bench_must(tp_audit(NULL, NULL));
    row("site.save_fl.inline", inline_site, inline_hand);
    row("site.save_fl.direct", direct_site, direct_hand);
    row("site.nop", nop_site, nop_hand);
    row("site.ident", ident_site, ident_hand);
    live_row("site.clobber");
    remark("inline against the same bytes by hand", inline_site, inline_hand_padded);
    remark("direct against a call without prefix by hand", direct_site, direct_hand_short);
    remark("direct against inline by hand", direct_site, inline_hand);
    bench_must(tp_revert());
    return 0;
}
