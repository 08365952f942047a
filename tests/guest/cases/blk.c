/*
 * The virtio disk as the standard says it is (virtio 1.2, section 5.2). The first disk is empty, 16
 * MiB, has the name "victim" and may have several queues; the second one can only be read.
 */
#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/cpu.h"

#define DATA_LEN      65536u
#define SECTOR	      512u
#define DISK_SECTORS  (16u << 20 >> 9)
#define RING_FEATURES (1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define FEATURES                                                                                   \
	(1ull << VIRTIO_BLK_F_MQ | 1ull << VIRTIO_BLK_F_DISCARD |                                  \
	 1ull << VIRTIO_BLK_F_WRITE_ZEROES | 1ull << VIRTIO_RING_F_INDIRECT_DESC |                 \
	 1ull << VIRTIO_RING_F_EVENT_IDX)

static struct blk blk;
static uint8_t *data, *back;

static void fill(uint8_t seed)
{
	for (unsigned i = 0; i < DATA_LEN; i++)
		data[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

static uint8_t transfer(uint32_t type, uint64_t sector, void *at, uint32_t len)
{
	return blk_do(&blk, 0, type, sector, at, len);
}

static bool all_zero(const uint8_t *at, unsigned len)
{
	while (len && !*at)
		at++, len--;
	return !len;
}

/* Written, read back, in one mode of the rings and of waiting. */
static void round_trip(const char *name, uint64_t features, unsigned flags)
{
	static uint8_t seed;
	bool good = blk_reopen(&blk, features, flags);

	fill(++seed);
	good = good && transfer(VIRTIO_BLK_T_OUT, 64, data, DATA_LEN) == VIRTIO_BLK_S_OK;
	memset(back, 0xee, DATA_LEN);
	good = good && transfer(VIRTIO_BLK_T_IN, 64, back, DATA_LEN) == VIRTIO_BLK_S_OK;
	check_that(good && !memcmp(data, back, DATA_LEN), name);
}

/* More requests than the ring holds, with as many in flight as it does, each in a place of its own.
 */
static bool many(unsigned queue, unsigned total)
{
	struct vq *vq = &blk.vq[queue];
	unsigned added = 0, done = 0;
	int head;

	while (done < total) {
		unsigned before = added;

		while (added < total && blk_add(&blk, queue, VIRTIO_BLK_T_IN, 64 + added % 128,
						back + added % 128 * SECTOR, SECTOR, true) >= 0)
			added++;
		if (added != before)
			vq_kick(vq);
		head = vq_wait(vq, NULL);
		if (head < 0 || blk.status[queue][head] != VIRTIO_BLK_S_OK)
			return false;
		done++;
	}
	return !memcmp(data, back, 128 * SECTOR);
}

static void requests(void)
{
	static char id[20];
	uint8_t status;

	check_that(blk.sectors == DISK_SECTORS, "blk tells its capacity");
	check_that(transfer(VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == VIRTIO_BLK_S_OK, "blk flushes");
	status = transfer(VIRTIO_BLK_T_GET_ID, 0, id, sizeof(id));
	check_that(status == VIRTIO_BLK_S_OK && !memcmp(id, "victim", 7), "blk tells its name");
	check_that(transfer(VIRTIO_BLK_T_IN, DISK_SECTORS, back, SECTOR) == VIRTIO_BLK_S_IOERR,
		   "blk refuses to read past its end");
	check_that(transfer(VIRTIO_BLK_T_OUT, DISK_SECTORS - 1, back, 2 * SECTOR) ==
			   VIRTIO_BLK_S_IOERR,
		   "blk refuses to write across its end");
	check_that(transfer(VIRTIO_BLK_T_IN, ~0ull - 1, back, 4 * SECTOR) == VIRTIO_BLK_S_IOERR,
		   "blk refuses a sector that wraps");
	check_that(transfer(VIRTIO_BLK_T_IN, 0, back, 100) == VIRTIO_BLK_S_IOERR,
		   "blk refuses part of a sector");
	check_that(transfer(77, 0, back, SECTOR) == VIRTIO_BLK_S_UNSUPP,
		   "blk does not support an unknown request");
	check_that(transfer(VIRTIO_BLK_T_IN, DISK_SECTORS - 1, back, SECTOR) == VIRTIO_BLK_S_OK,
		   "blk reads its last sector");
}

static uint8_t clear(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
	static struct virtio_blk_discard_write_zeroes segment;

	segment = (struct virtio_blk_discard_write_zeroes){ .sector = sector,
							    .num_sectors = count,
							    .flags = flags };
	return transfer(type, 0, &segment, sizeof(segment));
}

static void clearing(void)
{
	const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	bool good;

	good = transfer(VIRTIO_BLK_T_OUT, 64, data, DATA_LEN) == VIRTIO_BLK_S_OK &&
	       clear(VIRTIO_BLK_T_WRITE_ZEROES, 72, 8, 0) == VIRTIO_BLK_S_OK &&
	       transfer(VIRTIO_BLK_T_IN, 64, back, DATA_LEN) == VIRTIO_BLK_S_OK;
	check_that(good && all_zero(back + 8 * SECTOR, 8 * SECTOR) &&
			   !memcmp(back, data, 8 * SECTOR) &&
			   !memcmp(back + 16 * SECTOR, data + 16 * SECTOR, DATA_LEN - 16 * SECTOR),
		   "blk writes zeroes just where it is told to");
	good = clear(VIRTIO_BLK_T_WRITE_ZEROES, 80, 16, unmap) == VIRTIO_BLK_S_OK &&
	       transfer(VIRTIO_BLK_T_IN, 80, back, 16 * SECTOR) == VIRTIO_BLK_S_OK;
	check_that(good && all_zero(back, 16 * SECTOR), "blk writes zeroes and gives up the space");
	check_that(clear(VIRTIO_BLK_T_WRITE_ZEROES, DISK_SECTORS - 4, 8, 0) == VIRTIO_BLK_S_IOERR,
		   "blk refuses zeroes across its end");
	check_that(clear(VIRTIO_BLK_T_WRITE_ZEROES, 64, 8, 0x80) == VIRTIO_BLK_S_UNSUPP,
		   "blk does not support unknown flags");
	if (!(blk.dev.features & 1ull << VIRTIO_BLK_F_DISCARD)) {
		print("skip blk discards: this file system cannot punch holes\n");
		return;
	}
	check_that(clear(VIRTIO_BLK_T_DISCARD, 64, 64, 0) == VIRTIO_BLK_S_OK &&
			   transfer(VIRTIO_BLK_T_IN, 63, back, 66 * SECTOR) == VIRTIO_BLK_S_OK,
		   "blk discards, and what was discarded can be read");
	check_that(clear(VIRTIO_BLK_T_DISCARD, ~0ull - 3, 8, 0) == VIRTIO_BLK_S_IOERR,
		   "blk refuses to discard what wraps");
}

static void queues(void)
{
	bool good = true;

	fill(99);
	good = transfer(VIRTIO_BLK_T_OUT, 64, data, DATA_LEN) == VIRTIO_BLK_S_OK;
	check_that(good && many(0, 2000), "blk answers 2000 requests through a full ring");
	if (blk.queue_count == 1)
		return;
	/* All queues have requests under way before any is waited for. */
	for (unsigned q = 0; q < blk.queue_count; q++) {
		memset(back + q * SECTOR, 0, SECTOR);
		good = good && blk_add(&blk, q, VIRTIO_BLK_T_IN, 64 + q, back + q * SECTOR, SECTOR,
				       true) >= 0;
		vq_kick(&blk.vq[q]);
	}
	for (unsigned q = 0; q < blk.queue_count; q++)
		good = good && vq_wait(&blk.vq[q], NULL) >= 0;
	check_that(good && !memcmp(data, back, blk.queue_count * SECTOR),
		   "blk works on all queues");
}

/* Requests are under way when the device is reset; none may end afterwards. */
static void reset_under_way(void)
{
	bool good = true;

	for (unsigned round = 0; round < 20 && good; round++) {
		uint16_t used;
		struct vring_used *ring;

		good = blk_reopen(&blk, FEATURES, VQ_POLLED);
		for (unsigned i = 0; i < 32; i++)
			blk_add(&blk, 0, VIRTIO_BLK_T_IN, 64, back, DATA_LEN, true);
		vq_kick(&blk.vq[0]);
		for (unsigned i = 0; i < round * 1000; i++)
			cpu_relax();
		good = good && virtio_reset(&blk.dev);
		ring = blk.vq[0].used;
		used = ring->idx;
		memset(back, 0x55, DATA_LEN);
		for (unsigned i = 0; i < 100000; i++)
			cpu_relax();
		good = good && *(volatile uint16_t *)&ring->idx == used && back[0] == 0x55 &&
		       back[DATA_LEN - 1] == 0x55;
	}
	check_that(good, "blk touches nothing after a reset in the middle of requests");
	round_trip("blk works after the reset", FEATURES, VQ_INTERRUPT);
}

static void ring_reset(void)
{
	struct vq *vq = &blk.vq[0];
	bool good = blk_reopen(&blk, FEATURES | 1ull << VIRTIO_F_RING_RESET, VQ_POLLED);

	if (good && !(blk.dev.features & 1ull << VIRTIO_F_RING_RESET)) {
		print("skip blk resets one queue: it does not offer to\n");
		return;
	}
	good = good && transfer(VIRTIO_BLK_T_IN, 64, back, SECTOR) == VIRTIO_BLK_S_OK;
	virtio_set(&blk.dev, V_QUEUE_SELECT, 0);
	virtio_set(&blk.dev, V_QUEUE_RESET, 1);
	good = good && !virtio_get(&blk.dev, V_QUEUE_ENABLE);
	good = good && vq_init(vq, &blk.dev, 0, 16, VQ_POLLED) &&
	       transfer(VIRTIO_BLK_T_IN, 64, back, SECTOR) == VIRTIO_BLK_S_OK;
	check_that(good, "blk resets one queue, which then works with another size");
}

static void read_only(void)
{
	static struct blk other;
	bool good = blk_open(&other, 1, FEATURES | 1ull << VIRTIO_BLK_F_RO, VQ_POLLED);

	check_that(good && other.dev.features & 1ull << VIRTIO_BLK_F_RO &&
			   blk_do(&other, 0, VIRTIO_BLK_T_OUT, 0, data, SECTOR) ==
				   VIRTIO_BLK_S_IOERR &&
			   blk_do(&other, 0, VIRTIO_BLK_T_IN, 0, back, SECTOR) == VIRTIO_BLK_S_OK,
		   "blk that is read-only says so, refuses to write, and reads");
}

int guest_main(void)
{
	size_t mark;

	data = guest_alloc(DATA_LEN, 4096);
	back = guest_alloc(DATA_LEN, 4096);
	mark = guest_alloc_mark();
	if (!blk_open(&blk, 0, FEATURES, VQ_POLLED))
		guest_die("there is no disk");
	requests();
	clearing();
	queues();
	guest_alloc_back_to(mark);
	round_trip("blk polled, plain rings", 0, VQ_POLLED);
	round_trip("blk polled, indirect and event index", RING_FEATURES, VQ_POLLED);
	round_trip("blk by interrupt, plain rings", 0, VQ_INTERRUPT);
	round_trip("blk by interrupt, indirect and event index", RING_FEATURES, VQ_INTERRUPT);
	ring_reset();
	reset_under_way();
	read_only();
	return check_failures;
}
