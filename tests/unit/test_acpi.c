/* The ACPI tables say what the board has: checksums hold, and iasl can read them. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/layout.h"
#include "devices/power.h"
#include "tests/support/skip.h"

#define GPA	0xe0000ULL
#define BUF_LEN 0x10000

static_assert(ACPI_POWER_SLEEP_CONTROL == POWER_REG_SLEEP_CONTROL &&
		      ACPI_POWER_SLEEP_STATUS == POWER_REG_SLEEP_STATUS &&
		      ACPI_POWER_RESET == POWER_REG_RESET && ACPI_POWER_EVENT == POWER_REG_EVENT &&
		      ACPI_POWER_RESET_VALUE == POWER_RESET_VALUE,
	      "tables and device agree");

static const struct board_row full_rows[] = {
	{ BOARD_SERIAL, 0x3f8, 8, 4 },
	{ BOARD_RTC, 0x70, 2, 8 },
	{ BOARD_I8042, 0x60, 5, 1 },
	{ BOARD_PVPANIC, 0x505, 1, 0 },
	{ BOARD_DEBUG_EXIT, 0x501, 1, 0 },
	{ BOARD_POWER, 0x600, 8, 5 },
	{ BOARD_PCI_ECAM, 0xe0000000, 0x100000, 0 },
	{ BOARD_PCI_WINDOW, 0xc0000000, 0x20000000, 0 },
	{ BOARD_PCI_PORTS, 0xc000, 0x2000, 0 },
	{ BOARD_VIRTIO_MMIO, 0xe8000000, 0x1000, 10 },
	{ BOARD_VIRTIO_MMIO, 0xe8001000, 0x1000, 11 },
};

static const struct arch_board full = { .rows = full_rows,
					.row_count = ARRAY_SIZE(full_rows),
					.cpu_count = 4 };

static uint8_t buf[BUF_LEN];

static uint64_t get(const uint8_t *at, unsigned width)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < width; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static uint8_t sum(const uint8_t *at, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *at++);
	return s;
}

/* The table at a guest address, checked. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
	const uint8_t *table = buf + (gpa - GPA);

	assert_in_range(gpa, GPA, GPA + BUF_LEN - 36);
	assert_memory_equal(table, signature, 4);
	assert_in_range(get(table + 4, 4), 36, BUF_LEN);
	assert_int_equal(sum(table, get(table + 4, 4)), 0);
	return table;
}

/* The table that the XSDT lists under SIGNATURE, or NULL. */
static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table_at(get(buf + 24, 8), "XSDT");

	for (uint64_t at = 36; at < get(xsdt + 4, 4); at += 8) {
		const uint8_t *table = buf + (get(xsdt + at, 8) - GPA);

		if (!memcmp(table, signature, 4))
			return table_at(get(xsdt + at, 8), signature);
	}
	return NULL;
}

static const uint8_t *dsdt(void)
{
	return table_at(get(find("FACP") + 140, 8), "DSDT");
}

static void build(const struct arch_board *board)
{
	size_t len;

	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(acpi_build(buf, sizeof(buf), GPA, board, &len), 0);
	assert_in_range(len, 36, 4096);
}

/* What iasl makes of the DSDT, as text without white space to speak of. Skips without iasl. */
static void disassemble(char *text, size_t len)
{
	char dir[] = "/tmp/vmm-test-acpi.XXXXXX", command[256];
	const uint8_t *table = dsdt();
	FILE *file;

	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command), "%s/dsdt.aml", dir);
	file = fopen(command, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(table, get(table + 4, 4), 1, file), 1);
	fclose(file);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -we dsdt.dsl >>log 2>&1 && "
		 "tr -s ' \\n' ' ' <dsdt.dsl",
		 dir);
	file = popen(command, "r");
	assert_non_null(file);
	len = fread(text, 1, len - 1, file);
	text[len] = '\0';
	assert_int_equal(pclose(file), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void rsdp_has_both_checksums_and_leads_to_the_tables(void **state)
{
	(void)state;
	build(&full);
	assert_memory_equal(buf, "RSD PTR ", 8);
	assert_int_equal(sum(buf, 20), 0);
	assert_int_equal(sum(buf, 36), 0);
	assert_non_null(find("FACP"));
	assert_non_null(find("APIC"));
	assert_non_null(find("MCFG"));
	dsdt();
}

static void fadt_says_hardware_reduced_with_reset_and_sleep_registers(void **state)
{
	const uint8_t *fadt;

	(void)state;
	build(&full);
	fadt = find("FACP");
	assert_int_equal(get(fadt + 4, 4), 276);
	assert_int_equal(get(fadt + 112, 4) & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10);
	assert_int_equal(get(fadt + 120, 8), 0x602);
	assert_int_equal(fadt[128], POWER_RESET_VALUE);
	assert_int_equal(get(fadt + 248, 8), 0x600);
	assert_int_equal(get(fadt + 260, 8), 0x601);
	/* No VGA, no 8042 to probe, but a clock. */
	assert_int_equal(get(fadt + 109, 2) & (1 << 1 | 1 << 2 | 1 << 5), 1 << 2);
}

static void fadt_without_power_and_clock_does_not_name_them(void **state)
{
	const struct arch_board bare = { .cpu_count = 1 };
	const uint8_t *fadt;

	(void)state;
	build(&bare);
	fadt = find("FACP");
	assert_int_equal(get(fadt + 112, 4) & 1 << 10, 0);
	assert_int_equal(get(fadt + 248, 8), 0);
	assert_int_equal(get(fadt + 109, 2) & 1 << 5, 1 << 5);
	assert_null(find("MCFG"));
	assert_int_equal(get(dsdt() + 4, 4), 36);
}

static void madt_lists_every_cpu_and_one_ioapic(void **state)
{
	struct arch_board board = full;
	const uint8_t *madt;
	unsigned cpus = 0, ioapics = 0;

	(void)state;
	board.cpu_count = ARCH_CPUS_MAX;
	build(&board);
	madt = find("APIC");
	assert_int_equal(get(madt + 36, 4), LAYOUT_LAPIC_GPA);
	for (size_t at = 44; at < get(madt + 4, 4); at += madt[at + 1]) {
		assert_true(madt[at + 1] >= 6);
		if (madt[at] == 0) {
			assert_int_equal(madt[at + 3], cpus++);
			assert_int_equal(madt[at + 4], 1);
		} else if (madt[at] == 1) {
			assert_int_equal(get(madt + at + 4, 4), LAYOUT_IOAPIC_GPA);
			assert_int_equal(get(madt + at + 8, 4), 0);
			ioapics++;
		}
	}
	assert_int_equal(cpus, ARCH_CPUS_MAX);
	assert_int_equal(ioapics, 1);
}

static void mcfg_has_the_window_and_its_buses(void **state)
{
	const uint8_t *mcfg;

	(void)state;
	build(&full);
	mcfg = find("MCFG");
	assert_int_equal(get(mcfg + 44, 8), 0xe0000000);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], 0);
}

static void dsdt_reads_back_with_this_boards_addresses_and_interrupts(void **state)
{
	static const char *const expected[] = {
		"Name (\\_S5, Package (0x04)",
		"Device (COM1)",
		"0x03F8, // Range Minimum",
		"Device (RTC)",
		"0x0070, // Range Minimum",
		"QEMU0001",
		"0x0505, // Range Minimum",
		"ACPI0013",
		"OperationRegion (EREG, SystemIO, 0x0604, One)",
		"Notify (\\_SB.PWRB, 0x80)",
		"0x00000005, }",
		"0xC0000000, // Range Minimum 0xDFFFFFFF, // Range Maximum",
		"0x20000000, // Length",
		"0x0000, // Range Maximum 0x0000, // Translation Offset 0x0001, // Length",
		"0xE0000000, // Address Base 0x00100000, // Address Length",
		"Device (VM00)",
		"Device (VM01)",
		"0xE8001000, // Address Base 0x00001000, // Address Length",
		"0x0000000B, }",
	};
	static char text[1 << 16];

	(void)state;
	if (access("/usr/bin/iasl", X_OK))
		skip_because("no /usr/bin/iasl");
	build(&full);
	disassemble(text, sizeof(text));
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		if (!strstr(text, expected[i]))
			fail_msg("no \"%s\" in: %.4000s", expected[i], strstr(text, "{"));
	/* Nothing that should have been replaced is left. */
	assert_null(strstr(text, "5AC5"));
	assert_null(strstr(text, "C4C4C4C4"));
	assert_null(strstr(text, "VMXX"));
}

static void dsdt_has_only_what_the_board_has(void **state)
{
	const struct board_row rows[] = { { BOARD_SERIAL, 0x3f8, 8, 4 } };
	const struct arch_board board = { .rows = rows, .row_count = 1, .cpu_count = 1 };
	static char text[1 << 16];

	(void)state;
	if (access("/usr/bin/iasl", X_OK))
		skip_because("no /usr/bin/iasl");
	build(&board);
	disassemble(text, sizeof(text));
	assert_non_null(strstr(text, "COM1"));
	assert_null(strstr(text, "PNP0A08"));
	assert_null(strstr(text, "ACPI0013"));
	assert_null(strstr(text, "LNRO0005"));
}

static void a_row_beyond_its_address_width_is_refused(void **state)
{
	const struct board_row bad[] = {
		{ BOARD_SERIAL, 0x10000, 8, 4 },
		{ BOARD_VIRTIO_MMIO, 0x100000000, 0x1000, 10 },
		{ BOARD_VIRTIO_MMIO, 0xfffff000, 0x2000, 10 },
		{ BOARD_VIRTIO_MMIO, 0xe8000000, 0, 10 },
		{ BOARD_PCI_ECAM, 0xe0000000, 0x100000, 0 }, /* no window beside it */
	};
	size_t len;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct arch_board board = { .rows = &bad[i], .row_count = 1, .cpu_count = 1 };

		assert_int_equal(acpi_build(buf, sizeof(buf), GPA, &board, &len), -EINVAL);
	}
}

static void every_buffer_that_is_too_small_is_refused_untouched_beyond(void **state)
{
	size_t need, len;

	(void)state;
	assert_int_equal(acpi_build(buf, sizeof(buf), GPA, &full, &need), 0);
	for (size_t have = 0; have < need; have++) {
		buf[have] = 0x5a;
		assert_int_equal(acpi_build(buf, have, GPA, &full, &len), -ENOSPC);
		assert_int_equal(buf[have], 0x5a);
	}
	assert_int_equal(acpi_build(buf, need, GPA, &full, &len), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsdp_has_both_checksums_and_leads_to_the_tables),
		cmocka_unit_test(fadt_says_hardware_reduced_with_reset_and_sleep_registers),
		cmocka_unit_test(fadt_without_power_and_clock_does_not_name_them),
		cmocka_unit_test(madt_lists_every_cpu_and_one_ioapic),
		cmocka_unit_test(mcfg_has_the_window_and_its_buses),
		cmocka_unit_test(dsdt_reads_back_with_this_boards_addresses_and_interrupts),
		cmocka_unit_test(dsdt_has_only_what_the_board_has),
		cmocka_unit_test(a_row_beyond_its_address_width_is_refused),
		cmocka_unit_test(every_buffer_that_is_too_small_is_refused_untouched_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
