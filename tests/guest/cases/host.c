/*
 * What a guest sees of a host that breaks: one case a run, the word do=NAME of the command line
 * picks it. Each prints what happened and goes on; the script that runs it knows what must have.
 */
#include <linux/virtio_net.h>

#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/net.h"

#define CHUNK_LEN     65536u
#define CHUNK_SECTORS (CHUNK_LEN / 512)
#define STATUS_DONE   7
#define TALK_LINES    200u
#define PATIENCE      (8 * VQ_TICKS) /* some ten seconds, and more */

static struct blk blk;
static uint8_t data[CHUNK_LEN] __attribute__((aligned(4096)));

/* So much of the program that it is mapped from its file, not copied. */
static uint8_t ballast[2 << 20] __attribute__((aligned(4096))) = { 1 };

static void open_disk(void)
{
	if (!blk_open(&blk, 0, 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES,
		      VQ_POLLED))
		guest_die("there is no disk");
}

static uint8_t disk_do(uint32_t type, uint64_t sector, uint32_t len)
{
	uint8_t status = blk_do(&blk, 0, type, sector, data, len);

	if (status == BLK_NO_ANSWER)
		guest_die("the disk does not answer");
	return status;
}

static void wait_for_byte(void)
{
	print("ready\n");
	while (serial_get(VQ_TICKS) < 0)
		;
}

/* Writes the whole disk, flushes, and reads it again. */
static void fill(void)
{
	unsigned written = 0, failed = 0, read = 0;

	open_disk();
	memset(data, 0x5a, sizeof(data));
	for (uint64_t at = 0; at + CHUNK_SECTORS <= blk.sectors; at += CHUNK_SECTORS)
		*(disk_do(VIRTIO_BLK_T_OUT, at, CHUNK_LEN) ? &failed : &written) += 1;
	print("flush %u\n", disk_do(VIRTIO_BLK_T_FLUSH, 0, 0));
	for (uint64_t at = 0; at + CHUNK_SECTORS <= blk.sectors; at += CHUNK_SECTORS)
		read += disk_do(VIRTIO_BLK_T_IN, at, CHUNK_LEN) == VIRTIO_BLK_S_OK;
	print("written %u failed %u read %u\n", written, failed, read);
}

/* Reads the disk's ends before and after something happens to it. */
static void ends(void)
{
	open_disk();
	for (unsigned i = 0; i < 2; i++) {
		uint8_t first = disk_do(VIRTIO_BLK_T_IN, 0, 4096);
		uint8_t last = disk_do(VIRTIO_BLK_T_IN, blk.sectors - 8, 4096);

		print("first %u last %u\n", first, last);
		if (i == 0)
			wait_for_byte();
	}
}

/* Waits for the disk to be of another size. */
static void size(void)
{
	uint64_t start = rdtsc(), now;

	open_disk();
	print("sectors %lu\nready\n", blk.sectors);
	do {
		now = virtio_config(&blk.dev, offsetof(struct virtio_blk_config, capacity), 8);
	} while (now == blk.sectors && rdtsc() - start < PATIENCE);
	print("sectors %lu\n", now);
	blk.sectors = now;
	print("last %u\n", disk_do(VIRTIO_BLK_T_IN, now - 8, 4096));
}

/* Says what becomes of the network's link, until it has changed as often as changes=N says. */
static void link(void)
{
	uint64_t changes = guest_cmdline_number("changes=", 1), start = rdtsc();
	const unsigned at = offsetof(struct virtio_net_config, status);
	static struct net net;
	uint64_t last;

	if (!net_open(&net, 0, 1ull << VIRTIO_NET_F_STATUS, VQ_POLLED))
		guest_die("there is no network");
	last = virtio_config(&net.dev, at, 2);
	print("link %lu\nready\n", last);
	while (changes && rdtsc() - start < PATIENCE) {
		uint64_t now = virtio_config(&net.dev, at, 2);

		if (now == last)
			continue;
		print("link %lu\n", now);
		last = now;
		changes--;
	}
}

/* Its own file is cut: a request with what is gone fails; where the device itself has to write
 * there is no going on. */
static void cut(void)
{
	uint8_t *lost = ballast + sizeof(ballast) - 4096;

	open_disk();
	wait_for_byte();
	print("write %u\n", blk_do(&blk, 0, VIRTIO_BLK_T_OUT, 0, lost, 4096));
	print("id %u\n", blk_do(&blk, 0, VIRTIO_BLK_T_GET_ID, 0, lost, 20));
}

static void talk(void)
{
	for (unsigned i = 0; i < TALK_LINES; i++)
		print("line %u of a guest that has a lot to say, and says it all\n", i);
}

static const struct {
	const char *word;
	void (*fn)(void);
} cases[] = {
	{ "do=fill", fill }, { "do=ends", ends },	   { "do=size", size }, { "do=link", link },
	{ "do=talk", talk }, { "do=wait", wait_for_byte }, { "do=cut", cut },
};

int guest_main(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!guest_cmdline_has(cases[i].word))
			continue;
		cases[i].fn();
		return STATUS_DONE;
	}
	guest_die("do what?");
}
