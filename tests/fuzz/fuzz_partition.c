/*
 * Partition tables. To get past the checksums, those of a GPT are made right before the second
 * look.
 */
#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "vmm/partition.h"

#define DISK_LEN 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return le32toh(value);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, 4);
}

static void seal(uint8_t *disk)
{
	uint8_t *header = disk + 512;
	uint64_t entries = 512 * (uint64_t)get32(header + 72);
	uint64_t entries_len = (uint64_t)get32(header + 80) * get32(header + 84);

	memcpy(header, "EFI PART", 8);
	if (entries <= DISK_LEN && entries_len <= DISK_LEN - entries)
		put32(header + 88, (uint32_t)crc32(0, disk + entries, (uInt)entries_len));
	put32(header + 16, 0);
	if (get32(header + 12) <= 512)
		put32(header + 16, (uint32_t)crc32(0, header, get32(header + 12)));
}

static void look(const uint8_t *disk, size_t len, uint32_t sector_len)
{
	struct partition_root found;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert(fd >= 0 && write(fd, disk, len) == (ssize_t)len);
	if (partition_find_root(fd, sector_len, "x86_64", &found) < 0)
		__builtin_trap();
	assert(found.has_table || found.number == 0);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t disk[DISK_LEN];

	if (len > DISK_LEN)
		len = DISK_LEN;
	memset(disk, 0, sizeof(disk));
	memcpy(disk, data, len);
	look(disk, len, 512);
	look(disk, len, 4096);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	seal(disk);
	look(disk, DISK_LEN, 512);
	return 0;
}
