/*
 * What the fuzz targets of both transports share: guest memory, a fake device behind a transport,
 * and operations read from the input that a hostile guest is able to do: register accesses of any
 * width, writes into memory, kicks; and what the host does meanwhile. Included by one C file, after
 * which comes LLVMFuzzerTestOneInput.
 */
#ifndef TESTS_SUPPORT_FUZZ_TRANSPORT_H
#define TESTS_SUPPORT_FUZZ_TRANSPORT_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_device.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fuzz_input.h"
#include "vmm/bus.h"

#define FUZZ_MEM_LEN  0x4000u
#define FUZZ_DATA_GPA 0x3000u

struct fuzz_guest {
	struct guest_mem mem;
	struct loop loop;
	struct bus bus;
	struct fake_device fake;
	struct fake_ring rings[FAKE_DEVICE_QUEUES];
	/* Where a register access of this target lands; offsets come from the input. */
	uint64_t window[2];
	uint32_t window_len[2];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void fuzz_require(bool ok)
{
	if (!ok)
		abort();
}

/* The device's complaints about its guest are as if they had been said too often already. */
static inline void fuzz_hush(struct log_limit *limit)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	limit->window_start_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	limit->count = LOG_LIMIT_BURST;
}

/* While a reset waits, the host's I/O goes on. */
static inline void fuzz_complete_all(struct loop *loop)
{
	struct fuzz_guest *g = container_of(loop, struct fuzz_guest, loop);

	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++)
		(void)fake_device_complete(&g->fake, i);
}

static inline void fuzz_guest_init(struct fuzz_guest *g)
{
	memset(g, 0, sizeof(*g));
	log_set_level(LOG_LEVEL_ERR);
	fake_loop_init(&g->loop);
	g->loop.running = true;
	g->loop.while_waiting = fuzz_complete_all;
	g->mem.region_count = 1;
	g->mem.regions[0] =
		(struct guest_mem_region){ 0, FUZZ_MEM_LEN, aligned_alloc(4096, FUZZ_MEM_LEN) };
	fuzz_require(bus_init(&g->bus, NULL, NULL) == 0 &&
		     fake_device_init(&g->fake, &g->mem, &g->loop) == 0);
}

static inline void fuzz_guest_fini(struct fuzz_guest *g)
{
	virtio_device_fini(&g->fake.dev);
	bus_fini(&g->bus);
	free(g->mem.regions[0].host);
}

/* Memory and device settings as every input finds them. */
static inline void fuzz_guest_start(struct fuzz_guest *g, uint8_t settings)
{
	memset(g->mem.regions[0].host, 0, FUZZ_MEM_LEN);
	fuzz_hush(&g->fake.dev.limit);
	fuzz_hush(&g->fake.dev.vcpu_limit);
	g->fake.hold = settings & 1;
	g->fake.give_back = settings & 2;
	g->fake.activate_result = settings & 4 ? -EIO : 0;
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++)
		fake_ring_init(&g->rings[i], &g->mem, 0x1000ull * i, FAKE_DEVICE_QUEUE_SIZE);
}

/* An honest driver brings the device up, so that the input begins where it matters. */
static inline void fuzz_guest_bring_up(struct fuzz_guest *g)
{
	fake_bring_up(&g->fake.dev, UINT64_MAX, g->rings, 0, FAKE_DEVICE_QUEUE_SIZE);
	fake_loop_round(&g->loop);
}

static inline void fuzz_register(struct fuzz_guest *g, struct input *in, uint8_t op)
{
	unsigned which = op >> 7;
	unsigned width = 1u << ((op >> 4) & 3);
	uint64_t addr = g->window[which] + take(in, 2) % g->window_len[which];
	uint64_t value;

	if (op & 64) {
		bus_read(&g->bus, addr, width, &value);
		return;
	}
	value = take(in, width);
	bus_write(&g->bus, addr, width, &value);
}

static inline void fuzz_offer(struct fuzz_guest *g, struct input *in)
{
	struct fake_ring *ring = &g->rings[take(in, 1) % FAKE_DEVICE_QUEUES];
	struct fake_part parts[3];
	unsigned count = 1 + (unsigned)take(in, 1) % 3;

	for (unsigned i = 0; i < count; i++)
		parts[i] = (struct fake_part){ FUZZ_DATA_GPA + take(in, 1), (uint32_t)take(in, 1),
					       i > 0 };
	fake_ring_add(ring, parts, count);
}

/* One thing that the guest or the host does. */
static inline void fuzz_step(struct fuzz_guest *g, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	uint64_t value;
	gpa_t gpa;

	switch (op & 15) {
	case 8:
		gpa = take(in, 2) % FUZZ_MEM_LEN;
		value = take(in, 4);
		(void)!guest_mem_write(&g->mem, gpa, &value, 1u << ((op >> 4) & 3));
		break;
	case 9:
		fuzz_offer(g, in);
		break;
	case 10: {
		static const uint64_t one = 1;

		(void)!write(g->fake.dev.queues[(op >> 4) % FAKE_DEVICE_QUEUES].kick_fd, &one, 8);
		break;
	}
	case 11:
		(void)fake_device_complete(&g->fake, (op >> 4) % FAKE_DEVICE_QUEUES);
		break;
	case 12:
		virtio_config_lock(&g->fake.dev);
		g->fake.config[0]++;
		virtio_config_changed(&g->fake.dev);
		virtio_config_unlock(&g->fake.dev);
		break;
	case 13:
	case 14:
		fake_loop_round(&g->loop);
		break;
	case 15:
		g->fake.hold = op & 16;
		break;
	default:
		fuzz_register(g, in, op);
		break;
	}
}

/* What must hold at the end, whatever came before. */
static inline void fuzz_check(const struct fuzz_guest *g)
{
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++) {
		unsigned held = 0;

		for (unsigned j = 0; j < FAKE_DEVICE_QUEUE_SIZE; j++)
			held += g->fake.held[i][j];
		fuzz_require(g->fake.dev.queues[i].inflight == held);
	}
}

#endif
