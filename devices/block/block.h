/*
 * A block back end: where a disk's bytes are. Knows nothing of virtio. All I/O is asynchronous on a
 * loop; several loops may use one back end at once (a queue each) unless it says single_loop.
 * Outlives the devices that use it: a machine reset builds new devices on the same back ends.
 */
#ifndef DEVICES_BLOCK_BLOCK_H
#define DEVICES_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/block/file_io.h"
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
	/*
	 * On the loop's thread, never from block_submit: 0 or -errno. -EBUSY and -ECANCELED (the
	 * loop is stopping) mean that the fields below now describe what remains to be done, LEN
	 * perhaps 0: to be submitted again later.
	 */
	void (*done)(struct block_request *req, int result);
	enum block_op op;
	bool may_unmap;
	uint64_t offset; /* bytes, sector aligned */
	uint64_t len; /* bytes, sector aligned; above 0 except for FLUSH; the iovecs' sum for READ
			 and WRITE */
	struct iovec *iov; /* the back end modifies the entries */
	unsigned iov_count;
	/* the back end's */
	struct loop *loop;
	struct block *block;
	struct file_io io;
	uint8_t step;
	struct iovec own_iov;
	uint64_t run_len;
	struct block_request *next;
};

struct block_info {
	uint64_t size;		      /* bytes, whole logical blocks; atomic, see block_refresh */
	uint32_t logical_size;	      /* bytes: least unit of I/O */
	uint32_t physical_size;	      /* bytes: unit without read-modify-write */
	uint32_t optimal_size;	      /* bytes, 0: unknown */
	uint32_t discard_granularity; /* bytes; 0: no discard */
	bool read_only;
};

struct block_ops {
	const char *name;
	/* Submits on LOOP. Offsets were checked against info->size by the caller. 0, or -EBUSY or
	 * -ECANCELED (try after a completion, or later). */
	int (*submit)(struct block *block, struct loop *loop, struct block_request *req);
	/* LOOP will, or will no more, carry requests. Setup, or LOOP's thread, or LOOP not running.
	 */
	void (*attach)(struct block *block, struct loop *loop);
	void (*detach)(struct block *block, struct loop *loop);
	/* See block_refresh. NULL: the size never changes. */
	bool (*refresh)(struct block *block);
	void (*destroy)(struct block *block);
};

struct block {
	const struct block_ops *ops;
	const char *path; /* for messages; borrowed; NULL: none */
	struct block_info info;
	bool writeback;	  /* false: each write is made durable before it completes (CONFIG_WCE 0);
			     atomic */
	bool single_loop; /* all requests must come from one loop */
};

/* How a disk image is opened; see block_raw.h and block_overlay.h. */
struct block_options {
	const char *path; /* borrowed until block_destroy */
	bool read_only;
	bool direct; /* O_DIRECT */
};

static inline int block_submit(struct block *block, struct loop *loop, struct block_request *req)
{
	return block->ops->submit(block, loop, req);
}

static inline void block_attach(struct block *block, struct loop *loop)
{
	block->ops->attach(block, loop);
}

static inline void block_detach(struct block *block, struct loop *loop)
{
	block->ops->detach(block, loop);
}

/* Looks whether the host has changed the size, and takes it over; true when it has. Any one thread.
 */
static inline bool block_refresh(struct block *block)
{
	return block->ops->refresh && block->ops->refresh(block);
}

static inline uint64_t block_size(const struct block *block)
{
	return __atomic_load_n(&block->info.size, __ATOMIC_RELAXED);
}

static inline void block_set_writeback(struct block *block, bool writeback)
{
	__atomic_store_n(&block->writeback, writeback, __ATOMIC_RELAXED);
}

static inline bool block_is_writeback(const struct block *block)
{
	return __atomic_load_n(&block->writeback, __ATOMIC_RELAXED);
}

static inline void block_destroy(struct block *block)
{
	if (block)
		block->ops->destroy(block);
}

#endif
