/* SPDX-License-Identifier: MIT */
/* Every macro of the public headers, used once: compiled as C11 and as C++17 by the test `build.headers`. */
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>

struct table {
    unsigned long (*none)(void);
    unsigned long (*one)(unsigned long a);
    int (*three)(int a, short b, char c);
    unsigned long (*six)(long a, long b, long c, long d, long e, long f);
    void (*nothing)(void);
    void (*change)(void *where, int what);
};

#ifdef __cplusplus
extern "C" {
#endif
extern struct table table;
extern struct tp_ops ops;
int pick(int a);
int pick_other(int a);
void notify(int a);
void copy(void);
void copy_better(void);
int use_calls(int a);
int use_branches(void);
int use_alternatives(int a);
int use_static_calls(int a);
int use_engine(struct tp_image *image);
unsigned long measure(void);
extern const unsigned char measure_patchlet[], measure_patchlet_end[];
#ifdef __cplusplus
}
#endif

TP_OPS(use)
{
    TP_OP(table.none);
    TP_OP(table.six);
}

TP_INLINES(use)
{
    TP_INLINE(measure, measure_patchlet);
}

TP_DECLARE_STATIC_KEY_TRUE(key_on);
TP_DECLARE_STATIC_KEY_FALSE(key_off);
TP_DEFINE_STATIC_KEY_TRUE(key_on);
TP_DEFINE_STATIC_KEY_FALSE(key_off);
TP_DEFINE_STATIC_KEY_ARRAY_TRUE(keys_on, 3);
TP_DEFINE_STATIC_KEY_ARRAY_FALSE(keys_off, 3);

TP_DECLARE_STATIC_CALL(static_pick, pick);
TP_DEFINE_STATIC_CALL(static_pick, pick);
TP_DEFINE_STATIC_CALL_NULL(static_notify, notify);
TP_DEFINE_STATIC_CALL_RET0(static_zero, pick);

int use_calls(int a)
{
    unsigned long sum = TP_CALL(table.none) + TP_CALL(table.one, 1ul) + TP_CALLEE_SAVE_CALL(table.none);

    sum += TP_CALL(table.six, 1, 2, 3, 4, 5, 6) + TP_WIDE_CALLEE_SAVE_CALL(9, table.six, 1, 2, 3, 4, 5, 6);
    sum += TP_WIDE_CALL(15, table.one, 2ul);
    TP_CALL_VOID(table.nothing);
    TP_CALL_VOID(table.change, &a, 4);
    TP_CALLEE_SAVE_CALL_VOID(table.nothing);
    TP_WIDE_CALL_VOID(7, table.change, &a, 4);
    TP_WIDE_CALLEE_SAVE_CALL_VOID(9, table.nothing);
    return (int)sum + TP_CALL(table.three, a, (short)2, (char)'c');
}

int use_branches(void)
{
    int taken = 0;

    if (tp_static_branch_likely(key_on))
        taken += 1;
    if (tp_static_branch_unlikely(key_off))
        taken += 2;
    if (tp_static_branch_likely_short(key_off))
        taken += 4;
    if (tp_static_branch_unlikely_short(key_on))
        taken += 8;
    if (tp_static_branch_unlikely(keys_off[1]) || tp_static_branch_likely(keys_on[2]))
        taken += 16;
    return taken + (int)tp_static_key_count(key_on);
}

int use_alternatives(int a)
{
    tp_alternative("nop", "pause", TP_FEATURE_SSE2);
    tp_alternative_2("nop", "lfence", TP_FEATURE_SSE2, "mfence", TP_NOT(TP_FEATURE_AMD_IBPB));
    __asm__ volatile(TP_ALTERNATIVE("movl $1, %0", "movl $2, %0", TP_FEATURE_KERNEL(3)) : "=r"(a));
    __asm__ volatile(TP_ALTERNATIVE_3("nop", "cld", 1, "std", 2, "cmc", 3) : : : "cc");
    tp_alternative_call(copy, copy_better, TP_FEATURE_ERMS, TP_OPERANDS("+D"(a)), "a"(0));
    __asm__ volatile(TP_LOCK_PREFIX "incl %0" : "+m"(a) : : "cc");
    return a;
}

int use_static_calls(int a)
{
    a += tp_static_call(static_pick)(a) + tp_static_call(static_zero)(a);
    tp_static_call(static_notify)(a);
    if (tp_static_call_update(static_pick, pick_other) != TP_OK)
        a = 0;
    return tp_static_call_query(static_pick) == pick_other ? a : 1;
}

int use_engine(struct tp_image *image)
{
    if (tp_init(NULL) || tp_image_add(image) || tp_apply())
        return (int)tp_last_error()->status;
    if (tp_static_key_enable(key_off) || tp_static_key_disable(key_on))
        return 1;
    return tp_static_key_increment(key_off) || tp_static_key_decrement(key_off);
}
