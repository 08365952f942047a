/*
 * GPT and MBR reader. The disk is somebody's file and may say anything: all counts are bounded,
 * and nothing read decides how much is read. Called by config_finish on the main thread.
 */
#include "vmm/partition.h"

#include <endian.h>
#include <string.h>
#include <zlib.h>

#define SECTOR_MAX	4096
#define GPT_ENTRIES_MAX 1024
#define GPT_ENTRY_MAX	512
#define MBR_TABLE	446
#define MBR_LINUX	0x83
#define MBR_PROTECTIVE	0xee
#define LOGICAL_MAX	60

struct gpt_header {
	uint8_t signature[8];
	uint32_t revision;
	uint32_t header_len;
	uint32_t header_crc;
	uint32_t reserved;
	uint64_t my_lba;
	uint64_t alternate_lba;
	uint64_t first_usable_lba;
	uint64_t last_usable_lba;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entry_count;
	uint32_t entry_len;
	uint32_t entries_crc;
} __attribute__((packed));

struct gpt_entry {
	uint8_t type[16];
	uint8_t guid[16];
	uint64_t first_lba;
	uint64_t last_lba;
	uint64_t attributes;
	uint8_t name[72];
} __attribute__((packed));

struct mbr_entry {
	uint8_t status;
	uint8_t chs_first[3];
	uint8_t type;
	uint8_t chs_last[3];
	uint32_t first_lba;
	uint32_t count;
} __attribute__((packed));

/* GUIDs as they lie on the disk: the first three parts little-endian. */
static const struct root_type {
	const char *machine;
	uint8_t guid[16];
} root_types[] = {
	/* 4f68bce3-e8cd-4db1-96e7-fbcaf984b709 */
	{ "x86_64",
	  { 0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84,
	    0xb7, 0x09 } },
	/* b921b045-1df0-41c3-af44-4c6f280d3fae */
	{ "aarch64",
	  { 0x45, 0xb0, 0x21, 0xb9, 0xf0, 0x1d, 0xc3, 0x41, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d,
	    0x3f, 0xae } },
};

/* 0fc63daf-8483-4772-8e79-3d69d8477de4 */
static const uint8_t linux_type[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
					0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

/* The best so far: by rank, then by size. */
struct candidate {
	unsigned number;
	unsigned rank;
	uint64_t len;
};

static void consider(struct candidate *best, unsigned number, unsigned rank, uint64_t len)
{
	if (rank == 0 || rank < best->rank || (rank == best->rank && len <= best->len))
		return;
	*best = (struct candidate){ .number = number, .rank = rank, .len = len };
}

/* 1 when LEN bytes were there, 0 when the disk ends before, -errno. */
static int read_at(int fd, uint64_t offset, void *buf, size_t len)
{
	size_t done = 0;

	if (offset > INT64_MAX - len)
		return 0;
	while (done < len) {
		ssize_t got = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		done += (size_t)got;
	}
	return 1;
}

static unsigned gpt_rank(const uint8_t type[16], const char *machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(root_types); i++) {
		if (strcmp(root_types[i].machine, machine) == 0 &&
		    memcmp(type, root_types[i].guid, 16) == 0)
			return 2;
	}
	return memcmp(type, linux_type, 16) == 0 ? 1 : 0;
}

static bool gpt_header_valid(const uint8_t *sector, uint32_t sector_len, struct gpt_header *header)
{
	uint8_t copy[SECTOR_MAX];
	uint32_t header_len;

	memcpy(header, sector, sizeof(*header));
	header_len = le32toh(header->header_len);
	if (memcmp(header->signature, "EFI PART", 8) != 0 || header_len < sizeof(*header) ||
	    header_len > sector_len || le64toh(header->my_lba) != 1)
		return false;
	memcpy(copy, sector, header_len);
	memset(copy + offsetof(struct gpt_header, header_crc), 0, 4);
	if (crc32(0, copy, header_len) != le32toh(header->header_crc))
		return false;
	return le32toh(header->entry_len) >= sizeof(struct gpt_entry) &&
	       le32toh(header->entry_len) <= GPT_ENTRY_MAX &&
	       le32toh(header->entry_count) <= GPT_ENTRIES_MAX &&
	       le64toh(header->entries_lba) <= UINT64_MAX / SECTOR_MAX / 2;
}

/* 1 when the table is whole and BEST was set, 0 when it is damaged, -errno. */
static int gpt_read_entries(int fd, uint32_t sector_len, const struct gpt_header *header,
			    const char *machine, struct candidate *best)
{
	uint64_t offset = le64toh(header->entries_lba) * sector_len;
	uint32_t entry_len = le32toh(header->entry_len);
	uint8_t buf[GPT_ENTRY_MAX];
	uLong crc = crc32(0, NULL, 0);

	for (uint32_t i = 0; i < le32toh(header->entry_count); i++, offset += entry_len) {
		struct gpt_entry entry;
		uint64_t first;
		uint64_t last;
		int ret = read_at(fd, offset, buf, entry_len);

		if (ret <= 0)
			return ret;
		crc = crc32(crc, buf, entry_len);
		memcpy(&entry, buf, sizeof(entry));
		first = le64toh(entry.first_lba);
		last = le64toh(entry.last_lba);
		if (last >= first)
			consider(best, i + 1, gpt_rank(entry.type, machine), last - first + 1);
	}
	return crc == le32toh(header->entries_crc);
}

static int gpt_find(int fd, uint32_t sector_len, const char *machine, struct candidate *best)
{
	uint8_t sector[SECTOR_MAX];
	struct gpt_header header;
	int ret = read_at(fd, sector_len, sector, sector_len);

	if (ret <= 0)
		return ret;
	if (!gpt_header_valid(sector, sector_len, &header))
		return 0;
	return gpt_read_entries(fd, sector_len, &header, machine, best);
}

/* False when SECTOR ends in no MBR signature, or is a file system's boot sector. */
static bool mbr_entries(const uint8_t *sector, struct mbr_entry entries[4])
{
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return false;
	memcpy(entries, sector + MBR_TABLE, 4 * sizeof(entries[0]));
	for (unsigned i = 0; i < 4; i++) {
		if (entries[i].status & 0x7f)
			return false;
	}
	return true;
}

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* Follows the chain of logical partitions, numbered from 5. 0 or -errno. */
static int mbr_walk_logical(int fd, uint32_t sector_len, uint32_t extended_lba,
			    struct candidate *best)
{
	uint64_t lba = extended_lba;
	unsigned number = 5;

	for (unsigned i = 0; i < LOGICAL_MAX; i++) {
		struct mbr_entry entries[4];
		uint8_t sector[512];
		int ret = read_at(fd, lba * sector_len, sector, sizeof(sector));

		if (ret < 0)
			return ret;
		if (ret == 0 || !mbr_entries(sector, entries))
			return 0;
		if (entries[0].count)
			consider(best, number++, entries[0].type == MBR_LINUX,
				 le32toh(entries[0].count));
		if (!is_extended(entries[1].type) || entries[1].first_lba == 0)
			return 0;
		lba = (uint64_t)extended_lba + le32toh(entries[1].first_lba);
	}
	return 0;
}

static int mbr_find(int fd, uint32_t sector_len, const struct mbr_entry entries[4],
		    struct candidate *best)
{
	for (unsigned i = 0; i < 4; i++) {
		int ret = 0;

		if (!entries[i].count)
			continue;
		consider(best, i + 1, entries[i].type == MBR_LINUX, le32toh(entries[i].count));
		if (is_extended(entries[i].type))
			ret = mbr_walk_logical(fd, sector_len, le32toh(entries[i].first_lba), best);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int partition_find_root(int fd, uint32_t sector_len, const char *machine,
			struct partition_root *out)
{
	struct candidate best = { 0 };
	struct mbr_entry entries[4];
	uint8_t sector[512];
	bool protective = false;
	bool any = false;
	int ret;

	*out = (struct partition_root){ 0 };
	if (sector_len != 512 && sector_len != SECTOR_MAX)
		return -EINVAL;
	ret = read_at(fd, 0, sector, sizeof(sector));
	if (ret < 0)
		return ret;
	if (ret == 0 || !mbr_entries(sector, entries))
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		protective |= entries[i].type == MBR_PROTECTIVE;
		any |= entries[i].type != 0 && entries[i].count != 0;
	}
	if (protective) {
		ret = gpt_find(fd, sector_len, machine, &best);
		if (ret == 0)
			best = (struct candidate){ 0 };
		out->has_table = ret > 0;
	} else if (any) {
		ret = mbr_find(fd, sector_len, entries, &best);
		out->has_table = true;
	}
	out->number = best.number;
	return ret < 0 ? ret : 0;
}
