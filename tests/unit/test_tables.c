/* The memory map, and what lies at the places that a guest looks at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

static const struct board_row rows[] = {
	{ BOARD_POWER, 0x600, 8, 5 },
	{ BOARD_PCI_ECAM, LAYOUT_PCI_ECAM_GPA, LAYOUT_PCI_ECAM_LEN, 0 },
	{ BOARD_PCI_WINDOW, LAYOUT_PCI_WINDOW_GPA, LAYOUT_PCI_WINDOW_LEN, 0 },
	{ BOARD_PCI_PORTS, LAYOUT_PCI_PORT, LAYOUT_PCI_PORT_LEN, 0 },
};

/* The memory map that a machine of MEMORY_LEN gets; e820 entries copied to ENTRIES. */
static unsigned memory_map(uint64_t memory_len, unsigned row_count, struct boot_e820_entry *entries)
{
	const struct arch_board board = { .rows = rows, .row_count = row_count, .cpu_count = 1 };
	struct arch_boot boot = { .entry = ARCH_ENTRY_ELF, .info_gpa = LAYOUT_ZERO_PAGE_GPA };
	struct arch_ram_layout layout;
	struct guest_mem mem = { 0 };
	const struct boot_params *params;
	unsigned count;
	uint8_t vector[3];

	assert_int_equal(arch_ram_layout(memory_len, &layout), 0);
	for (unsigned i = 0; i < layout.range_count; i++)
		assert_int_equal(guest_mem_add(&mem, layout.ranges[i].gpa, layout.ranges[i].len),
				 0);
	assert_int_equal(boot_params_write(&mem, &boot, NULL), 0);
	assert_int_equal(arch_write_tables(&mem, &board, &boot), 0);
	assert_int_equal(boot.tables_gpa, LAYOUT_ACPI_GPA);
	params = guest_mem_ptr(&mem, LAYOUT_ZERO_PAGE_GPA, sizeof(*params));
	assert_int_equal(params->acpi_rsdp_addr, LAYOUT_ACPI_GPA);
	count = params->e820_entries;
	memcpy(entries, params->e820_table, count * sizeof(*entries));
	assert_memory_equal(guest_mem_ptr(&mem, LAYOUT_ACPI_GPA, 8), "RSD PTR ", 8);
	assert_memory_equal(guest_mem_ptr(&mem, LAYOUT_SMBIOS_GPA, 5), "_SM3_", 5);
	/* mov dx, port of the reset register */
	assert_int_equal(guest_mem_read(&mem, LAYOUT_RESET_VECTOR_GPA + 2, vector, 3), 0);
	assert_memory_equal(vector, "\xba\x02\x06", 3);
	guest_mem_fini(&mem);
	return count;
}

static uint64_t usable(const struct boot_e820_entry *entries, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		if (entries[i].type == BOOT_RAM_USABLE)
			sum += entries[i].size;
	return sum;
}

static const struct boot_e820_entry *entry_at(const struct boot_e820_entry *entries, unsigned count,
					      uint64_t addr)
{
	for (unsigned i = 0; i < count; i++)
		if (addr >= entries[i].addr && addr - entries[i].addr < entries[i].size)
			return &entries[i];
	return NULL;
}

static void all_memory_but_the_first_megabytes_hole_is_usable(void **state)
{
	struct boot_e820_entry entries[BOOT_RAM_ENTRIES_MAX];
	unsigned count = memory_map(256 * MIB, ARRAY_SIZE(rows), entries);

	(void)state;
	assert_int_equal(usable(entries, count), 256 * MIB - (MIB - LAYOUT_LOW_RAM_END));
	assert_int_equal(entry_at(entries, count, 0x100000)->size, 255 * MIB);
	assert_null(entry_at(entries, count, 256 * MIB));
	assert_null(entry_at(entries, count, 4 * GIB));
}

static void memory_past_the_hole_is_a_row_of_its_own(void **state)
{
	struct boot_e820_entry entries[BOOT_RAM_ENTRIES_MAX];
	unsigned count = memory_map(5 * GIB, ARRAY_SIZE(rows), entries);

	(void)state;
	assert_int_equal(usable(entries, count), 5 * GIB - (MIB - LAYOUT_LOW_RAM_END));
	assert_int_equal(entry_at(entries, count, 4 * GIB)->size, 2 * GIB);
	assert_null(entry_at(entries, count, LAYOUT_HOLE_GPA));
}

static void rows_are_ascending_and_do_not_overlap(void **state)
{
	struct boot_e820_entry entries[BOOT_RAM_ENTRIES_MAX];
	unsigned count = memory_map(5 * GIB, ARRAY_SIZE(rows), entries);

	(void)state;
	for (unsigned i = 1; i < count; i++)
		assert_true(entries[i].addr >= entries[i - 1].addr + entries[i - 1].size);
}

static void tables_ecam_and_kvms_pages_are_not_usable(void **state)
{
	static const uint64_t reserved[] = { LAYOUT_SMBIOS_GPA, LAYOUT_RESET_VECTOR_GPA,
					     LAYOUT_PCI_ECAM_GPA, LAYOUT_IDENTITY_MAP_GPA,
					     LAYOUT_TSS_GPA + 0x2fff };
	struct boot_e820_entry entries[BOOT_RAM_ENTRIES_MAX];
	unsigned count = memory_map(256 * MIB, ARRAY_SIZE(rows), entries);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(reserved); i++)
		assert_int_equal(entry_at(entries, count, reserved[i])->type, BOOT_RAM_RESERVED);
	assert_int_equal(entry_at(entries, count, LAYOUT_ACPI_GPA)->type, BOOT_RAM_ACPI);
	/* A BAR window is for the guest to give away. */
	assert_null(entry_at(entries, count, LAYOUT_PCI_WINDOW_GPA));
}

static void without_pci_nothing_is_reserved_for_it(void **state)
{
	struct boot_e820_entry entries[BOOT_RAM_ENTRIES_MAX];
	unsigned count = memory_map(256 * MIB, 1, entries);

	(void)state;
	assert_null(entry_at(entries, count, LAYOUT_PCI_ECAM_GPA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_memory_but_the_first_megabytes_hole_is_usable),
		cmocka_unit_test(memory_past_the_hole_is_a_row_of_its_own),
		cmocka_unit_test(rows_are_ascending_and_do_not_overlap),
		cmocka_unit_test(tables_ecam_and_kvms_pages_are_not_usable),
		cmocka_unit_test(without_pci_nothing_is_reserved_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
