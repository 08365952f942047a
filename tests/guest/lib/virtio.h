/*
 * A virtio driver on either transport (virtio 1.2, modern only): devices by their fields, split
 * queues polled or by interrupt, indirect descriptors, event index. Everything is open to a case
 * that wants to lie.
 */
#ifndef TESTS_GUEST_LIB_VIRTIO_H
#define TESTS_GUEST_LIB_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "tests/guest/lib/guest.h"

#define VQ_SIZE_MAX	256
#define VQ_INDIRECT_MAX 8
/* About two seconds of any time stamp counter. */
#define VQ_TICKS (6ull << 30)
/* What takes longer never comes, on a busy host neither. */
#define VQ_PATIENCE (5 * VQ_TICKS)

/* The registers that both transports have. */
enum virtio_field {
	V_STATUS,
	V_DEVICE_FEATURES_SELECT,
	V_DEVICE_FEATURES,
	V_DRIVER_FEATURES_SELECT,
	V_DRIVER_FEATURES,
	V_QUEUE_SELECT,
	V_QUEUE_SIZE, /* read: the largest that may be chosen, while none was */
	V_QUEUE_ENABLE,
	V_QUEUE_RESET,
	V_QUEUE_DESC_LOW,
	V_QUEUE_DESC_HIGH,
	V_QUEUE_AVAIL_LOW,
	V_QUEUE_AVAIL_HIGH,
	V_QUEUE_USED_LOW,
	V_QUEUE_USED_HIGH,
	V_GENERATION,
	V_FIELDS
};

struct virtio_dev {
	bool mmio;
	uint16_t device_id;
	uint16_t bdf;
	uint64_t common; /* PCI; MMIO: all registers */
	uint64_t isr;
	uint64_t config;
	uint64_t notify;
	uint32_t notify_multiplier;
	unsigned gsi; /* MMIO */
	unsigned line_vector;
	uint64_t features; /* negotiated */
};

/* The NTH device of a kind, in the order of the bus. */
bool virtio_find(struct virtio_dev *dev, unsigned device_id, unsigned nth);

uint32_t virtio_get(const struct virtio_dev *dev, enum virtio_field field);
void virtio_set(const struct virtio_dev *dev, enum virtio_field field, uint32_t value);
uint64_t virtio_offered(const struct virtio_dev *dev);

/* Configuration space, little endian; LEN 1, 2, 4 or 8. */
uint64_t virtio_config(const struct virtio_dev *dev, unsigned offset, unsigned len);
void virtio_config_set(const struct virtio_dev *dev, unsigned offset, unsigned len, uint64_t value);

/* Reset, waited for. False: it does not end. */
bool virtio_reset(const struct virtio_dev *dev);
/* From reset to FEATURES_OK with those of WANTED that are offered, and VERSION_1. */
bool virtio_negotiate(struct virtio_dev *dev, uint64_t wanted);
void virtio_driver_ok(const struct virtio_dev *dev);
bool virtio_needs_reset(const struct virtio_dev *dev);
/* Counts interrupts for configuration changes from here on; NULL when there is no vector. */
volatile uint64_t *virtio_config_interrupt(struct virtio_dev *dev);
/* Reads and so acknowledges what a line's interrupt was for. */
uint32_t virtio_isr(const struct virtio_dev *dev);

struct vq_buf {
	const void *at;
	uint32_t len;
	bool write; /* by the device */
};

struct vq {
	struct virtio_dev *dev;
	uint16_t index;
	uint16_t size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_desc (*indirect)[VQ_INDIRECT_MAX]; /* one a head; NULL: not used */
	bool event_idx;
	uint16_t free_head;
	uint16_t free_count;
	uint16_t avail_next; /* may be ahead of what the device was told */
	uint16_t kicked;     /* avail_next when the device was last told */
	uint16_t used_next;
	uint16_t chain_count[VQ_SIZE_MAX]; /* descriptors of the chain with this head */
	uint64_t notify;
	unsigned notify_width;
	volatile uint64_t *interrupts; /* NULL: polled */
	uint64_t kicks;
};

enum { VQ_POLLED = 0, VQ_INTERRUPT = 1, VQ_NOT_ENABLED = 2 };

/*
 * Takes queue INDEX into use with SIZE entries (0: as many as it may have), rings from guest_alloc.
 * False: there is no such queue.
 */
bool vq_init(struct vq *vq, struct virtio_dev *dev, unsigned index, unsigned size, unsigned flags);
/* Adds a request; its head, or -1 when the ring is full. The device is told by vq_kick. */
int vq_add(struct vq *vq, const struct vq_buf *bufs, unsigned count);
/* Publishes what was added; rings the doorbell if the device asks for it. */
void vq_kick(struct vq *vq);
/* Rings the doorbell. */
void vq_notify(const struct vq *vq);
/* The head of a request that is done, or -1. *LEN: what the device wrote; may be NULL. */
int vq_take(struct vq *vq, uint32_t *len);
/* As vq_take, waiting for VQ_PATIENCE at most: spinning, or by interrupt when the queue has one. */
int vq_wait(struct vq *vq, uint32_t *len);

/* ---- for lies: nothing of this keeps books ---- */

void vq_raw_desc(struct vq *vq, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next);
/* Puts HEAD into the available ring and publishes it. */
void vq_raw_offer(struct vq *vq, uint16_t head);

#endif
