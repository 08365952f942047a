/*
 * A block back end: where a disk's bytes are. Knows nothing of virtio. All I/O is asynchronous on a
 * loop; several loops may use one back end at once (a queue each). Outlives the devices that use
 * it: a machine reset builds new devices on the same back ends.
 */
#ifndef DEVICES_BLOCK_BLOCK_H
#define DEVICES_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"
#include "vmm/loop.h"

struct block;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,	    /* everything completed before it is on stable storage */
	BLOCK_DISCARD,	    /* contents become undefined; space is given back */
	BLOCK_WRITE_ZEROES, /* reads as zeros afterwards; MAY_UNMAP says space may be given back */
};

/* One request; embedded by the device, with room for the back end's own state. */
struct block_request {
	void (*done)(struct block_request *req,
		     int result); /* 0 or -errno; loop thread; never from block_submit */
	enum block_op op;
	bool may_unmap;
	uint64_t offset;   /* bytes, sector aligned */
	uint64_t len;	   /* bytes, sector aligned; equals the iovecs' sum for READ and WRITE */
	struct iovec *iov; /* the back end may modify the entries while the request is in flight */
	unsigned iov_count;
	/* the back end's */
	struct loop *loop;
	struct block *block;
	struct loop_op io;
	uint64_t transferred;
	unsigned iov_done;
	struct block_request *next;
	void *bounce;
};

struct block_info {
	uint64_t size;		      /* bytes, rounded down to a sector */
	uint32_t logical_size;	      /* bytes: least unit of I/O */
	uint32_t physical_size;	      /* bytes: unit without read-modify-write */
	uint32_t optimal_size;	      /* bytes, 0: unknown */
	uint32_t discard_granularity; /* bytes; 0: no discard */
	bool read_only;
	bool can_write_zeroes;
};

struct block_ops {
	const char *name;
	/* Submits on LOOP. Offsets were checked against info->size by the caller. 0, or -EBUSY (try
	 * after a completion). */
	int (*submit)(struct block *block, struct loop *loop, struct block_request *req);
	void (*destroy)(struct block *block);
};

struct block {
	const struct block_ops *ops;
	struct block_info info;
	bool writeback; /* false: each write is made durable before it completes (CONFIG_WCE 0) */
	int fd;
	/* Set by the device: told on loop thread when info.size has changed on the host (live
	 * resize). */
	void (*resized)(void *opaque);
	void *resized_opaque;
};

static inline int block_submit(struct block *block, struct loop *loop, struct block_request *req)
{
	return block->ops->submit(block, loop, req);
}

static inline void block_destroy(struct block *block)
{
	if (block)
		block->ops->destroy(block);
}

#endif
