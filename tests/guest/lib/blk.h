/*
 * A virtio disk as a driver sees it (virtio 1.2, section 5.2).
 */
#ifndef TESTS_GUEST_LIB_BLK_H
#define TESTS_GUEST_LIB_BLK_H

#include <linux/virtio_blk.h>

#include "tests/guest/lib/virtio.h"

#define BLK_QUEUES_MAX 4
#define BLK_NO_ANSWER  0xff

struct blk {
	struct virtio_dev dev;
	struct vq vq[BLK_QUEUES_MAX];
	unsigned queue_count;
	uint64_t sectors;
	/* By head; queues do not share them. */
	struct virtio_blk_outhdr *headers[BLK_QUEUES_MAX];
	uint8_t *status[BLK_QUEUES_MAX];
};

/* The NTH disk, running with WANTED features and FLAGS (VQ_*) for its queues. */
bool blk_open(struct blk *blk, unsigned nth, uint64_t wanted, unsigned flags);
/* The same again, from a reset. */
bool blk_reopen(struct blk *blk, uint64_t wanted, unsigned flags);
/* Adds a request without telling the device; its head or -1. DATA is written by the device when
 * READ. */
int blk_add(struct blk *blk, unsigned queue, uint32_t type, uint64_t sector, void *data,
	    uint32_t len, bool read);
/* One request, waited for: its status, or BLK_NO_ANSWER. */
uint8_t blk_do(struct blk *blk, unsigned queue, uint32_t type, uint64_t sector, void *data,
	       uint32_t len);

#endif
