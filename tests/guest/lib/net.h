/*
 * A virtio network card as a driver sees it (virtio 1.2, section 5.1), and as much of Ethernet as a
 * test needs: ARP and ping.
 */
#ifndef TESTS_GUEST_LIB_NET_H
#define TESTS_GUEST_LIB_NET_H

#include "tests/guest/lib/virtio.h"

#define NET_BUFFER_LEN	     2048u
#define NET_BUFFERS	     64u
#define NET_HDR_LEN	     12u
#define NET_ADDR(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

struct net {
	struct virtio_dev dev;
	struct vq receive;
	struct vq send;
	struct vq control;
	bool has_control;
	uint8_t mac[6];
	uint8_t peer_mac[6]; /* set by net_arp */
	uint8_t *buffers;
	uint8_t *frame; /* to send, header first */
	uint32_t ours, peer;
};

/* The NTH card running, its receive queue filled. */
bool net_open(struct net *net, unsigned nth, uint64_t wanted, unsigned flags);
bool net_reopen(struct net *net, uint64_t wanted, unsigned flags);
/* Sends LEN bytes of net->frame behind the header; waits until the device has them. */
bool net_send(struct net *net, uint32_t len);
/*
 * The next frame that comes in within TICKS, its length without header in *LEN, valid until
 * net_give_back; NULL when none comes.
 */
const uint8_t *net_receive(struct net *net, uint64_t ticks, uint32_t *len, int *head);
void net_give_back(struct net *net, int head);

/* Asks who has net->peer. */
bool net_arp(struct net *net);
/* One echo request with LEN bytes of payload, answered with the same. */
bool net_ping(struct net *net, uint16_t sequence, uint32_t len);
/* The ack byte of a control command; 0xff: no answer. */
uint8_t net_control(struct net *net, uint8_t class, uint8_t command, const void *data,
		    uint32_t len);

#endif
