/* SPDX-License-Identifier: MIT */
/* The native world: start, and the small parts of its backend. */
#include "acpi.h"
#include "native.h"
#include "ports.h"
#include "pv_ops.h"

extern const uint64_t kernel_top_table[];

/* While the kernel runs it holds user mode's base: swapgs exchanges them. */
enum { MSR_KERNEL_GS_BASE = 0xc0000102 };

/* What eax holds for each protocol (entry_native.asm). */
enum { PROTOCOL_PVH = 0x336ec578, PROTOCOL_MULTIBOOT2 = 0x36d76289 };

/* struct hvm_start_info (xen/arch-x86/hvm/start_info.h), as far as it is read. */
struct pvh_information {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, command_line, acpi_root;
};

/* Multiboot2 specification 1.6, 3.4.2 and 3.4.5. */
struct multiboot2_tag {
	uint32_t type, size;
	char text[];
};

enum { MULTIBOOT2_TAG_END = 0, MULTIBOOT2_TAG_COMMAND_LINE = 1 };

static const char *find_multiboot2_command_line(uint32_t information)
{
	const uint8_t *here = (uint8_t *)physical_pointer(information) + 8;
	const struct multiboot2_tag *tag = (const void *)here;

	while (tag->type != MULTIBOOT2_TAG_END) {
		if (tag->type == MULTIBOOT2_TAG_COMMAND_LINE)
			return tag->text;
		here += (tag->size + 7u) & ~7u;
		tag = (const void *)here;
	}
	return NULL;
}

static const char *find_pvh_command_line(uint32_t information)
{
	const struct pvh_information *pvh = physical_pointer(information);

	return pvh->command_line ? physical_pointer(pvh->command_line) : NULL;
}

/* Multiboot2 has it in tags only where a search would find it, too, but for UEFI. */
static uint64_t find_acpi_root(uint32_t protocol, uint32_t information)
{
	const struct pvh_information *pvh = physical_pointer(information);

	return protocol == PROTOCOL_PVH ? pvh->acpi_root : 0;
}

static const char *find_command_line(uint32_t protocol, uint32_t information)
{
	switch (protocol) {
	case PROTOCOL_PVH:
		return find_pvh_command_line(information);
	case PROTOCOL_MULTIBOOT2:
		return find_multiboot2_command_line(information);
	default:
		return NULL;
	}
}

static void choose_backend(void)
{
	const struct backend *pvh = find_pvh_backend();

	backend = pvh ? pvh : &native_backend;
}

void start_native(uint32_t protocol, uint32_t information)
{
	choose_pv_ops();
	choose_backend();
	set_up_serial();
	set_up_gates();
	load_descriptors(&cpus[0]);
	keep_command_line(find_command_line(protocol, information));
	acpi_root_hint = find_acpi_root(protocol, information);
	set_up_native_paging();
	set_up_interrupt_controllers();
	set_up_native_timer();
	enter_kernel_main();
}

/* QEMU's isa-debug-exit; then Bochs's way, which has no status, so the last line says
 * it; then a stop that NMIs don't end. */
static void exit_native(int status)
{
	static const char bochs_shutdown[] = "Shutdown";

	tell_exit_port(status);
	print_format("# exit status %d\n", status);
	finish_serial();
	for (const char *letter = bochs_shutdown; *letter; letter++)
		write_port8(0x8900, (uint8_t)*letter);
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}

static uintptr_t own_native_entry(unsigned vector)
{
	return (uintptr_t)native_stubs + vector * NATIVE_STUB_SIZE;
}

static void mask_native(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static void unmask_native(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static bool native_is_masked(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
	return (flags & 1u << 9) == 0;
}

/* sti takes effect after the next instruction: no wake-up is lost between. */
static void wait_native(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

static void set_user_gs_base(uint64_t base)
{
	write_msr_native(MSR_KERNEL_GS_BASE, base);
}

static const uint64_t *native_top_table(void)
{
	return kernel_top_table;
}

static void leave_table(const uint64_t *table)
{
	(void)table;
}

static void leave_user_table(uint64_t frame)
{
	(void)frame;
}

const struct backend native_backend = {
	.write_console = write_serial,
	.exit = exit_native,
	.set_exception_entry = set_native_entry,
	.own_exception_entry = own_native_entry,
	.use_breakpoint_stack = use_native_breakpoint_stack,
	.mask_interrupts = mask_native,
	.unmask_interrupts = unmask_native,
	.interrupts_are_masked = native_is_masked,
	.wait_for_interrupt = wait_native,
	.start_timer = start_native_timer,
	.stop_timer = stop_native_timer,
	.raise_event = raise_native_event,
	.event_is_pending = native_event_is_pending,
	.frame_of = native_frame_of,
	.set_page_entry = set_native_page_entry,
	.flushes_one_tlb = true,
	.kernel_selectors = { .code = 0x08, .stack = 0x10 },
	.user_selectors = { .code = 0x2b, .stack = 0x23 },
	.set_entry_stack = set_native_entry_stack,
	.set_user_gs_base = set_user_gs_base,
	.top_table = native_top_table,
	.protect_table = leave_table,
	.adopt_top_table = leave_table,
	.set_user_table = leave_user_table,
	.find_cpus = find_native_cpus,
	.start_cpu = start_native_cpu,
	.withdraw_cpu = withdraw_native_cpu,
	.send_call = send_native_call,
	.send_nmi = send_native_nmi,
	.start_cpu_timer = start_native_cpu_timer,
	.stop_cpu_timer = stop_native_cpu_timer,
	.nanoseconds = native_nanoseconds,
};
