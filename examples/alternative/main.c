/* SPDX-License-Identifier: MIT */
/* Instructions chosen by feature: by what the CPU has, and by what the kernel decides while it runs. */
#include <textpatch/alternative.h>
#include <textpatch/engine.h>

#include "platform.h"

/* A feature of the kernel's own: 96 of them are free for it. */
#define FEATURE_LOUD TP_FEATURE_KERNEL(0)

/* The last eligible replacement wins; where none is, the original stands. */
static unsigned choose_level(void) {
    unsigned level;
    __asm__ volatile(TP_ALTERNATIVE_2("mov $1, %0", "mov $2, %0", TP_FEATURE_SSE2, "mov $3, %0", FEATURE_LOUD)
                     : "=r"(level));
    return level;
}

/* The function works on any CPU; the instruction takes its place where there is one. */
static uint64_t swap_bytes_slowly(uint64_t value) {
    uint64_t swapped = 0;
    for (unsigned i = 0; i < 8; i++)
        swapped = swapped << 8 | (value >> 8 * i & 0xff);
    return swapped;
}
static uint64_t swap_bytes(uint64_t value) {
    uint64_t swapped;
    __asm__ volatile(TP_ALTERNATIVE("call %c[slow]", "mov %%rdi, %%rax; bswap %%rax", TP_FEATURE_CX8)
                     : "=a"(swapped), "+D"(value)
                     : [slow] "i"(swap_bytes_slowly)
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return swapped;
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

    require(choose_level() == 1 && swap_bytes(0x12) == 0x12ull << 56, "the originals work unpatched");
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel) && !tp_apply(), "the library applies features");
    require(choose_level() == 2 && swap_bytes(0x12) == 0x12ull << 56, "the CPU has SSE2 and bswap");
    require(!tp_feature_set(FEATURE_LOUD) && !tp_apply() && choose_level() == 3, "the kernel is loud");
    require(!tp_feature_clear(FEATURE_LOUD) && !tp_apply() && choose_level() == 2, "and clear again");
    require(!tp_audit(NULL, NULL), "the text is what the state says");
    exit_kernel(0);
}
