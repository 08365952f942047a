/*
 * virtio network device (virtio 1.2, section 5.1).
 */
#ifndef DEVICES_VIRTIO_VIRTIO_NET_H
#define DEVICES_VIRTIO_VIRTIO_NET_H

#include "devices/limit.h"
#include "devices/net/net.h"
#include "devices/virtio/virtio.h"
#include "vmm/err.h"

struct virtio_net;

struct virtio_net_options {
	struct net *net; /* borrowed; outlives the device */
	uint8_t mac[6];
	uint16_t mtu;	/* 0: the back end's */
	unsigned pairs; /* at most the back end's */
	/* Pair i works on loops[i % loop_count]; borrowed, not running yet. */
	struct loop *const *loops;
	unsigned loop_count;
	/* Frames and their bytes, all pairs together, perhaps with other cards; borrowed; NULL: not
	 * bounded. */
	struct limit *receive_limit;
	struct limit *send_limit;
};

/* What a device did so far; read on any thread, may be slightly stale. */
struct virtio_net_stats {
	uint64_t sent;
	uint64_t received;
	uint64_t send_dropped;
	uint64_t receive_dropped;
};

/* Setup. 0 or -errno, logged. */
int virtio_net_create(struct virtio_net **out, const struct guest_mem *mem,
		      const struct virtio_net_options *options) MUST_CHECK;
/* After its transport was destroyed; the loops have ended. NULL is allowed. */
void virtio_net_destroy(struct virtio_net *vnet);

/* For the transport. */
struct virtio_device *virtio_net_device(struct virtio_net *vnet);
void virtio_net_get_stats(const struct virtio_net *vnet, struct virtio_net_stats *stats);

#endif
