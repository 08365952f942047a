/*
 * The control queue of virtio_net (virtio 1.2, section 5.1.6.5). On the first loop's thread.
 */
#include "devices/virtio/virtio_net_ctrl.h"

#include <string.h>

#include "devices/net/net_iov.h"
#include "devices/virtio/virtio_net_offload.h"

#define CONTROL_LEN 64 /* of a command, as far as we look at it */

struct control_data {
	const uint8_t *bytes;
	size_t len; /* as far as it was copied */
};

static bool control_mac(const struct virtio_net_ctrl *ctrl, uint8_t command,
			struct control_data data)
{
	switch (command) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return true; /* every frame is let through; the driver sorts them out */
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (data.len != sizeof(ctrl->config->mac))
			return false;
		virtio_config_lock(ctrl->dev);
		memcpy(ctrl->config->mac, data.bytes, sizeof(ctrl->config->mac));
		virtio_config_unlock(ctrl->dev);
		return true;
	default:
		return false;
	}
}

static bool control_mq(const struct virtio_net_ctrl *ctrl, uint8_t command,
		       struct control_data data)
{
	uint16_t pairs;

	if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || data.len != sizeof(pairs) ||
	    !virtio_has_feature(ctrl->dev, VIRTIO_NET_F_MQ))
		return false;
	memcpy(&pairs, data.bytes, sizeof(pairs));
	if (pairs < 1 || pairs > ctrl->pair_count)
		return false;
	return ctrl->net->ops->set_pairs(ctrl->net, pairs) == 0;
}

static bool control_offloads(const struct virtio_net_ctrl *ctrl, uint8_t command,
			     struct control_data data)
{
	uint64_t wanted;

	if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || data.len != sizeof(wanted) ||
	    !virtio_has_feature(ctrl->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
		return false;
	memcpy(&wanted, data.bytes, sizeof(wanted));
	if (wanted & ~ctrl->dev->features_acked)
		return false;
	/* frame_max stays that of the negotiated offloads, the longest there can be. */
	return ctrl->net->ops->set_offload(ctrl->net, virtio_net_guest_offloads(wanted)) == 0;
}

static bool control_command(const struct virtio_net_ctrl *ctrl,
			    const struct virtio_net_ctrl_hdr *hdr, struct control_data data)
{
	switch (hdr->class) {
	case VIRTIO_NET_CTRL_RX:
		return hdr->cmd <= VIRTIO_NET_CTRL_RX_NOBCAST && data.len == 1;
	case VIRTIO_NET_CTRL_MAC:
		return control_mac(ctrl, hdr->cmd, data);
	case VIRTIO_NET_CTRL_MQ:
		return control_mq(ctrl, hdr->cmd, data);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return control_offloads(ctrl, hdr->cmd, data);
	default:
		return false;
	}
}

void virtio_net_ctrl_kick(const struct virtio_net_ctrl *ctrl, struct virtio_queue *q)
{
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
	struct virtqueue_chain chain;

	while (virtio_queue_pop(q, iov, ARRAY_SIZE(iov), &chain) > 0) {
		struct virtio_net_ctrl_hdr hdr;
		uint8_t data[CONTROL_LEN];
		uint8_t ack = VIRTIO_NET_ERR;
		size_t len = net_iov_read(iov, chain.readable_count, 0, data, sizeof(data));

		if (len >= sizeof(hdr)) {
			struct control_data rest = { data + sizeof(hdr), len - sizeof(hdr) };

			memcpy(&hdr, data, sizeof(hdr));
			if (control_command(ctrl, &hdr, rest))
				ack = VIRTIO_NET_OK;
		}
		len = net_iov_write(iov + chain.readable_count, chain.writable_count, 0, &ack,
				    sizeof(ack));
		virtio_queue_push(q, chain.head, (uint32_t)len);
	}
}
