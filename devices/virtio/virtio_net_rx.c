/*
 * Receive path of virtio_net (virtio 1.2, sections 5.1.6.3 and 5.1.6.4). On the pair's loop.
 *
 * Chains are held from one frame to the next until they are used, so that a small frame does not
 * cost taking, and putting back, the buffers of the largest one. The ring's order is kept.
 *
 * Drivers cut their buffers from larger pieces of memory. Those that lie side by side are offered
 * to the kernel as one, which spares it work for each; what a chain has of the parts is known by
 * its length.
 *
 * A frame's length is not known before it is read: it is read into the chains there are and, should
 * they be too small, into a buffer of ours behind them. With mergeable buffers it then waits there
 * until the driver has given enough; without, it is dropped.
 *
 * While frames are short, as acknowledgements are, only a few parts are offered for them: the
 * kernel copies the vector in, and allocates for a long one, for each frame. A long frame among
 * them goes through the buffer of ours.
 */
#include "devices/virtio/virtio_net_rx.h"

#include <stddef.h>
#include <string.h>

#include "devices/net/net_iov.h"

/* Offset of num_buffers in struct virtio_net_hdr_v1. */
#define HDR_NUM_BUFFERS 10

/* With one of ours, as many as the kernel takes without allocating. */
#define FEW_PARTS 7
/* Short frames in a row after which the next is expected to be short too. */
#define SHORT_RUN 16
/* Chains that are taken at once: the buffers of a page, or nearly, for the longest frame. */
#define TAKE_MAX 32

int virtio_net_rx_init(struct virtio_net_rx *rx)
{
	*rx = (struct virtio_net_rx){ .pending = malloc(NET_FRAME_MAX) };
	return rx->pending ? 0 : -ENOMEM;
}

void virtio_net_rx_fini(struct virtio_net_rx *rx)
{
	free(rx->pending);
	rx->pending = NULL;
}

/* Moves what is held to the arrays' start when the end has no room for another chain. */
static void rx_compact(struct virtio_net_rx *rx)
{
	unsigned chains = rx->chain_end - rx->chain_start;
	unsigned parts = rx->part_end - rx->part_start;

	if (rx->chain_end < VIRTIO_NET_RX_CHAINS &&
	    VIRTIO_NET_RX_PARTS - rx->part_end >= VIRTQUEUE_SIZE_MAX)
		return;
	memmove(rx->chains, rx->chains + rx->chain_start, chains * sizeof(*rx->chains));
	memmove(rx->parts, rx->parts + rx->part_start, parts * sizeof(*rx->parts));
	rx->chain_start = 0;
	rx->chain_end = chains;
	rx->part_start = 0;
	rx->part_end = parts;
}

/* Whether the part at the end of the array goes on where the one before it ends. */
static bool rx_part_continues(const struct virtio_net_rx *rx)
{
	const struct iovec *part = &rx->parts[rx->part_end];

	return rx->part_start < rx->part_end &&
	       (const uint8_t *)part[-1].iov_base + part[-1].iov_len == part->iov_base;
}

/* Holds COUNT parts at the end of the array, LEN bytes: one chain. */
static void rx_hold(struct virtio_net_rx *rx, uint16_t head, unsigned count, uint32_t len)
{
	rx->chains[rx->chain_end++] = (struct virtio_net_rx_chain){ .head = head, .len = len };
	rx->len += len;
	if (count == 1 && rx_part_continues(rx))
		rx->parts[rx->part_end - 1].iov_len += len;
	else
		rx->part_end += count;
}

/* Cuts PARTS to the LEN bytes of the longest frame; how many remain. */
static unsigned rx_cut(struct iovec *parts, uint64_t len)
{
	unsigned count = 0;

	for (; len > 0; count++) {
		if (parts[count].iov_len > len)
			parts[count].iov_len = len;
		len -= parts[count].iov_len;
	}
	return count;
}

/* Takes one more chain. False when there is none, or no room to hold it. */
static bool rx_take(struct virtio_net_rx *rx, struct virtio_queue *q)
{
	struct virtqueue_chain chain;
	struct iovec *parts;
	unsigned count;

	rx_compact(rx);
	if (rx->chain_end == VIRTIO_NET_RX_CHAINS ||
	    VIRTIO_NET_RX_PARTS - rx->part_end < VIRTQUEUE_SIZE_MAX)
		return false;
	parts = rx->parts + rx->part_end;
	if (virtio_queue_pop(q, parts, VIRTQUEUE_SIZE_MAX, &chain) <= 0)
		return false;
	/* What is for reading has no business here and is not written to. */
	memmove(parts, parts + chain.readable_count, chain.writable_count * sizeof(*parts));
	count = chain.writable_count;
	if (chain.writable_len > NET_FRAME_MAX) {
		count = rx_cut(parts, NET_FRAME_MAX);
		chain.writable_len = NET_FRAME_MAX;
	}
	rx_hold(rx, chain.head, count, (uint32_t)chain.writable_len);
	return true;
}

/* Takes more chains of one part each, as mergeable buffers are, as long as the held ones have fewer
 * than WANT bytes. */
static void rx_take_parts(struct virtio_net_rx *rx, struct virtio_queue *q, uint32_t want)
{
	struct virtqueue_part taken[TAKE_MAX];
	unsigned count;

	if (rx->len >= want)
		return;
	rx_compact(rx);
	count = VIRTIO_NET_RX_CHAINS - rx->chain_end;
	if (VIRTIO_NET_RX_PARTS - rx->part_end < TAKE_MAX)
		return;
	count = virtio_queue_pop_parts(q, taken, count < TAKE_MAX ? count : TAKE_MAX,
				       want - rx->len);
	for (unsigned i = 0; i < count; i++) {
		uint32_t len = taken[i].len < NET_FRAME_MAX ? taken[i].len : NET_FRAME_MAX;

		rx->parts[rx->part_end] =
			(struct iovec){ .iov_base = taken[i].base, .iov_len = len };
		rx_hold(rx, taken[i].head, 1, len);
	}
}

/* The first LEN bytes of the parts are used. */
static void rx_drop_bytes(struct virtio_net_rx *rx, uint64_t len)
{
	rx->len -= len;
	while (len > 0) {
		struct iovec *part = &rx->parts[rx->part_start];

		if (part->iov_len > len) {
			part->iov_base = (uint8_t *)part->iov_base + len;
			part->iov_len -= len;
			return;
		}
		len -= part->iov_len;
		rx->part_start++;
	}
}

/* A driver's buffer must hold a header at least, or it is given back empty. */
static void rx_skip_useless(struct virtio_net_rx *rx, struct virtio_queue *q)
{
	while (rx->chain_start < rx->chain_end && rx->chains[rx->chain_start].len < NET_HDR_LEN) {
		virtio_queue_push(q, rx->chains[rx->chain_start].head, 0);
		rx_drop_bytes(rx, rx->chains[rx->chain_start++].len);
	}
}

/* Holds enough for a frame of WANT bytes if the ring has it. */
static void rx_gather(struct virtio_net_rx *rx, struct virtio_queue *q, uint32_t want,
		      bool mergeable)
{
	do {
		if (mergeable)
			rx_take_parts(rx, q, want);
		rx_skip_useless(rx, q);
	} while ((rx->chain_start == rx->chain_end || (mergeable && rx->len < want)) &&
		 rx_take(rx, q));
}

/* Tells the driver about LEN bytes that lie in the first chains. It sees none of it before the end
 * of the round. */
static void rx_deliver(struct virtio_net_rx *rx, struct virtio_queue *q, uint64_t len)
{
	const struct iovec *parts = rx->parts + rx->part_start;
	uint64_t left = len, held_len = 0;
	uint16_t count = 0;

	rx->frame_len = len - NET_HDR_LEN;
	for (; left > 0; count++) {
		const struct virtio_net_rx_chain *chain = &rx->chains[rx->chain_start++];
		uint32_t used = chain->len < left ? chain->len : (uint32_t)left;

		virtio_queue_push(q, chain->head, used);
		left -= used;
		held_len += chain->len;
	}
	/* Little-endian, as the host is. */
	net_iov_write(parts, rx->part_end - rx->part_start, HDR_NUM_BUFFERS, &count, sizeof(count));
	rx_drop_bytes(rx, held_len);
}

static enum virtio_net_rx_result rx_deliver_pending(struct virtio_net_rx *rx,
						    struct virtio_queue *q)
{
	rx_gather(rx, q, rx->pending_len, true);
	if (rx->len < rx->pending_len) {
		/* With every buffer that can be had at once it is still too long. */
		if (rx->chain_end - rx->chain_start < q->vq.size &&
		    VIRTIO_NET_RX_PARTS - rx->part_end >= VIRTQUEUE_SIZE_MAX)
			return VIRTIO_NET_RX_STARVED;
		rx->pending_len = 0;
		return VIRTIO_NET_RX_DROPPED;
	}
	net_iov_write(rx->parts + rx->part_start, rx->part_end - rx->part_start, 0, rx->pending,
		      rx->pending_len);
	rx_deliver(rx, q, rx->pending_len);
	rx->pending_len = 0;
	return VIRTIO_NET_RX_FRAME;
}

/* The frame went beyond the chains, which held the first HELD_LEN bytes: all of it moves to the
 * buffer of ours. */
static enum virtio_net_rx_result rx_keep(struct virtio_net_rx *rx, struct virtio_queue *q,
					 uint64_t held_len, uint64_t frame_len)
{
	net_iov_read(rx->parts + rx->part_start, rx->part_end - rx->part_start, 0, rx->pending,
		     held_len);
	rx->pending_len = (uint32_t)frame_len;
	return rx_deliver_pending(rx, q);
}

/* The parts that are offered for the next frame: the first COUNT, ROOM bytes. */
struct rx_offer {
	unsigned count;
	uint64_t room;
	uint64_t few_room; /* bytes of the first few, or 0 when no more are held */
};

static struct rx_offer rx_offer(const struct virtio_net_rx *rx, bool mergeable)
{
	const struct iovec *parts = rx->parts + rx->part_start;
	struct rx_offer offer = { .count = rx->part_end - rx->part_start, .room = rx->len };

	/* Without mergeable buffers no more than one chain is held. */
	if (!mergeable || offer.count <= FEW_PARTS)
		return offer;
	for (unsigned i = 0; i < FEW_PARTS; i++)
		offer.few_room += parts[i].iov_len;
	if (rx->short_run >= SHORT_RUN) {
		offer.count = FEW_PARTS;
		offer.room = offer.few_room;
	}
	return offer;
}

static int64_t rx_read(struct virtio_net_rx *rx, struct net *net, unsigned pair,
		       const struct rx_offer *offer)
{
	struct iovec *parts = rx->parts + rx->part_start;
	struct iovec next = parts[offer->count];
	unsigned count = offer->count;
	int64_t len;

	if (offer->room < NET_FRAME_MAX)
		parts[count++] = (struct iovec){ .iov_base = rx->pending + offer->room,
						 .iov_len = NET_FRAME_MAX - offer->room };
	len = net->ops->receive(net, pair, parts, count);
	parts[offer->count] = next;
	return len;
}

enum virtio_net_rx_result virtio_net_rx_one(struct virtio_net_rx *rx, struct virtio_queue *q,
					    struct net *net, unsigned pair, uint32_t frame_max,
					    bool mergeable)
{
	struct rx_offer offer;
	int64_t len;

	if (rx->pending_len > 0)
		return rx_deliver_pending(rx, q);
	rx_gather(rx, q, frame_max, mergeable);
	if (rx->chain_start == rx->chain_end)
		return VIRTIO_NET_RX_STARVED;
	offer = rx_offer(rx, mergeable);
	len = rx_read(rx, net, pair, &offer);
	if (len < 0)
		return VIRTIO_NET_RX_EMPTY;
	if (len < NET_HDR_LEN)
		return VIRTIO_NET_RX_DROPPED;
	if (offer.few_room > 0)
		rx->short_run = (uint64_t)len <= offer.few_room ? rx->short_run + 1 : 0;
	if ((uint64_t)len > offer.room && !mergeable)
		return VIRTIO_NET_RX_DROPPED;
	if ((uint64_t)len > offer.room)
		return rx_keep(rx, q, offer.room, (uint64_t)len);
	rx_deliver(rx, q, (uint64_t)len);
	return VIRTIO_NET_RX_FRAME;
}

void virtio_net_rx_release(struct virtio_net_rx *rx, struct virtio_queue *q)
{
	for (; rx->chain_start < rx->chain_end; rx->chain_start++)
		virtio_queue_push(q, rx->chains[rx->chain_start].head, 0);
	rx->chain_start = 0;
	rx->chain_end = 0;
	rx->part_start = 0;
	rx->part_end = 0;
	rx->len = 0;
	rx->pending_len = 0;
}
