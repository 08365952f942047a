/*
 * Stamps the disk, flushes, and says "done N" for each generation N that is safe, until it is
 * killed: what tests/crash/crash.c watches. It goes on behind the highest generation that it finds
 * on the disk. Words of the command line:
 *   writethrough  turns the write cache off: what is written is safe without a flush
 *   ask           waits for a byte on the serial port before it writes, and again after each "done"
 *   ask-once      the first of these only
 *   reset=MAX     resets the machine at a random moment, within MAX million ticks of the time stamp
 *                 counter
 */
#include "tests/crash/stamp.h"
#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/pci.h"

#define RUN_LEN		 ((size_t)STAMP_RUN_MAX * STAMP_SECTOR_LEN)
#define BUFFER_LEN	 (RUN_LEN + 4096)
#define READ_SECTORS	 128u
#define FADT_RESET_REG	 116
#define FADT_RESET_VALUE 128
#define GAS_ADDRESS	 4
#define FEATURES                                                                                   \
	(1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX |                   \
	 1ull << VIRTIO_BLK_F_CONFIG_WCE)
/* Some ten seconds: the host may be busy with other things. */
#define PATIENCE (5 * VQ_TICKS)

static struct blk blk;
static uint8_t *buffers[2][STAMP_RUNS];
static uint64_t reset_tsc; /* 0: never */
static unsigned pending;

static void reset_machine(void)
{
	uint64_t fadt = acpi_find("FACP");

	if (!fadt)
		guest_die("there is no FADT");
	outb(mmio_read16(fadt + FADT_RESET_REG + GAS_ADDRESS), mmio_read8(fadt + FADT_RESET_VALUE));
	for (;;)
		cpu_relax();
}

static void maybe_reset(void)
{
	if (reset_tsc && rdtsc() >= reset_tsc)
		reset_machine();
}

static void ask(void)
{
	while (serial_get(VQ_TICKS) < 0)
		;
}

static void take_all(void)
{
	uint64_t start = rdtsc();

	while (pending) {
		int head = vq_take(&blk.vq[0], NULL);

		maybe_reset();
		if (head < 0) {
			if (rdtsc() - start > PATIENCE)
				guest_die("a request is not answered");
			cpu_relax();
			continue;
		}
		if (*(volatile uint8_t *)&blk.status[0][head] != VIRTIO_BLK_S_OK)
			guest_die("a request failed");
		pending--;
	}
}

static void add(uint32_t type, uint64_t sector, void *data, uint32_t len, bool read)
{
	if (blk_add(&blk, 0, type, sector, data, len, read) < 0)
		guest_die("the ring is full");
	pending++;
}

static void write_generation(uint64_t generation)
{
	for (unsigned i = 0; i < STAMP_RUNS; i++) {
		struct stamp_run run = stamp_run_of(generation, i);
		/* Some of them so that O_DIRECT does not like it. */
		uint8_t *data = buffers[generation % 2][i] + (generation % 7 == 0 ? 8 : 0);

		for (uint32_t s = 0; s < run.count; s++)
			stamp_write((uint64_t *)(data + (size_t)s * STAMP_SECTOR_LEN),
				    run.sector + s, generation);
		add(VIRTIO_BLK_T_OUT, run.sector, data, run.count * STAMP_SECTOR_LEN, false);
		if (i % 4 == 3)
			vq_kick(&blk.vq[0]);
		maybe_reset();
	}
}

/* The highest generation on the disk. */
static uint64_t scan(void)
{
	static uint8_t data[READ_SECTORS * STAMP_SECTOR_LEN] __attribute__((aligned(4096)));
	uint64_t highest = 0;

	for (uint64_t at = 0; at < STAMP_DISK_SECTORS; at += READ_SECTORS) {
		add(VIRTIO_BLK_T_IN, at, data, sizeof(data), true);
		vq_kick(&blk.vq[0]);
		take_all();
		for (unsigned i = 0; i < READ_SECTORS; i++) {
			uint64_t generation;

			if (!stamp_read((const uint64_t *)(data + i * STAMP_SECTOR_LEN), at + i,
					&generation))
				print("torn %lu\n", at + i);
			if (generation > highest)
				highest = generation;
		}
	}
	return highest;
}

static void open_disk(bool writethrough)
{
	if (!blk_open(&blk, 0, FEATURES, VQ_POLLED) || blk.sectors < STAMP_DISK_SECTORS)
		guest_die("there is no disk to write to");
	if (writethrough)
		virtio_config_set(&blk.dev, offsetof(struct virtio_blk_config, wce), 1, 0);
	for (unsigned half = 0; half < 2; half++)
		for (unsigned i = 0; i < STAMP_RUNS; i++)
			buffers[half][i] = guest_alloc(BUFFER_LEN, 4096);
}

int guest_main(void)
{
	bool writethrough = guest_cmdline_has("writethrough");
	bool ask_each = guest_cmdline_has("ask");
	uint64_t reset_max = guest_cmdline_number("reset=", 0);
	bool flushing = false;
	uint64_t generation;

	open_disk(writethrough);
	generation = scan();
	print("start %lu\n", generation);
	if (ask_each || guest_cmdline_has("ask-once"))
		ask();
	if (reset_max)
		reset_tsc = rdtsc() + stamp_mix(rdtsc()) % (reset_max * 1000000);
	for (;;) {
		write_generation(++generation);
		vq_kick(&blk.vq[0]);
		take_all();
		/* That included the flush of the generation before. */
		if (!writethrough && !ask_each) {
			if (flushing)
				print("done %lu\n", generation - 1);
			flushing = true;
			add(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false);
			vq_kick(&blk.vq[0]);
			continue;
		}
		if (!writethrough) {
			add(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false);
			vq_kick(&blk.vq[0]);
			take_all();
		}
		print("done %lu\n", generation);
		if (ask_each)
			ask();
	}
}
