/*
 * What all virtio devices share (virtio 1.2, chapter 2): status, feature negotiation, queues and
 * their life. A device (virtio_blk, virtio_net ...) embeds struct virtio_device and fills in const
 * ops; a transport (virtio_pci, virtio_mmio) drives it by the virtio_* functions below.
 *
 * Threads and ownership:
 *  - Registers arrive on vCPU threads, under dev->lock (taken by bus dispatch).
 *  - While a queue runs it belongs to its loop's thread: kick, pop, push, flush need no lock.
 *  - Starting and stopping queues is handed to their loop's thread by loop_call, from the vCPU
 *    thread that wrote the register, which waits with dev->lock held. Stopping ends when every
 *    popped chain was pushed: after it guest memory is not touched any more.
 *  - A loop thread therefore NEVER takes dev->lock: a stop may be waiting for it. What loops and
 *    vCPUs share is config space, under dev->config_lock (virtio_config_lock), which nobody waits
 *    with; and status, which is atomic.
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
	 * and dev->config_lock held, vCPU thread. NULL only when config_len is 0. */
	void (*config_read)(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len);
	/* NULL: the config space is read-only. dev->lock and dev->config_lock held, vCPU thread. */
	void (*config_write)(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len);

	/* DRIVER_OK is being set: dev->features_acked is final; queues start after this. dev->lock
	 * held, vCPU thread. An error puts the device in NEEDS_RESET. NULL: nothing to do. */
	int (*activate)(struct virtio_device *dev);
	/* After every queue was stopped, on a reset by the driver or a teardown; may come without
	 * an activate, and twice. dev->lock held. NULL: nothing to do. */
	void (*reset)(struct virtio_device *dev);

	/* Queue Q has (or may have) requests. Its loop's thread. Pops until empty; see
	 * virtio_queue_pop. */
	void (*queue_kick)(struct virtio_queue *q);
	/* Queue Q is about to stop: give back chains that are held without an I/O in flight
	 * (virtio_queue_push), take no more. Its loop's thread. NULL: the device holds none. */
	void (*queue_stop)(struct virtio_queue *q);

	/*
	 * Queues that somebody else runs, the host's kernel say. Queue Q starts: 1 when it was lent
	 * to one who from now on watches q->kick_fd and the ring, which neither the core nor the
	 * device's other functions do then; 0 when the loop is to run it; -errno puts the device in
	 * NEEDS_RESET. NULL: never. Its loop's thread, while the vCPU that holds dev->lock waits.
	 */
	int (*queue_lend)(struct virtio_queue *q);
	/* Takes a lent queue back: when it returns guest memory is not touched any more. Likewise;
	 * or any thread while the loop does not run. */
	void (*queue_take_back)(struct virtio_queue *q);
	/* What the transport's queue_irq_fd gives may have changed. dev->lock held, vCPU thread.
	 * NULL: of no interest. */
	void (*queue_irq_changed)(struct virtio_queue *q);
};

struct virtio_batch;

struct virtio_queue {
	struct virtqueue vq;
	struct virtio_device *dev;
	uint16_t index;
	struct loop *loop; /* set by the device before it is attached to a transport */
	int kick_fd;	   /* eventfd; the transport connects doorbells to it */
	/* All below belongs to the loop's thread while the queue runs. */
	struct loop_event kick_event;
	struct loop_poll poll;		/* instead of kicks, while the loop spins */
	struct loop_deferred round_end; /* flushes, interrupts, ends a stop: once a round */
	bool running;
	bool stopping;
	bool lent;		    /* see queue_lend */
	uint32_t budget;	    /* chains that may still be popped in this round */
	uint32_t inflight;	    /* popped and not yet pushed */
	struct virtio_batch *batch; /* the stop that waits for this queue */
	uint64_t kick_count;	    /* statistics */
	uint64_t interrupt_count;
	uint64_t request_count;
};

/* What a device needs from its transport. Any thread, without a lock, never blocking. */
struct virtio_transport_ops {
	void (*interrupt_queue)(struct virtio_device *dev, uint16_t queue_index);
	void (*interrupt_config)(struct virtio_device *dev);
	/* An eventfd (borrowed) that interrupts for the queue when written to, until the device is
	 * told by queue_irq_changed; -1: there is none now, interrupt_queue does it. Under
	 * dev->lock. NULL: never. */
	int (*queue_irq_fd)(struct virtio_device *dev, uint16_t queue_index);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	const struct virtio_transport_ops *transport; /* atomic; NULL while not attached */
	void *transport_priv;			      /* the transport's */
	pthread_mutex_t lock;
	pthread_mutex_t config_lock; /* a leaf: no lock is taken while it is held */
	const struct guest_mem *mem;
	uint64_t features; /* offered; those of the core are added by virtio_device_init */
	uint64_t features_acked;
	uint32_t status;	    /* VIRTIO_CONFIG_S_*; atomic, loop threads set NEEDS_RESET */
	uint32_t config_generation; /* atomic */
	uint16_t queue_count;
	struct virtio_queue *queues; /* queue_count of them, owned */
	struct log_limit limit;	     /* for messages from the loop's thread */
	struct log_limit vcpu_limit; /* for messages under dev->lock */
};

/*
 * Prepares the common part. QUEUE_COUNT queues, all on LOOP (a device may change q->loop before it
 * is attached); each may have QUEUE_SIZE entries. FEATURES are the device's own; VERSION_1,
 * EVENT_IDX, INDIRECT_DESC and RING_RESET are offered besides. MEM and LOOP are borrowed. 0 or
 * -errno, logged.
 */
int virtio_device_init(struct virtio_device *dev, const struct virtio_device_ops *ops,
		       const struct guest_mem *mem, struct loop *loop, uint64_t features,
		       uint16_t queue_count, uint16_t queue_size) MUST_CHECK;
/*
 * Resets, frees. After the transport was destroyed; not on a loop's thread. A device that was only
 * zeroed is left alone.
 */
void virtio_device_fini(struct virtio_device *dev);

/*
 * As if the driver had written 0 to the status register: returns when no I/O is in flight. For a
 * machine's reset and end, on any thread but a loop's, without dev->lock. While the loops run; when
 * they do not, what is in flight is given up (guest memory must then outlive the loop).
 */
void virtio_device_reset(struct virtio_device *dev);

/* ---- for devices, on the queue's loop thread ---- */

/*
 * virtqueue_pop plus book-keeping. Returns 1 (the chain is now in flight), 0 (empty, or the queue
 * is stopping or not running; notifications are enabled again), or -EINVAL after having put the
 * device in NEEDS_RESET (logged, limited). Notifications are suppressed while 1 is being returned;
 * the loop "while (virtio_queue_pop(...) > 0)" is race-free.
 *
 * So that one queue cannot keep a loop for itself, 0 is also returned after twice the queue's size
 * in one round; queue_kick then comes again in the next one.
 */
int virtio_queue_pop(struct virtio_queue *q, struct iovec *iov, unsigned iov_max,
		     struct virtqueue_chain *chain) MUST_CHECK;
/* virtqueue_pop_parts plus the same. 0 says nothing: virtio_queue_pop does. */
unsigned virtio_queue_pop_parts(struct virtio_queue *q, struct virtqueue_part *parts, unsigned max,
				uint64_t want_len);
/* Has queue_kick called again in the next round, for what was left in this one. */
void virtio_queue_kick_again(struct virtio_queue *q);
/* Gives the last popped chain back unhandled (no buffers on the host side, say). */
void virtio_queue_unpop(struct virtio_queue *q);
/* Completes a chain; the driver sees it (and is interrupted if it asked for it) at the end of the
 * loop's round. */
void virtio_queue_push(struct virtio_queue *q, uint16_t head, uint32_t written);

/* An eventfd that interrupts for a lent queue Q, or -1; see queue_irq_fd. Under dev->lock. */
int virtio_queue_irq_fd(const struct virtio_queue *q);
/* Interrupts for a lent queue Q. Any thread. */
void virtio_queue_interrupt(struct virtio_queue *q);

/* The device cannot go on: NEEDS_RESET, queues take no more requests, config interrupt (2.1.2). Any
 * thread, any lock. */
void virtio_device_needs_reset(struct virtio_device *dev, const char *why);

/*
 * A change of config space by the host: virtio_config_lock; change; virtio_config_changed;
 * virtio_config_unlock. No register access then sees it half done. Any thread; not inside
 * config_read and config_write, which have the lock. A change of one naturally aligned field made
 * by an atomic store needs no lock.
 */
void virtio_config_lock(struct virtio_device *dev);
void virtio_config_unlock(struct virtio_device *dev);
/* Next generation, config interrupt. Takes no lock. */
void virtio_config_changed(struct virtio_device *dev);

static inline bool virtio_has_feature(const struct virtio_device *dev, unsigned bit)
{
	return dev->features_acked & (1ull << bit);
}

/* ---- for transports, dev->lock held, vCPU threads ---- */

/* Connects DEV to its transport; NULL disconnects. Setup and teardown. */
void virtio_device_attach(struct virtio_device *dev, const struct virtio_transport_ops *transport);

uint32_t virtio_get_status(const struct virtio_device *dev);
/*
 * The driver wrote the status register (2.1, 3.1.1). 0 resets: returns when every queue has
 * stopped. Bits are only ever added. FEATURES_OK is refused for features not offered or without
 * VERSION_1. DRIVER_OK activates and starts the enabled queues.
 */
void virtio_set_status(struct virtio_device *dev, uint32_t status);
uint32_t virtio_get_features(const struct virtio_device *dev, uint32_t select);
/* Without effect once FEATURES_OK is set. */
void virtio_set_features(struct virtio_device *dev, uint32_t select, uint32_t value);
/* What the driver accepted, for reading back. */
uint32_t virtio_get_features_acked(const struct virtio_device *dev, uint32_t select);
uint32_t virtio_get_config_generation(struct virtio_device *dev);

/* Queue registers. A bad index gives NULL; the transport then reads 0 and drops writes. */
struct virtio_queue *virtio_queue_at(struct virtio_device *dev, uint32_t index);
/* The setters are without effect while the queue is enabled. */
void virtio_queue_set_size(struct virtio_queue *q, uint32_t size);
enum virtio_queue_area { VIRTIO_QUEUE_DESC, VIRTIO_QUEUE_AVAIL, VIRTIO_QUEUE_USED };
/* The low or HIGH half of an address. */
void virtio_queue_set_addr(struct virtio_queue *q, enum virtio_queue_area area, bool high,
			   uint32_t value);
uint32_t virtio_queue_get_addr(struct virtio_queue *q, enum virtio_queue_area area, bool high);
/*
 * True checks and enables the queue, and starts it at once when DRIVER_OK is set; what cannot be
 * enabled puts the device in NEEDS_RESET. False (mmio) stops it. An unchanged value does nothing.
 */
void virtio_queue_set_enabled(struct virtio_queue *q, bool enable);
/* VIRTIO_F_RING_RESET (2.6.1): stops the queue and forgets what the driver chose. */
void virtio_queue_reset(struct virtio_queue *q);

/* What queue_irq_fd gives may have changed for any queue. */
void virtio_queue_irqs_changed(struct virtio_device *dev);

/* Any part outside the config space reads as 0 and drops writes. */
void virtio_config_read(struct virtio_device *dev, uint64_t offset, void *data, uint32_t len);
void virtio_config_write(struct virtio_device *dev, uint64_t offset, const void *data,
			 uint32_t len);

#endif
