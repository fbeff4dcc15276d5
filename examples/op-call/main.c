/* SPDX-License-Identifier: MIT */
/* Calls through a table of function pointers: indirect at first, then direct, inline, or nothing at all. */
#include <textpatch/engine.h>
#include <textpatch/op.h>
#include <textpatch/ops.h>

#include "platform.h"

static unsigned long read_plain(unsigned index, int shift) { return (0x1000ul + index) << shift; }
static unsigned long read_traced(unsigned index, int shift) { return ((0x1000ul + index) << shift) + 1; }

/* The kernel's table. A slot's function decides what its sites become. */
static struct device_ops {
    unsigned long (*read)(unsigned index, int shift); /* a C function: a direct call */
    unsigned long (*same)(unsigned long value);        /* has an inline form: a move */
    void (*flush)(void);                               /* does nothing: no call at all */
} device_ops = {read_plain, tp_identity64, tp_nop_function};
TP_OPS(device) { TP_OP(device_ops.read); TP_OP(device_ops.same); TP_OP(device_ops.flush); }

/* Typed wrappers; callers don't know that there are sites. */
static unsigned long device_read(unsigned index, int shift) { return TP_CALL(device_ops.read, index, shift); }
static unsigned long device_same(unsigned long value) { return TP_CALLEE_SAVE_CALL(device_ops.same, value); }
static void device_flush(void) { TP_CALLEE_SAVE_CALL_VOID(device_ops.flush); }

static bool print_site(const struct tp_site_info *site, void *unused) {
    (void)unused;
    print_format("  %-20s %-10s", site->key, tp_form_text(site->form));
    for (unsigned i = 0; i < site->length; i++)
        print_format(" %02x", ((const uint8_t *)site->address)[i]);
    print_format("\n");
    return true;
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

    require(device_read(1, 4) == 0x10010 && device_same(7) == 7, "calls work before the library has run");
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel), "the library takes the kernel's image");
    tp_for_each_site(print_site, NULL);
    require(!tp_apply(), "the text becomes what the slots say");
    tp_for_each_site(print_site, NULL);
    device_flush();
    require(device_read(1, 4) == 0x10010 && device_same(7) == 7, "calls do what they did");
    require(!tp_op_update(device_ops.read, read_traced), "a slot changes");
    require(device_read(1, 4) == 0x10011, "its sites follow");
    exit_kernel(0);
}
