/*
 * The control queue of virtio_net: the driver's commands.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_NET_CTRL_H
#define DEVICES_VIRTIO_VIRTIO_NET_CTRL_H

#include <linux/virtio_net.h>

#include "devices/net/net.h"
#include "devices/virtio/virtio.h"

/* What commands act on; all borrowed. */
struct virtio_net_ctrl {
	struct virtio_device *dev;
	struct net *net;
	struct virtio_net_config *config; /* under the device's config lock */
	unsigned pair_count;
};

/* Carries out and answers all commands in Q. Its loop's thread. */
void virtio_net_ctrl_kick(const struct virtio_net_ctrl *ctrl, struct virtio_queue *q);

#endif
