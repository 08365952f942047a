/*
 * What all virtio devices share (virtio 1.2, chapter 2): status, feature negotiation, queues and
 * their life. A device (virtio_blk, virtio_net ...) embeds struct virtio_device and fills in const
 * ops; a transport (virtio_pci, virtio_mmio) drives it by the virtio_* functions below.
 *
 * Threads and ownership:
 *  - Registers arrive on vCPU threads, under dev->lock (taken by bus dispatch).
 *  - While a queue runs it belongs to its loop's thread: kick, pop, push, flush need no lock.
 *  - Config space is read by vCPU threads under dev->lock; a loop thread that changes it takes
 * dev->lock for the change and then calls virtio_config_changed.
 *  - Starting and stopping a queue is handed to the loop's thread by loop_call, from the vCPU
 * thread that wrote the register. Stopping waits until every popped chain was pushed: after it
 * guest memory is not touched any more.
 *  - A device therefore never takes dev->lock while a queue's stop could wait for it: callbacks on
 * the loop that hold dev->lock must not block.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_H
#define DEVICES_VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtqueue.h"
#include "vmm/guest_mem.h"
#include "vmm/log.h"
#include "vmm/loop.h"

#define VIRTIO_QUEUES_MAX 33 /* 16 pairs and a control queue */

struct virtio_device;
struct virtio_queue;

struct virtio_device_ops {
	const char *name;    /* "virtio-blk" */
	uint32_t device_id;  /* VIRTIO_ID_* */
	uint32_t pci_class;  /* class code 0xCCSSPP for the PCI transport */
	uint32_t config_len; /* bytes of device-specific configuration */

	/* Bytes [OFFSET, OFFSET+LEN) of the config space, already bounded by config_len. dev->lock
	 * held. */
	void (*config_read)(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len);
	/* NULL: the config space is read-only. dev->lock held. */
	void (*config_write)(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len);

	/* DRIVER_OK is being set: dev->features_acked is final; queues start after this. dev->lock
	 * held, vCPU thread. An error puts the device in NEEDS_RESET. NULL: nothing to do. */
	int (*activate)(struct virtio_device *dev);
	/* After every queue was stopped, on a reset by the driver or a teardown. dev->lock held.
	 * NULL: nothing to do. */
	void (*reset)(struct virtio_device *dev);

	/* Queue Q has (or may have) requests. Its loop's thread. Pops until empty; see
	 * virtio_queue_pop. */
	void (*queue_kick)(struct virtio_queue *q);
	/* Queue Q is about to stop: give back chains that are held without an I/O in flight
	 * (virtio_queue_push), take no more. Its loop's thread. NULL: the device holds none. */
	void (*queue_stop)(struct virtio_queue *q);
};

struct virtio_queue {
	struct virtqueue vq;
	struct virtio_device *dev;
	uint16_t index;
	struct loop *loop; /* set by the device before it is attached to a transport */
	int kick_fd;	   /* eventfd; the transport connects doorbells to it */
	struct loop_event kick_event;
	struct loop_deferred
		flush; /* stores the used index and decides on an interrupt, once a round */
	bool running;  /* loop thread's */
	bool stopping;
	uint32_t inflight; /* popped and not yet pushed */
	struct loop_call *stop_call;
	uint64_t kick_count; /* statistics, loop thread's */
	uint64_t interrupt_count;
	uint64_t request_count;
};

/* What a device needs from its transport. Any thread, no lock needed. */
struct virtio_transport_ops {
	void (*interrupt_queue)(struct virtio_device *dev, uint16_t queue_index);
	void (*interrupt_config)(struct virtio_device *dev);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	const struct virtio_transport_ops *transport; /* set by the transport when attached */
	pthread_mutex_t lock;
	const struct guest_mem *mem;
	uint64_t features; /* offered; VERSION_1, EVENT_IDX, INDIRECT_DESC are added by
			      virtio_device_init */
	uint64_t features_acked;
	uint32_t status; /* VIRTIO_CONFIG_S_*; atomic, loop threads set NEEDS_RESET */
	uint32_t config_generation;
	uint16_t queue_count;
	struct virtio_queue *queues; /* queue_count of them, owned */
	struct log_limit limit;
};

/*
 * Prepares the common part. QUEUE_COUNT queues, all on LOOP (a device may change q->loop before it
 * is attached); each may have QUEUE_SIZE entries. MEM and LOOP are borrowed. 0 or -errno, logged.
 */
int virtio_device_init(struct virtio_device *dev, const struct virtio_device_ops *ops,
		       const struct guest_mem *mem, struct loop *loop, uint64_t features,
		       uint16_t queue_count, uint16_t queue_size) MUST_CHECK;
/* Stops all queues, calls reset, frees. The loops must not be running, or this is not one of their
 * threads. */
void virtio_device_fini(struct virtio_device *dev);

/* ---- for devices, on the queue's loop thread ---- */

/*
 * virtqueue_pop plus book-keeping. Returns 1 (the chain is now in flight), 0 (empty, or the queue
 * is stopping or not running; notifications are enabled again), or -EINVAL after having put the
 * device in NEEDS_RESET (logged, limited). Notifications are suppressed while 1 is being returned;
 * the loop "while (virtio_queue_pop(...) > 0)" is race-free.
 */
int virtio_queue_pop(struct virtio_queue *q, struct iovec *iov, unsigned iov_max,
		     struct virtqueue_chain *chain) MUST_CHECK;
/* Gives the last popped chain back unhandled (no buffers on the host side, say). */
void virtio_queue_unpop(struct virtio_queue *q);
/* Completes a chain; the driver sees it (and is interrupted if it asked for it) at the end of the
 * loop's round. */
void virtio_queue_push(struct virtio_queue *q, uint16_t head, uint32_t written);

/* The device cannot go on: NEEDS_RESET, queues take no more requests, config interrupt (2.1.2). Any
 * thread. */
void virtio_device_needs_reset(struct virtio_device *dev, const char *why);
/* Config space changed: next generation, config interrupt. dev->lock must NOT be held... see
 * virtio.c. Any thread. */
void virtio_config_changed(struct virtio_device *dev);
static inline bool virtio_has_feature(const struct virtio_device *dev, unsigned bit)
{
	return dev->features_acked & (1ull << bit);
}

/* ---- for transports, dev->lock held, vCPU threads ---- */

uint32_t virtio_get_status(const struct virtio_device *dev);
/*
 * The driver wrote the status register (2.1, 3.1.1). 0 resets: returns when every queue has
 * stopped. Refuses FEATURES_OK for features not offered or without VERSION_1. DRIVER_OK activates
 * and starts the enabled queues.
 */
void virtio_set_status(struct virtio_device *dev, uint32_t status);
uint32_t virtio_get_features(const struct virtio_device *dev, uint32_t select);
void virtio_set_features(struct virtio_device *dev, uint32_t select, uint32_t value);
/* Queue registers. A bad index gives NULL; the transport then reads 0 and drops writes. */
struct virtio_queue *virtio_queue_at(struct virtio_device *dev, uint32_t index);
void virtio_queue_set_size(struct virtio_queue *q, uint32_t size);
/* ENABLE true: checks and enables (starts at once when DRIVER_OK is set). False only by
 * VIRTIO_F_RING_RESET or mmio. */
void virtio_queue_set_enabled(struct virtio_queue *q, bool enable);
void virtio_config_read(struct virtio_device *dev, uint64_t offset, void *data, uint32_t len);
void virtio_config_write(struct virtio_device *dev, uint64_t offset, const void *data,
			 uint32_t len);

#endif
