/* SPDX-License-Identifier: MIT */
/* What the sites of functions.S are sites of. It is linked, and never run. */
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>

struct {
    unsigned long (*save_fl)(void);
} ops = {tp_native_save_fl};

TP_OPS(large) {
    TP_OP(ops.save_fl);
}

static long pick_first(long task) {
    return task;
}
TP_DEFINE_STATIC_CALL(pick, pick_first);
TP_DEFINE_STATIC_KEY_FALSE(tracing);

long function_00000(long value);
_Noreturn void start(void);

void start(void) {
    for (;;)
        (void)function_00000(tp_static_branch_unlikely(tracing));
}
