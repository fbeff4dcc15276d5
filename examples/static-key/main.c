/* SPDX-License-Identifier: MIT */
/* Branches that test nothing: a NOP or a jump, rewritten when the key changes. */
#include <textpatch/static_key.h>

#include "platform.h"

TP_DEFINE_STATIC_KEY_FALSE(tracing); /* almost always off */
TP_DEFINE_STATIC_KEY_TRUE(checking); /* almost always on */

static unsigned traced, checked;

static unsigned long add(unsigned long a, unsigned long b) {
    if (tp_static_branch_unlikely(tracing))
        traced++;
    if (tp_static_branch_likely(checking))
        checked++;
    return a + b;
}

/* What one call of add() did besides adding. */
static bool call_leaves(unsigned traces, unsigned checks) {
    traced = checked = 0;
    return add(1, 2) == 3 && traced == traces && checked == checks;
}

static void require(bool condition, const char *what) {
    print_format("%-50s %s\n", what, condition ? "ok" : "FAILED");
    if (!condition)
        exit_kernel(1);
}

void kernel_main(const char *command_line) {
    static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text};
    static struct tp_image kernel;
    (void)command_line;

    require(call_leaves(0, 1), "branches are right before the library has run");
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel) && !tp_apply(), "the library takes the keys");
    require(!tp_static_key_enable(tracing) && call_leaves(1, 1), "tracing on");
    require(!tp_static_key_disable(checking) && call_leaves(1, 0), "checking off");
    require(!tp_static_key_disable(tracing) && call_leaves(0, 0), "tracing off");

    /* Counted: two users want it, and it stays on until both are gone. */
    require(!tp_static_key_increment(tracing) && !tp_static_key_increment(tracing), "two users");
    require(!tp_static_key_decrement(tracing) && call_leaves(1, 0), "one user is left");
    require(!tp_static_key_decrement(tracing) && call_leaves(0, 0), "none is");
    exit_kernel(0);
}
