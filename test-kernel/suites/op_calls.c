/* SPDX-License-Identifier: MIT */
/*
 * op_calls: arguments and values, C ABI and callee-save ABI, in all forms.
 *
 *   0 to 6 arguments, in order, evaluated once
 *   all widths: bool, u8, s8, u16, s16, u32, s32, u64, pointers; garbage above narrow ones never arrives (bug 30)
 *   in loops, where a compiler keeps wide values in registers
 *   narrow values back: garbage above them isn't believed
 *   arguments that are op calls themselves
 *   sites of 6 to 15 bytes
 *   C functions by TP_CALLEE_SAVE_THUNK, and with GCC by TP_CALLEE_SAVE
 *   the recorder does see garbage when it is handed some: the checks above can fail
 */
#include <textpatch/textpatch.h>

#include "ktap.h"
#include "support.h"

extern uint64_t recorded_arguments[6], recorded_stack;
uint64_t record_arguments(void);
uint64_t return_garbage(uint64_t value);

/* Names a function of another type: the recorder takes what it gets. */
#define RECORDER(slot) (slot) = (__typeof__(slot))(void *)record_arguments

static struct {
    uint64_t (*none)(void);
    uint64_t (*one)(uint64_t);
    uint64_t (*two)(uint64_t, uint64_t);
    uint64_t (*three)(uint64_t, uint64_t, uint64_t);
    uint64_t (*four)(uint64_t, uint64_t, uint64_t, uint64_t);
    uint64_t (*five)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    uint64_t (*six)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    void (*six_void)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    void (*narrow)(bool, uint8_t, int8_t, uint16_t, int16_t, uint32_t);
    void (*wide)(int32_t, uint64_t, int64_t, const void *, char, unsigned char);
    void (*byte)(uint8_t);
    bool (*to_bool)(uint64_t);
    uint8_t (*to_u8)(uint64_t);
    int8_t (*to_s8)(uint64_t);
    uint16_t (*to_u16)(uint64_t);
    int32_t (*to_s32)(uint64_t);
    uint32_t (*to_u32)(uint64_t);
    void *(*to_pointer)(uint64_t);
} call_ops;

TP_OPS(call) {
    TP_OP(call_ops.none);
    TP_OP(call_ops.one);
    TP_OP(call_ops.two);
    TP_OP(call_ops.three);
    TP_OP(call_ops.four);
    TP_OP(call_ops.five);
    TP_OP(call_ops.six);
    TP_OP(call_ops.six_void);
    TP_OP(call_ops.narrow);
    TP_OP(call_ops.wide);
    TP_OP(call_ops.byte);
    TP_OP(call_ops.to_bool);
    TP_OP(call_ops.to_u8);
    TP_OP(call_ops.to_s8);
    TP_OP(call_ops.to_u16);
    TP_OP(call_ops.to_s32);
    TP_OP(call_ops.to_u32);
    TP_OP(call_ops.to_pointer);
}

static void fill_slots(void) {
    RECORDER(call_ops.none);
    RECORDER(call_ops.one);
    RECORDER(call_ops.two);
    RECORDER(call_ops.three);
    RECORDER(call_ops.four);
    RECORDER(call_ops.five);
    RECORDER(call_ops.six);
    RECORDER(call_ops.six_void);
    RECORDER(call_ops.narrow);
    RECORDER(call_ops.wide);
    RECORDER(call_ops.byte);
    call_ops.to_bool = (bool (*)(uint64_t))(void *)return_garbage;
    call_ops.to_u8 = (uint8_t(*)(uint64_t))(void *)return_garbage;
    call_ops.to_s8 = (int8_t(*)(uint64_t))(void *)return_garbage;
    call_ops.to_u16 = (uint16_t(*)(uint64_t))(void *)return_garbage;
    call_ops.to_s32 = (int32_t(*)(uint64_t))(void *)return_garbage;
    call_ops.to_u32 = (uint32_t(*)(uint64_t))(void *)return_garbage;
    call_ops.to_pointer = (void *(*)(uint64_t))(void *)return_garbage;
}

/* Pristine, then applied. */
static void in_both_forms(void (*check)(void)) {
    fill_slots();
    REQUIRE(start_library(&alias_port));
    check();
    REQUIRE_OK(tp_apply());
    check();
    EXPECT_EQUAL(count_differences(NULL), 0);
}

/* One caller for each ABI. */
#define BOTH(name, type, parameters, slot, ...)                                                              \
    ONE_COPY static type c_##name parameters { return TP_CALL(slot, ##__VA_ARGS__); }                        \
    ONE_COPY static type save_##name parameters { return TP_CALLEE_SAVE_CALL(slot, ##__VA_ARGS__); }
#define BOTH_VOID(name, parameters, slot, ...)                                                               \
    ONE_COPY static void c_##name parameters { TP_CALL_VOID(slot, ##__VA_ARGS__); }                          \
    ONE_COPY static void save_##name parameters { TP_CALLEE_SAVE_CALL_VOID(slot, ##__VA_ARGS__); }

BOTH(none, uint64_t, (void), call_ops.none)
BOTH(one, uint64_t, (uint64_t a), call_ops.one, a)
BOTH(two, uint64_t, (uint64_t a), call_ops.two, a, a + 1)
BOTH(three, uint64_t, (uint64_t a), call_ops.three, a, a + 1, a + 2)
BOTH(four, uint64_t, (uint64_t a), call_ops.four, a, a + 1, a + 2, a + 3)
BOTH(five, uint64_t, (uint64_t a), call_ops.five, a, a + 1, a + 2, a + 3, a + 4)
BOTH(six, uint64_t, (uint64_t a), call_ops.six, a, a + 1, a + 2, a + 3, a + 4, a + 5)
BOTH_VOID(six_void, (uint64_t a), call_ops.six_void, a, a + 1, a + 2, a + 3, a + 4, a + 5)

static void expect_recorded(unsigned count, uint64_t first) {
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQUAL(recorded_arguments[i], first + i);
    for (unsigned i = 0; i < 6; i++)
        recorded_arguments[i] = 0;
}

#define RECORDED 0xa5a5a5a5a5a5a5a5

static void check_counts(void) {
    static uint64_t (*const callers[][2])(uint64_t) = {{c_one, save_one},   {c_two, save_two},   {c_three, save_three},
                                                       {c_four, save_four}, {c_five, save_five}, {c_six, save_six}};
    EXPECT_EQUAL(c_none(), RECORDED);
    EXPECT_EQUAL(save_none(), RECORDED);
    for (unsigned count = 1; count <= 6; count++) {
        for (unsigned abi = 0; abi < 2; abi++) {
            uint64_t first = 0x1111222233334444 * count + abi;
            EXPECT_EQUAL(callers[count - 1][abi](first), RECORDED);
            expect_recorded(count, first);
        }
    }
    c_six_void(100);
    expect_recorded(6, 100);
    save_six_void(200);
    expect_recorded(6, 200);
}

static void passes_arguments(void) { in_both_forms(check_counts); }

/* The casts cut a wide value down, and leave it to the compiler when to clear what is above. */
ONE_COPY static void c_narrow(const uint64_t *wide) {
    TP_CALL_VOID(call_ops.narrow, (bool)(wide[0] & 1), (uint8_t)wide[1], (int8_t)wide[2], (uint16_t)wide[3],
                 (int16_t)wide[4], (uint32_t)wide[5]);
}
ONE_COPY static void save_narrow(const uint64_t *wide) {
    TP_CALLEE_SAVE_CALL_VOID(call_ops.narrow, (bool)(wide[0] & 1), (uint8_t)wide[1], (int8_t)wide[2],
                             (uint16_t)wide[3], (int16_t)wide[4], (uint32_t)wide[5]);
}
ONE_COPY static void c_wide(const uint64_t *wide) {
    TP_CALL_VOID(call_ops.wide, (int32_t)wide[0], wide[1], (int64_t)wide[2], (const void *)wide[3], (char)wide[4],
                 (unsigned char)wide[5]);
}
ONE_COPY static void save_wide(const uint64_t *wide) {
    TP_CALLEE_SAVE_CALL_VOID(call_ops.wide, (int32_t)wide[0], wide[1], (int64_t)wide[2], (const void *)wide[3],
                             (char)wide[4], (unsigned char)wide[5]);
}
/* Parameters of narrow types, above which this function's own caller may have left anything. */
ONE_COPY static void c_passed_on(bool a, uint8_t b, int8_t c, uint16_t d, int16_t e, uint32_t f) {
    TP_CALL_VOID(call_ops.narrow, a, b, c, d, e, f);
}

static uint64_t extend(uint64_t value, unsigned bits, bool with_sign) {
    uint64_t kept = value << (64 - bits);
    return with_sign ? (uint64_t)((int64_t)kept >> (64 - bits)) : kept >> (64 - bits);
}

static void expect_narrow(const uint64_t *wide) {
    EXPECT_EQUAL(recorded_arguments[0], wide[0] & 1);
    EXPECT_EQUAL(recorded_arguments[1], extend(wide[1], 8, false));
    EXPECT_EQUAL(recorded_arguments[2], extend(wide[2], 8, true));
    EXPECT_EQUAL(recorded_arguments[3], extend(wide[3], 16, false));
    EXPECT_EQUAL(recorded_arguments[4], extend(wide[4], 16, true));
    EXPECT_EQUAL(recorded_arguments[5], extend(wide[5], 32, false));
}

static void expect_wide(const uint64_t *wide) {
    EXPECT_EQUAL(recorded_arguments[0], extend(wide[0], 32, true));
    EXPECT_EQUAL(recorded_arguments[1], wide[1]);
    EXPECT_EQUAL(recorded_arguments[2], wide[2]);
    EXPECT_EQUAL(recorded_arguments[3], wide[3]);
    EXPECT_EQUAL(recorded_arguments[4], extend(wide[4], 8, (char)-1 < 0));
    EXPECT_EQUAL(recorded_arguments[5], extend(wide[5], 8, false));
}

typedef void any_caller(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static void check_widths(void) {
    uint64_t wide[6], state = 0x123456789;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 6; i++)
            wide[i] = state = state * 6364136223846793005 + 1442695040888963407;
        c_narrow(wide);
        expect_narrow(wide);
        save_narrow(wide);
        expect_narrow(wide);
        c_wide(wide);
        expect_wide(wide);
        save_wide(wide);
        expect_wide(wide);
        c_passed_on((bool)(wide[0] & 1), (uint8_t)wide[1], (int8_t)wide[2], (uint16_t)wide[3], (int16_t)wide[4],
                    (uint32_t)wide[5]);
        expect_narrow(wide);
    }
}

static void widens_arguments(void) { in_both_forms(check_widths); }

ONE_COPY static void pass_byte(uint8_t byte) { TP_CALL_VOID(call_ops.byte, byte); }
ONE_COPY static void pass_loop(uint64_t from, unsigned shift) {
    uint8_t byte = (uint8_t)(from >> shift);
    TP_CALLEE_SAVE_CALL_VOID(call_ops.byte, (uint8_t)(byte + shift));
}

static void check_loops(void) {
    uint64_t bits = 0xfedcba9876543210;
    for (unsigned shift = 0; shift < 56; shift++) {
        pass_byte((uint8_t)(bits >> shift));
        EXPECT_EQUAL(recorded_arguments[0], bits >> shift & 0xff);
        pass_loop(bits, shift);
        EXPECT_EQUAL(recorded_arguments[0], ((bits >> shift) + shift) & 0xff);
    }
}

static void widens_in_loops(void) { in_both_forms(check_loops); }

#define VALUE(name, type)                                                                                    \
    BOTH(to_##name, type, (uint64_t wide), call_ops.to_##name, wide)
VALUE(bool, bool)
VALUE(u8, uint8_t)
VALUE(s8, int8_t)
VALUE(u16, uint16_t)
VALUE(s32, int32_t)
VALUE(u32, uint32_t)
VALUE(pointer, void *)

static void check_values(void) {
    uint64_t wide = 0xfedcba98f6f5f480;
    EXPECT_EQUAL((int64_t)c_to_s8(wide), -128);
    EXPECT_EQUAL((int64_t)save_to_s8(wide), -128);
    EXPECT_EQUAL(c_to_u8(wide), 0x80);
    EXPECT_EQUAL(save_to_u8(wide), 0x80);
    EXPECT_EQUAL(c_to_u16(wide), 0xf480);
    EXPECT_EQUAL(save_to_u16(wide), 0xf480);
    EXPECT_EQUAL((int64_t)c_to_s32(wide), (int64_t)(int32_t)0xf6f5f480);
    EXPECT_EQUAL((int64_t)save_to_s32(wide), (int64_t)(int32_t)0xf6f5f480);
    EXPECT_EQUAL(c_to_u32(wide), 0xf6f5f480);
    EXPECT_EQUAL(save_to_u32(wide), 0xf6f5f480);
    EXPECT_EQUAL((uintptr_t)c_to_pointer(wide), wide);
    EXPECT_EQUAL((uintptr_t)save_to_pointer(wide), wide);
    EXPECT(!c_to_bool(0xffffffffffffff00) && !save_to_bool(0xffffffffffffff00)); /* al is 0 */
    EXPECT(c_to_bool(0xffffffffffffff01) && save_to_bool(0xffffffffffffff01));
}

static void cuts_values(void) { in_both_forms(check_values); }

static unsigned evaluated;
static uint64_t evaluate(uint64_t value) {
    evaluated++;
    return value;
}

ONE_COPY static uint64_t nest(uint64_t value) {
    return TP_CALL(call_ops.six, evaluate(value), (uint64_t)c_to_u8(value), (uint64_t)TP_CALL(call_ops.to_u16, value),
                   (uint64_t)TP_CALLEE_SAVE_CALL(call_ops.to_u32, value), evaluate(4), evaluate(5));
}

static void check_nesting(void) {
    evaluated = 0;
    EXPECT_EQUAL(nest(0x1122334455667788), RECORDED);
    EXPECT_EQUAL(evaluated, 3);
    EXPECT_EQUAL(recorded_arguments[0], 0x1122334455667788);
    EXPECT_EQUAL(recorded_arguments[1], 0x88);
    EXPECT_EQUAL(recorded_arguments[2], 0x7788);
    EXPECT_EQUAL(recorded_arguments[3], 0x55667788);
    EXPECT_EQUAL(recorded_arguments[4], 4);
    EXPECT_EQUAL(recorded_arguments[5], 5);
}

static void nests_calls(void) { in_both_forms(check_nesting); }

#define WIDTH(width)                                                                                         \
    ONE_COPY static uint64_t wide_##width(uint64_t a) { return TP_WIDE_CALL(width, call_ops.two, a, a + 1); }
WIDTH(6) WIDTH(7) WIDTH(8) WIDTH(9) WIDTH(10) WIDTH(11) WIDTH(12) WIDTH(13) WIDTH(14) WIDTH(15)

static uint64_t (*const widths[])(uint64_t) = {wide_6,  wide_7,  wide_8,  wide_9,  wide_10,
                                               wide_11, wide_12, wide_13, wide_14, wide_15};

static void check_site_widths(void) {
    for (unsigned i = 0; i < 10; i++) {
        struct tp_site_info site = find_site((uintptr_t)widths[i], 0);
        EXPECT_EQUAL(site.length, 6 + i);
        EXPECT_EQUAL(widths[i](i), RECORDED);
        expect_recorded(2, i);
        if (site.form == TP_FORM_DIRECT)
            EXPECT_EQUAL(branch_target(site.address + site.length - 5), (uintptr_t)record_arguments);
    }
}

static void fits_all_widths(void) { in_both_forms(check_site_widths); }

long weigh(int first, long second, unsigned char third);
__attribute__((used, noinline)) long weigh(int first, long second, unsigned char third) {
    return first + 10 * second + 100 * third;
}
TP_CALLEE_SAVE_THUNK(weigh);
#ifdef TP_CALLEE_SAVE
TP_CALLEE_SAVE static long weigh_by_attribute(int first, long second, unsigned char third) {
    return first + 10 * second + 100 * third;
}
#else
#define weigh_by_attribute weigh_callee_save
#endif

static struct {
    long (*thunk)(int, long, unsigned char);
    long (*attribute)(int, long, unsigned char);
} weigh_ops;
TP_OPS(weigh) {
    TP_OP(weigh_ops.thunk);
    TP_OP(weigh_ops.attribute);
}

/* What lives across the calls must lie where a callee-save callee may not touch it: the sum shows if it did. */
ONE_COPY static long weigh_all(long a, long b, long c, long d, long e) {
    long first = TP_CALLEE_SAVE_CALL(weigh_ops.thunk, (int)a, b, (unsigned char)c);
    long second = TP_CALLEE_SAVE_CALL(weigh_ops.attribute, (int)b, c, (unsigned char)d);
    return first + 3 * second + a + 2 * b + 4 * c + 8 * d + 16 * e;
}

static void check_callee_save(void) {
    EXPECT_EQUAL(weigh_all(1, 2, 3, 4, 5), 321 + 3 * 432 + 1 + 4 + 12 + 32 + 80);
    EXPECT_EQUAL(weigh_all(-1, 0, 0, 0, 0), -2l);
}

static void saves_for_c_functions(void) {
    weigh_ops.thunk = weigh_callee_save;
    weigh_ops.attribute = (long (*)(int, long, unsigned char))(void *)weigh_by_attribute;
    in_both_forms(check_callee_save);
}

static void sees_garbage(void) {
    any_caller *const volatile direct = (any_caller *)(void *)record_arguments;
    uint64_t wide[6] = {3, 0x180, 0x7fffff80, 0x1ffff, 0x18000, 0x100000001};
    direct(wide[0], wide[1], wide[2], wide[3], wide[4], wide[5]);
    for (unsigned i = 0; i < 6; i++)
        EXPECT_EQUAL(recorded_arguments[i], wide[i]);
}

KTAP_SUITE(op_calls, {"0 to 6 arguments", passes_arguments}, {"arguments of all widths", widens_arguments},
           {"narrow arguments in loops", widens_in_loops}, {"values of all widths", cuts_values},
           {"calls in arguments", nests_calls}, {"sites of all widths", fits_all_widths},
           {"callee-save C functions", saves_for_c_functions}, {"the recorder sees garbage", sees_garbage});
