/* The kernel is told the truth about where things lie, in the format of its entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"
#include "vmm/log.h"

static struct guest_mem mem;

static const struct boot_ram_entry rows[] = {
	{ 0, LAYOUT_LOW_RAM_END, BOOT_RAM_USABLE },
	{ LAYOUT_ACPI_GPA, LAYOUT_ACPI_LEN, BOOT_RAM_RESERVED },
	{ 0x100000000, 0x123400000, BOOT_RAM_USABLE },
};

static int setup(void **state)
{
	(void)state;
	return guest_mem_add(&mem, 0, 16 << 20);
}

static int teardown(void **state)
{
	(void)state;
	guest_mem_fini(&mem);
	return 0;
}

static const struct arch_boot linux_boot = {
	.entry = ARCH_ENTRY_ELF,
	.kernel_gpa = 0x1000000,
	.initrd_gpa = 0x123400000,
	.initrd_len = 0x180000001,
	.cmdline_gpa = LAYOUT_CMDLINE_GPA,
	.info_gpa = LAYOUT_ZERO_PAGE_GPA,
};

static const struct arch_boot pvh_boot = {
	.entry = ARCH_ENTRY_PVH,
	.initrd_gpa = 0xe00000,
	.initrd_len = 0x1234,
	.cmdline_gpa = LAYOUT_CMDLINE_GPA,
	.info_gpa = LAYOUT_PVH_INFO_GPA,
};

static const struct boot_params *zero_page(void)
{
	return guest_mem_ptr(&mem, LAYOUT_ZERO_PAGE_GPA, 4096);
}

static void write_without_header_makes_one_up(void **state)
{
	const struct boot_params *params = zero_page();

	(void)state;
	assert_int_equal(boot_params_write(&mem, &linux_boot, NULL), 0);
	assert_int_equal(params->hdr.header, 0x53726448);
	assert_int_equal(params->hdr.boot_flag, 0xaa55);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_true(params->hdr.loadflags & LOADED_HIGH);
	assert_int_equal(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE_GPA);
	assert_int_equal(params->sentinel, 0);
}

static void write_splits_initrd_into_both_halves(void **state)
{
	const struct boot_params *params = zero_page();

	(void)state;
	assert_int_equal(boot_params_write(&mem, &linux_boot, NULL), 0);
	assert_int_equal(params->hdr.ramdisk_image, 0x23400000);
	assert_int_equal(params->ext_ramdisk_image, 1);
	assert_int_equal(params->hdr.ramdisk_size, 0x80000001);
	assert_int_equal(params->ext_ramdisk_size, 1);
}

static void write_keeps_the_header_but_no_foreign_pointer(void **state)
{
	const struct boot_params *params = zero_page();
	struct setup_header hdr = { .header = 0x53726448,
				    .version = 0x020c,
				    .setup_data = 0xdeadbeef,
				    .cmd_line_ptr = 0xdeadbeef,
				    .ramdisk_image = 0xdeadbeef,
				    .init_size = 0x2000000 };

	(void)state;
	assert_int_equal(boot_params_write(&mem, &linux_boot, &hdr), 0);
	assert_int_equal(params->hdr.version, 0x020c);
	assert_int_equal(params->hdr.init_size, 0x2000000);
	assert_int_equal(params->hdr.setup_data, 0);
	assert_int_equal(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE_GPA);
	assert_int_equal(params->hdr.ramdisk_image, 0x23400000);
}

static void write_says_where_there_is_no_memory(void **state)
{
	struct arch_boot boot = linux_boot;

	(void)state;
	boot.info_gpa = (16 << 20) - 4095;
	assert_int_equal(boot_params_write(&mem, &boot, NULL), -EFAULT);
	assert_int_equal(boot_info_write_memory_map(&mem, &boot, rows, 3, 0), -EFAULT);
}

static void memory_map_goes_to_the_zero_page(void **state)
{
	const struct boot_params *params = zero_page();

	(void)state;
	assert_int_equal(boot_params_write(&mem, &linux_boot, NULL), 0);
	assert_int_equal(boot_info_write_memory_map(&mem, &linux_boot, rows, 3, 0xe0000), 0);
	assert_int_equal(params->acpi_rsdp_addr, 0xe0000);
	assert_int_equal(params->e820_entries, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(params->e820_table[i].addr, rows[i].gpa);
		assert_int_equal(params->e820_table[i].size, rows[i].len);
		assert_int_equal(params->e820_table[i].type, rows[i].type);
	}
}

/* Read by offset, as the guest does: what the specification says, not what our structs say. */
static uint64_t pvh64(uint64_t offset)
{
	uint64_t value;

	assert_int_equal(guest_mem_read(&mem, offset, &value, 8), 0);
	return value;
}

static uint32_t pvh32(uint64_t offset)
{
	return (uint32_t)pvh64(offset);
}

static void pvh_start_info_is_as_specified(void **state)
{
	const gpa_t info = LAYOUT_PVH_INFO_GPA;
	gpa_t map;

	(void)state;
	assert_int_equal(boot_params_write(&mem, &pvh_boot, NULL), 0);
	assert_int_equal(boot_info_write_memory_map(&mem, &pvh_boot, rows, 3, 0xe1000), 0);
	assert_int_equal(pvh32(info), 0x336ec578);
	assert_int_equal(pvh32(info + 4), 1);
	assert_int_equal(pvh32(info + 12), 1);
	assert_int_equal(pvh64(pvh64(info + 16)), 0xe00000);
	assert_int_equal(pvh64(pvh64(info + 16) + 8), 0x1234);
	assert_int_equal(pvh64(info + 24), LAYOUT_CMDLINE_GPA);
	assert_int_equal(pvh64(info + 32), 0xe1000);
	assert_int_equal(pvh32(info + 48), 3);
	map = pvh64(info + 40);
	assert_int_equal(pvh64(map + 24 * 2), 0x100000000);
	assert_int_equal(pvh64(map + 24 * 2 + 8), 0x123400000);
	assert_int_equal(pvh32(map + 24 + 16), BOOT_RAM_RESERVED);
}

static void pvh_without_initrd_has_no_module(void **state)
{
	struct arch_boot boot = pvh_boot;

	(void)state;
	boot.initrd_gpa = boot.initrd_len = 0;
	assert_int_equal(boot_params_write(&mem, &boot, NULL), 0);
	assert_int_equal(pvh32(LAYOUT_PVH_INFO_GPA + 12), 0);
	assert_int_equal(pvh64(LAYOUT_PVH_INFO_GPA + 16), 0);
}

static void memory_map_takes_as_many_rows_as_it_says(void **state)
{
	struct boot_ram_entry many[BOOT_RAM_ENTRIES_MAX + 1] = { 0 };
	const struct arch_boot *const boots[] = { &linux_boot, &pvh_boot };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
			boot_info_write_memory_map(&mem, boots[i], many, BOOT_RAM_ENTRIES_MAX, 0),
			0);
		assert_int_equal(boot_info_write_memory_map(&mem, boots[i], many,
							    BOOT_RAM_ENTRIES_MAX + 1, 0),
				 -E2BIG);
	}
}

static void cmdline_is_written_whole_or_refused(void **state)
{
	char text[LAYOUT_CMDLINE_LEN + 1];

	(void)state;
	assert_int_equal(boot_cmdline_write(&mem, "root=/dev/vda", 13), 0);
	assert_string_equal(guest_mem_ptr(&mem, LAYOUT_CMDLINE_GPA, 14), "root=/dev/vda");
	assert_int_equal(boot_cmdline_write(&mem, "root=/dev/vda", 12), -E2BIG);
	memset(text, 'x', sizeof(text));
	text[LAYOUT_CMDLINE_LEN] = '\0';
	assert_int_equal(boot_cmdline_write(&mem, text, UINT64_MAX), -E2BIG);
	text[LAYOUT_CMDLINE_LEN - 1] = '\0';
	assert_int_equal(boot_cmdline_write(&mem, text, UINT64_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(write_without_header_makes_one_up, setup, teardown),
		cmocka_unit_test_setup_teardown(write_splits_initrd_into_both_halves, setup,
						teardown),
		cmocka_unit_test_setup_teardown(write_keeps_the_header_but_no_foreign_pointer,
						setup, teardown),
		cmocka_unit_test_setup_teardown(write_says_where_there_is_no_memory, setup,
						teardown),
		cmocka_unit_test_setup_teardown(memory_map_goes_to_the_zero_page, setup, teardown),
		cmocka_unit_test_setup_teardown(pvh_start_info_is_as_specified, setup, teardown),
		cmocka_unit_test_setup_teardown(pvh_without_initrd_has_no_module, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_map_takes_as_many_rows_as_it_says, setup,
						teardown),
		cmocka_unit_test_setup_teardown(cmdline_is_written_whole_or_refused, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
