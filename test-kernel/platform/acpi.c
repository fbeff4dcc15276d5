/* SPDX-License-Identifier: MIT */
/* Section numbers are the ACPI specification's, 6.4. */
#include "acpi.h"
#include "native.h"

/* 5.2.5.3 */
struct root_pointer {
	char signature[8];
	uint8_t checksum;
	char maker[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
} __attribute__((packed));

/* 5.2.6; then entries of 4 (RSDT) or 8 bytes (XSDT). */
struct table {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
	uint8_t contents[];
} __attribute__((packed));

/* 5.2.12.2 */
struct local_apic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

/* 5.2.12.12 */
struct local_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags;
} __attribute__((packed));

enum {
	ROOT_POINTER_LENGTH = 20,     /* what its checksum covers */
	MADT_ENTRIES = 8,             /* behind address and flags */
	MADT_LOCAL_APIC = 0,
	MADT_LOCAL_X2APIC = 9,        /* under Xen of small ids, too */
	MADT_ENABLED = 1,
	NO_APIC_ID = 0xff,            /* all CPUs, as a destination */
	BIOS_START = 0xe0000, BIOS_END = 0x100000,
	EBDA_SEGMENT = 0x40e, EBDA_LENGTH = 1024,
};

uint64_t acpi_root_hint;

static bool begins_with(const char *here, const char *signature)
{
	while (*signature && *here == *signature) {
		here++;
		signature++;
	}
	return *signature == 0;
}

static bool is_root_pointer(const uint8_t *here)
{
	uint8_t sum = 0;

	if (!begins_with((const char *)here, "RSD PTR "))
		return false;
	for (unsigned i = 0; i < ROOT_POINTER_LENGTH; i++)
		sum = (uint8_t)(sum + here[i]);
	return sum == 0;
}

static const struct root_pointer *search_root_pointer(uint64_t start, uint64_t end)
{
	for (; start < end; start += 16)
		if (is_root_pointer(physical_pointer(start)))
			return physical_pointer(start);
	return NULL;
}

/* 5.2.5.1 */
static const struct root_pointer *find_root_pointer(void)
{
	const struct root_pointer *root;
	uint64_t ebda;

	if (acpi_root_hint)
		return search_root_pointer(acpi_root_hint, acpi_root_hint + 1);
	root = search_root_pointer(BIOS_START, BIOS_END);
	if (root)
		return root;
	ebda = (uint64_t)*(const volatile uint16_t *)physical_pointer(EBDA_SEGMENT) << 4;
	return search_root_pointer(ebda, ebda + EBDA_LENGTH);
}

static uint64_t read_pointer(const uint8_t *here, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)here[i] << 8 * i;
	return value;
}

/* The direct map ends at 4 GiB; a table above it might as well not be there. */
static const struct table *table_at(uint64_t physical)
{
	return physical != 0 && physical >> 32 == 0 ? physical_pointer(physical) : NULL;
}

static const struct table *search_table(const struct table *root, unsigned pointer_size,
					const char *signature)
{
	const uint8_t *here = root->contents, *end = (const uint8_t *)root + root->length;

	for (; here + pointer_size <= end; here += pointer_size) {
		const struct table *table = table_at(read_pointer(here, pointer_size));

		if (table && begins_with(table->signature, signature))
			return table;
	}
	return NULL;
}

static const struct table *find_table(const char *signature)
{
	const struct root_pointer *root = find_root_pointer();
	const struct table *xsdt = root && root->revision >= 2 ? table_at(root->xsdt) : NULL;

	if (xsdt)
		return search_table(xsdt, 8, signature);
	if (root && table_at(root->rsdt))
		return search_table(table_at(root->rsdt), 4, signature);
	return NULL;
}

/* Returns NO_APIC_ID for other entries, unusable CPUs and ids that only x2APIC mode
 * could address. */
static uint32_t apic_id_of(const uint8_t *entry)
{
	const struct local_apic *apic = (const void *)entry;
	const struct local_x2apic *x2apic = (const void *)entry;

	if (apic->type == MADT_LOCAL_APIC && (apic->flags & MADT_ENABLED) != 0)
		return apic->apic_id;
	if (x2apic->type == MADT_LOCAL_X2APIC && (x2apic->flags & MADT_ENABLED) != 0 &&
	    x2apic->apic_id < NO_APIC_ID)
		return x2apic->apic_id;
	return NO_APIC_ID;
}

unsigned list_apic_ids(uint8_t *ids, unsigned most)
{
	const struct table *madt = find_table("APIC");
	const uint8_t *here, *end;
	unsigned count = 0;

	if (!madt)
		return 0;
	here = madt->contents + MADT_ENTRIES;
	end = (const uint8_t *)madt + madt->length;
	while (here + 2 <= end && here[1] >= 2 && count < most) {
		uint32_t id = apic_id_of(here);

		if (id != NO_APIC_ID)
			ids[count++] = (uint8_t)id;
		here += here[1];
	}
	return count;
}
