/* SPDX-License-Identifier: MIT */
/*
 * A kernel whose entry code is the macros of textpatch/entry.inc: entry.asm is all of it. Everything that can come does
 * come, in ring 0 and in ring 3 (program.asm), with the sites of the entry code as they were linked and then patched.
 */
#include "kernel.h"

enum { FLAGS_OF_PROGRAM = 1 << 9 | 1 << 1, AT_LEAST = 1 << 31 };

extern const unsigned char text_start[], text_end[];
unsigned interrupt_kernel(void);

struct tp_ops pv_ops;
TP_OPS(pv) { TP_OPS_OF(pv_ops); }

void print(const char *text) {
    while (*text)
        out8(0x3f8, (uint8_t)*text++);
}

void print_hex(unsigned long value) {
    unsigned shift = 60;
    while (shift && !(value >> shift))
        shift -= 4;
    for (;; shift -= 4) {
        out8(0x3f8, (uint8_t)"0123456789abcdef"[value >> shift & 15]);
        if (!shift)
            return;
    }
}

static _Noreturn void exit_kernel(unsigned code) { /* QEMU ends with status 2 * code + 1 */
    for (;;)
        __asm__ volatile("outl %0, %1" : : "a"(code), "Nd"((uint16_t)0xf4));
}

void require(bool condition, const char *what) {
    if (condition)
        return;
    print("entry: FAILED: "), print(what), print("\n");
    exit_kernel(1);
}

static bool print_site(const struct tp_site_info *site, void *unused) {
    (void)unused;
    print("  "), print_hex(site->address), print(" "), print(site->key), print(":");
    for (unsigned i = 0; i < site->length; i++) {
        uint8_t byte = ((const uint8_t *)site->address)[i];
        print(byte < 16 ? " 0" : " "), print_hex(byte);
    }
    print("  "), print(tp_form_text(site->form)), print("\n");
    return true;
}

/* The program's first frame lies where an entry from user mode would have made it. */
static unsigned long run_program(void) {
    struct tp_regs *first = (struct tp_regs *)cpu.kernel_stack - 1;
    *first = (struct tp_regs){
        .rip = USER,
        .cs = SELECTOR_USER_CODE,
        .rflags = FLAGS_OF_PROGRAM,
        .rsp = USER_STACK + PAGE,
        .ss = SELECTOR_USER_DATA,
    };
    return run_user(first);
}

/* What program.asm has come, and nothing else. */
static uint32_t expected_count(unsigned ring, unsigned vector) {
    switch (vector) {
    case VECTOR_TIMER: return AT_LEAST | 3;
    case VECTOR_DEBUG:
    case VECTOR_NMI:
    case VECTOR_BREAKPOINT:
    case VECTOR_INVALID_OPCODE: return 1;
    case VECTOR_DOUBLE_FAULT:
    case VECTOR_MACHINE_CHECK: return ring == 0;
    case VECTOR_GENERAL_PROTECTION:
    case VECTOR_PAGE_FAULT:
    case VECTOR_GATE: return ring == 1;
    case TP_VECTOR_SYSCALL: return ring == 1 ? 3 : 0;
    default: return 0;
    }
}

static void check_count(unsigned ring, unsigned vector) {
    uint32_t count = counts[ring][vector], expected = expected_count(ring, vector);
    if (count)
        print(" "), print_hex(vector), print("*"), print_hex(count);
    require(expected & AT_LEAST ? count >= (expected & ~AT_LEAST) : count == expected, "each entry was counted");
}

static void check_counts(void) {
    for (unsigned ring = 0; ring < 2; ring++) {
        print(ring ? "  from ring 3, vector*count, hexadecimal:" : "  from ring 0, vector*count, hexadecimal:");
        for (unsigned vector = 0; vector < VECTORS_COUNTED; vector++)
            check_count(ring, vector);
        print("\n");
    }
}

static void clear_counts(void) {
    for (unsigned vector = 0; vector < VECTORS_COUNTED; vector++)
        counts[0][vector] = counts[1][vector] = 0;
}

static void be_interrupted(void) {
    clear_counts();
    __asm__ volatile("sti");
    unsigned wrong = interrupt_kernel();
    __asm__ volatile("cli");
    require(!wrong, "the kernel's registers survive");
    require(run_program() == (KILLED | VECTOR_PAGE_FAULT), "the program's registers survive, up to its end");
    check_counts();
}

/* An int3 that is no site's: the library's #BP entry hands it on. */
static void take_breakpoint(struct tp_regs *regs) {
    count_entry(regs);
}

_Noreturn void kernel_main(void) {
    static const struct tp_port port = {.breakpoint = take_breakpoint};
    static struct tp_image kernel;
    pv_ops = tp_native_ops; /* entries call through it, patched or not */
    set_up_cpu();
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel), "the library takes the kernel's image");
    print("as linked\n");
    tp_for_each_site(print_site, NULL);
    be_interrupted();
    require(!tp_apply() && !tp_audit(NULL, NULL), "the text becomes what the state says"); /* interrupts are off */
    print("patched\n");
    tp_for_each_site(print_site, NULL);
    be_interrupted();
    print("entry: ok\n");
    exit_kernel(0x10);
}
