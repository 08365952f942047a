/*
 * What a hostile driver does to the queues of any device, as the input of a fuzz target says; on
 * the fake loop. Included by one C file.
 */
#ifndef TESTS_SUPPORT_FUZZ_DRIVER_H
#define TESTS_SUPPORT_FUZZ_DRIVER_H

#include <assert.h>
#include <unistd.h>

#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fuzz_input.h"

#define FUZZ_PARTS_MAX 6

/* Resets DEV, after which nothing may be in flight. */
static inline void fuzz_reset(struct virtio_device *dev)
{
	virtio_set_status(dev, 0);
	for (unsigned i = 0; i < dev->queue_count; i++)
		assert(dev->queues[i].inflight == 0);
}

/* One of COUNT rings. */
static inline struct fake_ring *fuzz_ring(struct fake_ring *rings, unsigned count, struct input *in)
{
	return &rings[take(in, 1) % count];
}

/* Any descriptor. */
static inline void fuzz_write_desc(struct fake_ring *ring, struct input *in)
{
	fake_ring_desc(ring, (uint16_t)(take(in, 1) % ring->size), take(in, 3),
		       (uint32_t)take(in, 2), (uint16_t)take(in, 1), (uint16_t)take(in, 1));
}

/* A chain within 32 KiB from GPA on: honest in shape, wild in lengths and directions. */
static inline void fuzz_add_chain(struct fake_ring *ring, gpa_t gpa, struct input *in)
{
	struct fake_part parts[FUZZ_PARTS_MAX];
	unsigned count = 1 + (unsigned)take(in, 1) % FUZZ_PARTS_MAX;
	unsigned writable_from = (unsigned)take(in, 1) % (FUZZ_PARTS_MAX + 1);

	for (unsigned i = 0; i < count; i++)
		parts[i] = (struct fake_part){
			.gpa = gpa + (take(in, 2) & 0x7fff),
			.len = (uint32_t)take(in, 1),
			.writable = i >= writable_from,
		};
	fake_ring_offer(ring, fake_ring_chain(ring, parts, count));
}

static inline void fuzz_kick(struct virtio_device *dev, struct loop *loop, unsigned queue)
{
	uint64_t one = 1;

	(void)!write(dev->queues[queue % dev->queue_count].kick_fd, &one, sizeof(one));
	fake_loop_round(loop);
}

#endif
