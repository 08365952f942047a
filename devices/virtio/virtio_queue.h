/*
 * Between virtio.c and virtio_queue.c; what devices and transports call is in virtio.h.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_QUEUE_H
#define DEVICES_VIRTIO_VIRTIO_QUEUE_H

#include "devices/virtio/virtio.h"

/* Makes Q's doorbell; its device, index, loop and ring are set. 0 or -errno, logged. */
int virtio_queue_init(struct virtio_queue *q) MUST_CHECK;

/* All queues that are enabled, or one. On a vCPU thread with dev->lock held, or where no loop runs;
 * when a stop returns nothing is in flight. */
void virtio_queues_start(struct virtio_device *dev);
void virtio_queues_stop(struct virtio_device *dev);
void virtio_queue_start(struct virtio_queue *q);
void virtio_queue_stop(struct virtio_queue *q);

static inline uint32_t virtio_status_load(const struct virtio_device *dev)
{
	return __atomic_load_n(&dev->status, __ATOMIC_RELAXED);
}

/* NULL while no transport is attached. */
static inline const struct virtio_transport_ops *virtio_transport_load(
	const struct virtio_device *dev)
{
	return __atomic_load_n(&dev->transport, __ATOMIC_ACQUIRE);
}

#endif
