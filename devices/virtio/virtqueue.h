/*
 * A split virtqueue, device side (virtio 1.2, section 2.7): the only reader and writer of rings.
 *
 * Everything in a ring is written by a hostile driver while we look. Each field is read once, into
 * a local, and bounded; each descriptor is copied once. Not thread-safe: a queue belongs to one
 * loop thread while it runs, and to whoever holds the device's lock while it does not.
 *
 * What a device may rely on, whatever the driver does: the heads of chains that were popped and not
 * yet pushed are distinct and below vq->size, so that a table of vq->size requests, indexed by
 * head, is never too small and never shared.
 */
#ifndef DEVICES_VIRTIO_VIRTQUEUE_H
#define DEVICES_VIRTIO_VIRTQUEUE_H

#include <assert.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"
#include "vmm/guest_mem.h"

#define VIRTQUEUE_SIZE_MAX 256

struct virtqueue {
	const struct guest_mem *mem;
	/* What the driver chose; written by the transport while the queue is disabled. */
	uint16_t size_max;
	uint16_t size; /* power of two, 1..size_max */
	gpa_t desc_gpa;
	gpa_t avail_gpa; /* "driver area" */
	gpa_t used_gpa;	 /* "device area" */
	bool enabled;
	bool broken; /* a lie was found: nothing is popped until reset */
	bool event_idx;
	bool indirect;
	bool notify_disabled; /* as last told to the driver */
	/* Set by virtqueue_enable. */
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next;  /* next index to take from the available ring */
	uint16_t avail_seen;  /* the driver's index when last read: spares a read for each pop */
	uint16_t used_next;   /* next index to fill in the used ring; may be ahead of used_stored */
	uint16_t used_stored; /* as last made visible to the driver */
	uint16_t last_head;   /* of the chain popped last, for unpop */
	uint64_t busy[VIRTQUEUE_SIZE_MAX / 64]; /* heads popped and not yet pushed */
};

/* One request: its descriptors as iovecs into guest memory, readable ones first (2.7.4.2). */
struct virtqueue_chain {
	uint16_t head;		 /* names the request in virtqueue_push */
	uint16_t readable_count; /* iov[0 .. readable_count) */
	uint16_t writable_count; /* iov[readable_count .. + writable_count) */
	uint64_t readable_len;	 /* bytes */
	uint64_t writable_len;
};

/* A request that is one part for writing, as receive buffers mostly are. */
struct virtqueue_part {
	void *base;
	uint32_t len;
	uint16_t head;
};

/* Whether HEAD has been popped and not yet pushed. */
static inline bool virtqueue_is_busy(const struct virtqueue *vq, uint16_t head)
{
	return vq->busy[head / 64] & (1ull << (head % 64));
}

static inline void virtqueue_flip_busy(struct virtqueue *vq, uint16_t head)
{
	vq->busy[head / 64] ^= 1ull << (head % 64);
}

/* Forgets everything: addresses 0, disabled, size SIZE_MAX. MEM is borrowed. */
void virtqueue_init(struct virtqueue *vq, const struct guest_mem *mem, uint16_t size_max);

/*
 * Takes the rings into use, from index 0: checks size, alignment (2.7) and that each area lies in
 * guest memory. EVENT_IDX and INDIRECT say which features were negotiated. 0, or -EINVAL (not
 * logged) and the queue stays disabled.
 */
int virtqueue_enable(struct virtqueue *vq, bool event_idx, bool indirect) MUST_CHECK;
/* Rings are not touched any more. What the driver chose stays readable. */
void virtqueue_disable(struct virtqueue *vq);

/*
 * Takes the next request. IOV has room for IOV_MAX entries. Returns 1 with *CHAIN and IOV filled; 0
 * when there is none, or the queue is broken or disabled; -EINVAL when the driver lied (index too
 * far ahead or moved back, head in flight already, descriptor out of range, loop, readable after
 * writable, part outside memory, bad or nested indirect table, more than IOV_MAX parts): the queue
 * is then broken. Zero-length parts are left out.
 */
int virtqueue_pop(struct virtqueue *vq, struct iovec *iov, unsigned iov_max,
		  struct virtqueue_chain *chain) MUST_CHECK;
/*
 * Takes requests that are one part for writing, straight in the queue's table, for less than
 * virtqueue_pop: until they have WANT_LEN bytes, MAX of them at most. How many; fewer when the next
 * is anything else, or breaks a rule, or has not been seen yet: virtqueue_pop goes on from there.
 */
unsigned virtqueue_pop_parts(struct virtqueue *vq, struct virtqueue_part *parts, unsigned max,
			     uint64_t want_len);
/* Puts the chain popped last back, as if it had not been popped. */
void virtqueue_unpop(struct virtqueue *vq);

/* Fills a used element for HEAD, which was popped, with WRITTEN bytes (2.7.8); the driver sees it
 * after virtqueue_flush. */
static inline void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written)
{
	struct vring_used_elem *elem = &vq->used->ring[vq->used_next & (vq->size - 1)];

	assert(head < vq->size && virtqueue_is_busy(vq, head));
	virtqueue_flip_busy(vq, head);
	elem->id = head;
	elem->len = written;
	vq->used_next++;
}
/*
 * Makes all pushed elements visible with one store of the used index. True when the driver wants an
 * interrupt for them (2.7.7, 2.7.10). False when there was nothing new.
 */
bool virtqueue_flush(struct virtqueue *vq);

/* Asks the driver not to notify: while requests are being taken anyway. */
void virtqueue_disable_notify(struct virtqueue *vq);
/*
 * Asks for a notification of the next request. True when requests came in meanwhile: the caller
 * goes on popping instead of waiting for a notification that will not come.
 */
bool virtqueue_enable_notify(struct virtqueue *vq);

/* True when a request is waiting. */
bool virtqueue_has_work(struct virtqueue *vq);

#endif
