/* The Linux root partition is found where a Linux guest would find it, and forged tables do no
 * harm. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <zlib.h>

#include "vmm/partition.h"

#define DISK_LEN (1u << 20)

static const uint8_t type_efi[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
				      0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };
static const uint8_t type_linux[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
					0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };
static const uint8_t type_x86_root[16] = { 0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d,
					   0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09 };

static uint8_t disk[DISK_LEN];

static struct partition_root find(const char *machine)
{
	struct partition_root found;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, disk, DISK_LEN), DISK_LEN);
	assert_int_equal(partition_find_root(fd, 512, machine, &found), 0);
	close(fd);
	return found;
}

static void put32(size_t at, uint32_t value)
{
	value = htole32(value);
	memcpy(disk + at, &value, 4);
}

static void mbr_entry(size_t sector, unsigned index, uint8_t type, uint32_t first, uint32_t count)
{
	size_t at = sector * 512 + 446 + 16 * index;

	disk[at + 4] = type;
	put32(at + 8, first);
	put32(at + 12, count);
	disk[sector * 512 + 510] = 0x55;
	disk[sector * 512 + 511] = 0xaa;
}

static void gpt_entry(unsigned index, const uint8_t type[16], uint32_t first, uint32_t last)
{
	size_t at = 1024 + 128 * index;

	memcpy(disk + at, type, 16);
	put32(at + 32, first);
	put32(at + 40, last);
}

/* Makes the header over the entries put so far. */
static void gpt_seal(uint32_t entry_count)
{
	mbr_entry(0, 0, 0xee, 1, 2047);
	memcpy(disk + 512, "EFI PART", 8);
	put32(512 + 8, 0x10000);
	put32(512 + 12, 92);
	put32(512 + 24, 1);
	put32(512 + 72, 2);
	put32(512 + 80, entry_count);
	put32(512 + 84, 128);
	put32(512 + 88, (uint32_t)crc32(0, disk + 1024, 128 * entry_count));
	put32(512 + 16, 0);
	put32(512 + 16, (uint32_t)crc32(0, disk + 512, 92));
}

static int clear(void **state)
{
	(void)state;
	memset(disk, 0, sizeof(disk));
	return 0;
}

static void a_disk_without_a_table_is_one_file_system(void **state)
{
	(void)state;
	assert_false(find("x86_64").has_table);
	assert_int_equal(find("x86_64").number, 0);
}

static void a_boot_sector_of_a_file_system_is_no_table(void **state)
{
	(void)state;
	memset(disk + 446, 'x', 64);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	assert_false(find("x86_64").has_table);
}

static void gpt_prefers_the_root_type_of_the_machine(void **state)
{
	(void)state;
	gpt_entry(0, type_efi, 64, 127);
	gpt_entry(1, type_linux, 128, 1500);
	gpt_entry(13, type_x86_root, 1600, 1700);
	gpt_seal(128);
	assert_true(find("x86_64").has_table);
	assert_int_equal(find("x86_64").number, 14);
	assert_int_equal(find("aarch64").number, 2);
}

static void gpt_takes_the_largest_linux_partition(void **state)
{
	(void)state;
	gpt_entry(0, type_linux, 64, 100);
	gpt_entry(2, type_linux, 200, 900);
	gpt_entry(3, type_linux, 1000, 1200);
	gpt_seal(4);
	assert_int_equal(find("x86_64").number, 3);
}

static void gpt_without_linux_names_none(void **state)
{
	(void)state;
	gpt_entry(0, type_efi, 64, 127);
	gpt_seal(128);
	assert_true(find("x86_64").has_table);
	assert_int_equal(find("x86_64").number, 0);
}

static void a_damaged_gpt_counts_as_none(void **state)
{
	(void)state;
	gpt_entry(0, type_linux, 64, 127);
	gpt_seal(128);
	disk[1024 + 56] ^= 1; /* an entry's name: the entries' checksum fails */
	assert_false(find("x86_64").has_table);
	disk[1024 + 56] ^= 1;
	assert_int_equal(find("x86_64").number, 1);
	disk[512 + 56] ^= 1; /* the disk's GUID: the header's checksum fails */
	assert_false(find("x86_64").has_table);
}

static void a_gpt_whose_entries_lie_beyond_the_disk_counts_as_none(void **state)
{
	(void)state;
	gpt_seal(128);
	put32(512 + 72, 0x7fffffff);
	put32(512 + 16, 0);
	put32(512 + 16, (uint32_t)crc32(0, disk + 512, 92));
	assert_false(find("x86_64").has_table);
}

static void a_gpt_with_more_entries_than_allowed_counts_as_none(void **state)
{
	(void)state;
	gpt_seal(1024);
	assert_true(find("x86_64").has_table);
	put32(512 + 80, 0xffffffff);
	put32(512 + 16, 0);
	put32(512 + 16, (uint32_t)crc32(0, disk + 512, 92));
	assert_false(find("x86_64").has_table);
}

static void a_gpt_without_protective_mbr_is_not_seen(void **state)
{
	(void)state;
	gpt_entry(0, type_linux, 64, 127);
	gpt_seal(128);
	disk[510] = 0;
	assert_false(find("x86_64").has_table);
}

static void mbr_takes_the_largest_linux_partition(void **state)
{
	(void)state;
	mbr_entry(0, 0, 0x0c, 1, 1900);
	mbr_entry(0, 1, 0x83, 100, 50);
	mbr_entry(0, 3, 0x83, 200, 60);
	assert_true(find("x86_64").has_table);
	assert_int_equal(find("x86_64").number, 4);
}

static void mbr_follows_logical_partitions(void **state)
{
	(void)state;
	mbr_entry(0, 0, 0x82, 1, 10);
	mbr_entry(0, 1, 0x05, 100, 1000);
	mbr_entry(100, 0, 0x82, 1, 10);
	mbr_entry(100, 1, 0x05, 50, 100);
	mbr_entry(150, 0, 0x83, 1, 99);
	assert_int_equal(find("x86_64").number, 6);
}

static void a_loop_of_logical_partitions_ends(void **state)
{
	(void)state;
	mbr_entry(0, 0, 0x0f, 100, 1000);
	mbr_entry(100, 0, 0x82, 1, 10);
	mbr_entry(100, 1, 0x05, 50, 100);
	mbr_entry(150, 0, 0x82, 1, 10);
	mbr_entry(150, 1, 0x05, 50, 100);
	assert_true(find("x86_64").has_table);
	assert_int_equal(find("x86_64").number, 0);
}

static void an_empty_file_has_no_table(void **state)
{
	struct partition_root found;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(partition_find_root(fd, 512, "x86_64", &found), 0);
	assert_false(found.has_table);
	close(fd);
	assert_int_equal(partition_find_root(fd, 512, "x86_64", &found), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_disk_without_a_table_is_one_file_system, clear),
		cmocka_unit_test_setup(a_boot_sector_of_a_file_system_is_no_table, clear),
		cmocka_unit_test_setup(gpt_prefers_the_root_type_of_the_machine, clear),
		cmocka_unit_test_setup(gpt_takes_the_largest_linux_partition, clear),
		cmocka_unit_test_setup(gpt_without_linux_names_none, clear),
		cmocka_unit_test_setup(a_damaged_gpt_counts_as_none, clear),
		cmocka_unit_test_setup(a_gpt_whose_entries_lie_beyond_the_disk_counts_as_none,
				       clear),
		cmocka_unit_test_setup(a_gpt_with_more_entries_than_allowed_counts_as_none, clear),
		cmocka_unit_test_setup(a_gpt_without_protective_mbr_is_not_seen, clear),
		cmocka_unit_test_setup(mbr_takes_the_largest_linux_partition, clear),
		cmocka_unit_test_setup(mbr_follows_logical_partitions, clear),
		cmocka_unit_test_setup(a_loop_of_logical_partitions_ends, clear),
		cmocka_unit_test_setup(an_empty_file_has_no_table, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
