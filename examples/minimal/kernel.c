/* SPDX-License-Identifier: MIT */
/* The smallest kernel that uses textpatch: a site of each common kind, before and after tp_apply(). */
#include <textpatch/ops.h>
#include <textpatch/textpatch.h>
extern const unsigned char text_start[], text_end[];

/* An op table: what would be done differently under a hypervisor. */
struct {
    unsigned long (*save_fl)(void);
    void (*irq_disable)(void);
} pv_ops = {tp_native_save_fl, tp_native_irq_disable};
TP_OPS(pv) { TP_OP(pv_ops.save_fl); TP_OP(pv_ops.irq_disable); }

/* A branch that is off. */
TP_DEFINE_STATIC_KEY_FALSE(tracing);

/* A function that is chosen rarely and called often. */
static int pick_first(int tasks) { return tasks > 0; }
static int pick_last(int tasks) { return tasks; }
TP_DEFINE_STATIC_CALL(pick_task, pick_first);

/* An instruction that not every CPU has. The registers are those that a C function may change. */
static unsigned count_slowly(unsigned long word) { return word ? (word & 1) + count_slowly(word / 2) : 0; }
static unsigned count_bits(unsigned long word) {
    unsigned count;
    __asm__ volatile(TP_ALTERNATIVE("call %c[slow]", "popcnt %%rdi, %%rax", TP_FEATURE_POPCNT)
                     : "=a"(count), "+D"(word) : [slow] "i"(count_slowly)
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return count;
}

static void out8(unsigned short port, char value) { __asm__("outb %0, %1" : : "a"(value), "Nd"(port)); }
static void print(const char *text) { while (*text) out8(0x3f8, *text++); }
static _Noreturn void exit_kernel(unsigned code) { /* QEMU ends with status 2 * code + 1 */
    for (;;)
        __asm__ volatile("outl %0, %1" : : "a"(code), "Nd"((unsigned short)0xf4));
}
static void require(int condition, const char *what) {
    if (!condition) {
        print("minimal: FAILED: "), print(what), print("\n");
        exit_kernel(1);
    }
}

static bool print_site(const struct tp_site_info *site, void *unused) {
    (void)unused;
    print("  "), print(site->key ? site->key : tp_kind_text(site->kind)), print(":");
    for (unsigned i = 0; i < site->length; i++) {
        unsigned char byte = ((const unsigned char *)site->address)[i];
        print((const char[]){' ', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15], 0});
    }
    print("  "), print(tp_form_text(site->form)), print("\n");
    return true;
}

/* Goes through every site. What it returns is the same whether or not the text has been patched. */
static unsigned use_sites(void) {
    __asm__ volatile("sti");
    unsigned on = TP_CALLEE_SAVE_CALL(pv_ops.save_fl) >> 9 & 1;
    TP_CALLEE_SAVE_CALL_VOID(pv_ops.irq_disable);
    unsigned off = TP_CALLEE_SAVE_CALL(pv_ops.save_fl) >> 9 & 1;
    unsigned traced = tp_static_branch_unlikely(tracing) ? 1 : 0;
    unsigned picked = (unsigned)tp_static_call(pick_task)(4);
    return on << 16 | off << 12 | traced << 8 | picked << 4 | count_bits(15);
}

_Noreturn void kernel_main(void) {
    static struct tp_image kernel;
    out8(0x21, -1), out8(0xa1, -1); /* no interrupts: nobody is there to take them */
    require(use_sites() == 0x10014, "every site works before the library has run");
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(NULL) && !tp_image_add(&kernel), "the library takes the kernel's image");
    print("before\n");
    tp_for_each_site(print_site, NULL);
    require(!tp_apply() && !tp_audit(NULL, NULL), "the text becomes what the state says");
    print("after\n");
    tp_for_each_site(print_site, NULL);
    require(use_sites() == 0x10014, "every site does what it did");
    require(!tp_static_key_enable(tracing) && !tp_static_call_update(pick_task, pick_last), "updates");
    require(use_sites() == 0x10144, "the text follows");
    print("minimal: ok\n");
    exit_kernel(0x10);
}
