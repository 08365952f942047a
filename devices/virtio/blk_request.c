/*
 * Taking block requests apart (virtio 1.2, section 5.2.6). Called by virtio_blk.c on the queue's
 * loop thread, and by its fuzz target.
 *
 * A request is a header of 16 bytes, data, and a status byte. Drivers may cut it into descriptors
 * as they like (2.7.4.1), so the header is gathered from, and the status byte taken off, whatever
 * parts there are.
 */
#include "devices/virtio/blk_request.h"

#include <endian.h>
#include <linux/virtio_blk.h>
#include <string.h>

/* Copies LEN bytes off the front of the parts. False when there are fewer. */
static bool gather(struct iovec **iov, unsigned *iov_count, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		size_t part;

		if (*iov_count == 0)
			return false;
		part = (*iov)->iov_len < len ? (*iov)->iov_len : len;
		memcpy(at, (*iov)->iov_base, part);
		file_io_advance(iov, iov_count, part);
		at += part;
		len -= part;
	}
	return true;
}

/* Takes the last writable byte off the parts. NULL when there is none. */
static uint8_t *take_status(struct iovec *iov, unsigned *iov_count)
{
	struct iovec *last;

	if (*iov_count == 0)
		return NULL;
	last = &iov[*iov_count - 1];
	last->iov_len--;
	if (last->iov_len == 0)
		(*iov_count)--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static void answer(struct blk_parsed *out, uint8_t status)
{
	out->action = BLK_ANSWER;
	out->status = status;
}

static bool in_range(uint64_t sector, uint64_t count, const struct blk_limits *limits)
{
	return sector <= limits->capacity && count <= limits->capacity - sector;
}

static void parse_transfer(struct blk_parsed *out, uint64_t sector, uint64_t len,
			   const struct blk_limits *limits)
{
	if (len % BLK_SECTOR_LEN != 0 || !in_range(sector, len / BLK_SECTOR_LEN, limits) ||
	    (out->op == BLOCK_WRITE && limits->read_only)) {
		answer(out, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (len == 0) {
		answer(out, VIRTIO_BLK_S_OK);
		return;
	}
	out->action = BLK_TRANSFER;
	out->offset = sector * BLK_SECTOR_LEN;
	out->len = len;
}

/* One segment (5.2.6.2); false with *STATUS when it cannot be done. */
static bool parse_segment(struct blk_segment *out, enum block_op op,
			  const struct virtio_blk_discard_write_zeroes *segment,
			  const struct blk_limits *limits, uint8_t *status)
{
	uint64_t sector = le64toh(segment->sector);
	uint32_t count = le32toh(segment->num_sectors);
	uint32_t flags = le32toh(segment->flags);
	uint32_t allowed = op == BLOCK_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (flags & ~allowed) {
		*status = VIRTIO_BLK_S_UNSUPP;
		return false;
	}
	if (count > BLK_SEGMENT_SECTORS_MAX || !in_range(sector, count, limits)) {
		*status = VIRTIO_BLK_S_IOERR;
		return false;
	}
	out->offset = sector * BLK_SECTOR_LEN;
	out->len = (uint64_t)count * BLK_SECTOR_LEN;
	out->may_unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	return true;
}

static void parse_segments(struct blk_parsed *out, uint64_t len, const struct blk_limits *limits)
{
	struct virtio_blk_discard_write_zeroes segment;
	uint64_t count = len / sizeof(segment);
	uint8_t status;

	if (limits->read_only || len % sizeof(segment) != 0 || count == 0 ||
	    count > BLK_SEGMENTS_MAX) {
		answer(out, VIRTIO_BLK_S_IOERR);
		return;
	}
	for (uint64_t i = 0; i < count; i++) {
		struct blk_segment *to = &out->segments[out->segment_count];

		/* LEN was the parts' sum, so they are all there. */
		if (!gather(&out->iov, &out->iov_count, &segment, sizeof(segment)))
			break;
		if (!parse_segment(to, out->op, &segment, limits, &status)) {
			answer(out, status);
			return;
		}
		out->segment_count += to->len > 0;
	}
	if (out->segment_count == 0)
		answer(out, VIRTIO_BLK_S_OK);
	else
		out->action = BLK_SEGMENTS;
}

void blk_request_parse(struct blk_parsed *out, struct iovec *iov,
		       const struct virtqueue_chain *chain, const struct blk_limits *limits)
{
	struct virtio_blk_outhdr header;
	struct iovec *readable = iov, *writable = iov + chain->readable_count;
	unsigned readable_count = chain->readable_count, writable_count = chain->writable_count;
	uint64_t readable_len = chain->readable_len - sizeof(header);
	uint64_t sector;

	out->iov = NULL;
	out->iov_count = 0;
	out->segment_count = 0;
	out->status_byte = take_status(writable, &writable_count);
	if (!out->status_byte) {
		out->action = BLK_DROP;
		return;
	}
	if (!gather(&readable, &readable_count, &header, sizeof(header))) {
		answer(out, VIRTIO_BLK_S_IOERR);
		return;
	}
	sector = le64toh(header.sector);
	out->iov = readable;
	out->iov_count = readable_count;

	switch (le32toh(header.type)) {
	case VIRTIO_BLK_T_IN:
		out->op = BLOCK_READ;
		out->iov = writable;
		out->iov_count = writable_count;
		parse_transfer(out, sector, chain->writable_len - 1, limits);
		return;
	case VIRTIO_BLK_T_OUT:
		out->op = BLOCK_WRITE;
		parse_transfer(out, sector, readable_len, limits);
		return;
	case VIRTIO_BLK_T_FLUSH:
		out->op = BLOCK_FLUSH;
		out->action = BLK_FLUSH_ALL;
		return;
	case VIRTIO_BLK_T_GET_ID:
		out->action = BLK_GET_ID;
		out->iov = writable;
		out->iov_count = writable_count;
		return;
	case VIRTIO_BLK_T_DISCARD:
		out->op = BLOCK_DISCARD;
		if (limits->discard)
			parse_segments(out, readable_len, limits);
		else
			answer(out, VIRTIO_BLK_S_UNSUPP);
		return;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		out->op = BLOCK_WRITE_ZEROES;
		if (limits->write_zeroes)
			parse_segments(out, readable_len, limits);
		else
			answer(out, VIRTIO_BLK_S_UNSUPP);
		return;
	default:
		answer(out, VIRTIO_BLK_S_UNSUPP);
		return;
	}
}
