/*
 * Receive buffers of one pair of virtio_net: chains taken from the ring ahead of frames, so that
 * one readv(2) can fill as many of them as a frame needs.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_NET_RX_H
#define DEVICES_VIRTIO_VIRTIO_NET_RX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/net/net.h"
#include "devices/virtio/virtio.h"

/* Chains held at a time, and their parts; a chain has VIRTQUEUE_SIZE_MAX parts at most. Parts that
 * lie side by side in memory are one. */
#define VIRTIO_NET_RX_CHAINS VIRTQUEUE_SIZE_MAX
#define VIRTIO_NET_RX_PARTS  (3 * VIRTQUEUE_SIZE_MAX)

struct virtio_net_rx_chain {
	uint32_t len; /* what of it is used: no more than a frame has */
	uint16_t head;
};

struct virtio_net_rx {
	struct virtio_net_rx_chain chains[VIRTIO_NET_RX_CHAINS];
	struct iovec parts[VIRTIO_NET_RX_PARTS + 1]; /* one for what no chain has room for */
	unsigned chain_start, chain_end;
	unsigned part_start, part_end;
	uint64_t len;	    /* bytes of all held chains */
	unsigned short_run; /* frames in a row for which the first few parts were enough */
	/* A frame that was longer than what the ring held when it came; it waits here for more. */
	uint8_t *pending; /* NET_FRAME_MAX bytes */
	uint32_t pending_len;
	uint64_t frame_len; /* of the frame that was delivered last, without its header */
};

/* 0 or -ENOMEM. */
int virtio_net_rx_init(struct virtio_net_rx *rx) MUST_CHECK;
void virtio_net_rx_fini(struct virtio_net_rx *rx);

/* Result of virtio_net_rx_one. */
enum virtio_net_rx_result {
	VIRTIO_NET_RX_FRAME,   /* one was delivered */
	VIRTIO_NET_RX_DROPPED, /* one was lost */
	VIRTIO_NET_RX_EMPTY,   /* none has arrived (or the back end fails); the next is announced */
	VIRTIO_NET_RX_STARVED, /* the driver has to give buffers first */
};

/*
 * Receives one frame from PAIR of NET into the buffers of Q. FRAME_MAX is the longest to expect,
 * with header: buffers for it are held ready. MERGEABLE: it may span chains. Loop thread.
 */
enum virtio_net_rx_result virtio_net_rx_one(struct virtio_net_rx *rx, struct virtio_queue *q,
					    struct net *net, unsigned pair, uint32_t frame_max,
					    bool mergeable);

/* Gives all held chains back to Q, unused, and forgets a pending frame. Loop thread. */
void virtio_net_rx_release(struct virtio_net_rx *rx, struct virtio_queue *q);

#endif
