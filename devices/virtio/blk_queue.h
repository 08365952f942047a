/*
 * The queues of virtio_blk: requests from the ring to the back end and back. All of it on the
 * queue's loop thread, but for init and fini.
 */
#ifndef DEVICES_VIRTIO_BLK_QUEUE_H
#define DEVICES_VIRTIO_BLK_QUEUE_H

#include <stdint.h>

#include "devices/block/block.h"
#include "devices/limit.h"
#include "devices/virtio/blk_request.h"
#include "devices/virtio/virtio.h"

struct blk_slot;

struct blk_queue {
	struct virtio_queue *q;
	struct block *block; /* borrowed, as are the next two */
	const char *id;	     /* BLK_ID_LEN bytes, not terminated when it is full */
	const char *name;    /* for messages */
	uint16_t size;
	struct blk_slot *slots; /* a mapping of its own */
	unsigned fresh;		/* slots from here on were never used */
	struct blk_slot *free;
	struct blk_slot *held_head;
	struct blk_slot **held_tail;
	unsigned active; /* with the back end */
	bool full;	 /* out of slots with requests that may be waiting */
	struct loop_timer retry;
	struct limit_user limit;
	struct log_limit log_limit;
};

/* All but what is to be reserved was set by the caller, q->loop too. 0 or -errno, logged. */
int blk_queue_init(struct blk_queue *bq) MUST_CHECK;
void blk_queue_fini(struct blk_queue *bq);
/* Requests are bounded by LIMIT (borrowed) from now on. Before the queue runs. */
void blk_queue_set_limit(struct blk_queue *bq, struct limit *limit);

/* Takes what the ring holds. */
void blk_queue_take(struct blk_queue *bq);
/* Gives back what waits: answered with an error. */
void blk_queue_drop_held(struct blk_queue *bq);

#endif
