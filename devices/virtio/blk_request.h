/*
 * What a driver asks of a block device (virtio 1.2, section 5.2.6): one request, taken apart and
 * checked. Pure: reads guest memory through the iovecs, once, and changes nothing but the iovec
 * array.
 */
#ifndef DEVICES_VIRTIO_BLK_REQUEST_H
#define DEVICES_VIRTIO_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/block/block.h"
#include "devices/virtio/virtqueue.h"

#define BLK_SECTOR_LEN 512u
/* Offered as max_discard_seg and max_write_zeroes_seg. */
#define BLK_SEGMENTS_MAX 16
/* Sectors a segment; offered as max_discard_sectors and max_write_zeroes_sectors: 1 GiB. */
#define BLK_SEGMENT_SECTORS_MAX (1u << 21)
#define BLK_ID_LEN		20

/* What the device is, as far as a request can be wrong about it. */
struct blk_limits {
	uint64_t capacity; /* sectors */
	bool read_only;
	bool discard;	   /* negotiated */
	bool write_zeroes; /* negotiated */
};

enum blk_action {
	BLK_TRANSFER, /* op READ or WRITE: offset, len, iov */
	BLK_FLUSH_ALL,
	BLK_SEGMENTS, /* op DISCARD or WRITE_ZEROES: segments */
	BLK_GET_ID,   /* iov is where the serial number goes */
	BLK_ANSWER,   /* nothing to do but answer STATUS */
	BLK_DROP,     /* there is no room even for a status */
};

struct blk_segment {
	uint64_t offset; /* bytes */
	uint64_t len;	 /* bytes, above 0 */
	bool may_unmap;
};

struct blk_parsed {
	enum blk_action action;
	enum block_op op;
	uint8_t status;	      /* VIRTIO_BLK_S_*, of BLK_ANSWER */
	uint8_t *status_byte; /* in guest memory; NULL with BLK_DROP */
	uint64_t offset;      /* bytes */
	uint64_t len;	      /* bytes, above 0 */
	struct iovec *iov;    /* data, inside the array given */
	unsigned iov_count;
	unsigned segment_count;
	struct blk_segment segments[BLK_SEGMENTS_MAX];
};

/* IOV is the chain's, and modified. Any thread. */
void blk_request_parse(struct blk_parsed *out, struct iovec *iov,
		       const struct virtqueue_chain *chain, const struct blk_limits *limits);

#endif
