/*
 * An honest driver brings a device up by the registers that all transports have.
 */
#ifndef TESTS_SUPPORT_FAKE_BRING_UP_H
#define TESTS_SUPPORT_FAKE_BRING_UP_H

#include "devices/virtio/virtio.h"
#include "tests/support/fake_driver.h"

/* Lays RING out at GPA, with SIZE descriptors or as many as Q may have, and enables Q with it. */
static inline void fake_queue_enable(struct virtio_queue *q, struct fake_ring *ring, gpa_t gpa,
				     uint16_t size)
{
	if (size > q->vq.size_max)
		size = q->vq.size_max;
	fake_ring_init(ring, q->dev->mem, gpa, size);
	virtio_queue_set_size(q, size);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, false, (uint32_t)ring->desc_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, false, (uint32_t)ring->avail_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, false, (uint32_t)ring->used_gpa);
	virtio_queue_set_enabled(q, true);
}

/*
 * Resets DEV if it was in use, takes of its features those in FEATURES, and gives each queue its
 * ring of RINGS, 4 KiB apart from GPA on, with SIZE descriptors at most.
 */
static inline void fake_bring_up(struct virtio_device *dev, uint64_t features,
				 struct fake_ring *rings, gpa_t gpa, uint16_t size)
{
	if (virtio_get_status(dev))
		virtio_set_status(dev, 0);
	virtio_set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	features &= dev->features;
	virtio_set_features(dev, 0, (uint32_t)features);
	virtio_set_features(dev, 1, (uint32_t)(features >> 32));
	virtio_set_status(dev, virtio_get_status(dev) | VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint16_t i = 0; i < dev->queue_count; i++)
		fake_queue_enable(&dev->queues[i], &rings[i], gpa + 0x1000ull * i, size);
	virtio_set_status(dev, virtio_get_status(dev) | VIRTIO_CONFIG_S_DRIVER_OK);
}

#endif
