/* SPDX-License-Identifier: MIT */
/* Address spaces, of entries that the op table makes and loads. */
#include "user_space.h"
#include "backend.h"
#include "one_copy.h"
#include "pv_ops.h"

extern const uint8_t user_text_start[], user_text_end[], user_last_end[];

enum level { TABLE, DIRECTORY, POINTERS, TOP };
enum { FIRST_KERNEL_ENTRY = TABLE_ENTRIES / 2 };

static struct space spaces[MAXIMUM_PROCESSES];
static bool taken[MAXIMUM_PROCESSES], built[MAXIMUM_PROCESSES];

static struct {
	uint64_t text_table[TABLE_ENTRIES];
	uint64_t last_table[TABLE_ENTRIES];
	uint64_t last_directory[TABLE_ENTRIES];
	uint64_t last_pointers[TABLE_ENTRIES];
	bool built;
} shared __attribute__((aligned(4096)));

static uint8_t lock;

/* Masked while it holds the lock: who waits for it may be masked, too, and must not
 * wait for an interrupt's end. */
ONE_COPY static unsigned long take_lock(void)
{
	unsigned long flags = irq_save();

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		lock_wait();
	return flags;
}

ONE_COPY static void give_lock(unsigned long flags)
{
	lock_release(&lock);
	restore_fl(flags);
}

static unsigned index_at(enum level level, uint64_t address)
{
	return address >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

static uint64_t frame_of(const void *page)
{
	return backend->frame_of((uintptr_t)page);
}

ONE_COPY static void set_entry(uint64_t *table, enum level level, uint64_t address,
			       const void *page, uint64_t rights)
{
	table[index_at(level, address)] =
		make_pte(frame_of(page) << PAGE_SHIFT | PAGE_PRESENT | PAGE_USER |
			 PAGE_ACCESSED | PAGE_DIRTY | rights);
}

/* The entries below a table may still forbid. */
static void set_table(uint64_t *table, enum level level, uint64_t address, const uint64_t *below)
{
	set_entry(table, level, address, below, PAGE_WRITABLE);
	backend->protect_table(below);
}

static void fill_text(uint64_t *table, uint64_t address, const uint8_t *page, const uint8_t *end)
{
	uint64_t room = (TABLE_ENTRIES - index_at(TABLE, address)) * PAGE_SIZE;

	if ((uint64_t)(end - page) > room)
		panic("%ld bytes of user mode's text, and room for %lu", end - page, room);
	for (; page < end; page += PAGE_SIZE, address += PAGE_SIZE)
		set_entry(table, TABLE, address, page, 0);
}

static void build_shared(void)
{
	shared.built = true;
	fill_text(shared.text_table, USER_TEXT, user_text_start, user_text_end);
	fill_text(shared.last_table, USER_LAST_PAGE, user_text_end, user_last_end);
	set_table(shared.last_directory, DIRECTORY, USER_LAST_PAGE, shared.last_table);
	set_table(shared.last_pointers, POINTERS, USER_LAST_PAGE, shared.last_directory);
}

static void fill_data(struct space *space)
{
	for (uint64_t offset = 0; offset < USER_DATA_SIZE; offset += PAGE_SIZE)
		set_entry(space->data_table, TABLE, USER_DATA + offset, space->data + offset,
			  PAGE_WRITABLE | PAGE_NOEXECUTE);
}

static void fill_top(uint64_t *top, const struct space *space)
{
	set_table(top, TOP, USER_TEXT, space->pointers);
	set_table(top, TOP, USER_LAST_PAGE, shared.last_pointers);
}

/* Xen has entries of its own among the kernel's and puts them in whatever is there. */
static void fill_kernel_half(uint64_t *top)
{
	const uint64_t *kernel = backend->top_table();

	for (unsigned i = FIRST_KERNEL_ENTRY; i < TABLE_ENTRIES; i++)
		top[i] = kernel[i];
}

static void build_space(struct space *space)
{
	if (!shared.built)
		build_shared();
	fill_data(space);
	set_table(space->directory, DIRECTORY, USER_TEXT, shared.text_table);
	set_table(space->directory, DIRECTORY, USER_DATA, space->data_table);
	set_table(space->pointers, POINTERS, USER_TEXT, space->directory);
	fill_top(space->top, space);
	fill_top(space->user_top, space);
	fill_kernel_half(space->top);
	backend->adopt_top_table(space->top);
	backend->adopt_top_table(space->user_top);
}

static unsigned find_space(void)
{
	for (unsigned space = 0; space < MAXIMUM_PROCESSES; space++)
		if (!taken[space])
			return space;
	panic("more than %u processes", MAXIMUM_PROCESSES);
}

static void clear_data(unsigned space)
{
	for (size_t i = 0; i < USER_DATA_SIZE; i++)
		spaces[space].data[i] = 0;
}

unsigned take_space(void)
{
	unsigned long flags = take_lock();
	unsigned space = find_space();

	taken[space] = true;
	if (!built[space])
		build_space(&spaces[space]);
	built[space] = true;
	give_lock(flags);
	clear_data(space);
	return space;
}

void give_space(unsigned space)
{
	unsigned long flags = take_lock();

	if (!taken[space])
		panic("space %u is given back twice", space);
	taken[space] = false;
	give_lock(flags);
}

uint8_t *data_of_space(unsigned space)
{
	return spaces[space].data;
}

ONE_COPY uint64_t loaded_tables(void)
{
	return read_cr3();
}

ONE_COPY void load_tables(uint64_t tables)
{
	write_cr3(tables);
}

/* User mode's tables first: Xen flushes the TLB with the kernel's. */
void load_space(unsigned space)
{
	backend->set_user_table(frame_of(spaces[space].user_top));
	load_tables(frame_of(spaces[space].top) << PAGE_SHIFT);
}

static const uint64_t *find_table(unsigned space, uint64_t address)
{
	switch (address >> (PAGE_SHIFT + 9)) {
	case USER_TEXT >> (PAGE_SHIFT + 9):
		return shared.text_table;
	case USER_DATA >> (PAGE_SHIFT + 9):
		return spaces[space].data_table;
	case USER_LAST_PAGE >> (PAGE_SHIFT + 9):
		return shared.last_table;
	default:
		return NULL;
	}
}

ONE_COPY uint64_t user_page_entry(unsigned space, uint64_t address)
{
	const uint64_t *table = find_table(space, address);

	return table ? pte_val(table[index_at(TABLE, address)]) : 0;
}
