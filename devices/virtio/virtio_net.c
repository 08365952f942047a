/*
 * virtio network device (virtio 1.2, section 5.1). Features: those of the back end's offloads, and
 * MAC, STATUS, MTU, MRG_RXBUF, CTRL_VQ, CTRL_RX, CTRL_MAC_ADDR, CTRL_GUEST_OFFLOADS, MQ.
 *
 * Frames pass between guest memory and the back end without a copy and without being looked at: the
 * guest's header is the back end's. Each pair of queues works on one loop; pairs share nothing but
 * the config space and the back end. The control queue works on the first loop.
 *
 * Sending: chains are taken until the back end is full; then the last one is put back, and taken
 * again when the back end has room. Receiving: virtio_net_rx.c.
 */
#include "devices/virtio/virtio_net.h"

#include <assert.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_net_ctrl.h"
#include "devices/virtio/virtio_net_offload.h"
#include "devices/virtio/virtio_net_rx.h"

#define QUEUE_SIZE     256
#define ETH_FRAME_MORE 18 /* Ethernet header and a VLAN tag */
#define MTU_DEFAULT    1500

static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HDR_LEN, "one header everywhere");

struct net_pair {
	struct virtio_net *vnet;
	bool receive_ready; /* frames may be waiting: no edge will tell of them */
	bool send_blocked;  /* the back end tells when it has room */
	bool receive_paid;  /* a frame may be received; none has come yet */
	uint32_t frame_max; /* longest frame to receive, with header */
	uint64_t send_paid; /* bytes that the limit will let, or has let, through; 0: none */
	struct limit_user receive_limit;
	struct limit_user send_limit;
	struct vhost_net vhost; /* with net->vhost, in place of all above but VNET */
	struct virtio_net_rx rx;
	struct virtio_net_stats stats; /* loop thread's */
};

struct virtio_net {
	struct virtio_device dev;
	struct net *net;
	struct net_queue_user user;
	unsigned pair_count;
	unsigned attached_count;
	struct net_pair *pairs;
	struct virtio_net_config config; /* under the device's config lock */
	uint16_t mtu;
};

static struct virtio_net *to_vnet(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_net, dev);
}

static struct virtio_queue *receive_queue(struct virtio_net *vnet, unsigned pair)
{
	return &vnet->dev.queues[(size_t)2 * pair];
}

static struct virtio_queue *send_queue(struct virtio_net *vnet, unsigned pair)
{
	return &vnet->dev.queues[(size_t)2 * pair + 1];
}

static unsigned pair_index(const struct net_pair *pair)
{
	return (unsigned)(pair - pair->vnet->pairs);
}

/* Behind all pairs with MQ, behind the first without (5.1.2). */
static unsigned control_index(struct virtio_net *vnet)
{
	return virtio_has_feature(&vnet->dev, VIRTIO_NET_F_MQ) ? 2 * vnet->pair_count : 2;
}

/* Comes back to Q in the next round. */
static void kick_again(const struct virtio_queue *q)
{
	static const uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) < 0) {
		/* Full: it is ringing. */
	}
}

/* Only this thread writes; others may read. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* Longest frame to receive, with header. */
static uint32_t longest_frame(const struct virtio_net *vnet, unsigned tun_flags)
{
	if (tun_flags & ~(unsigned)TUN_F_CSUM)
		return NET_FRAME_MAX;
	return NET_HDR_LEN + ETH_FRAME_MORE + (vnet->mtu ? vnet->mtu : MTU_DEFAULT);
}

/* ---- sending ---- */

/* True when the limit lets a frame of LEN bytes through, now or some time ago. */
static bool send_pay(struct net_pair *pair, uint64_t len)
{
	bool paid = pair->send_paid > 0;

	/* While it waited it was in the driver's hands. */
	if (len > pair->send_paid && paid)
		limit_charge(&pair->send_limit, len - pair->send_paid);
	else if (!paid)
		paid = limit_take(&pair->send_limit, len);
	pair->send_paid = len;
	return paid;
}

static bool send_possible(const struct virtqueue_chain *chain)
{
	return chain->readable_len > NET_HDR_LEN && chain->readable_len <= NET_FRAME_MAX;
}

static void send_kick(struct net_pair *pair, struct virtio_queue *q)
{
	struct virtio_net *vnet = pair->vnet;
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
	struct virtqueue_chain chain;

	if (pair->send_blocked || pair->send_limit.waiting)
		return;
	while (virtio_queue_pop(q, iov, ARRAY_SIZE(iov), &chain) > 0) {
		int ret = -EMSGSIZE;

		if (send_possible(&chain) && !send_pay(pair, chain.readable_len - NET_HDR_LEN)) {
			virtio_queue_unpop(q);
			return;
		}
		if (send_possible(&chain))
			ret = vnet->net->ops->send(vnet->net, q->index / 2u, iov,
						   chain.readable_count);
		if (ret == -EAGAIN) {
			pair->send_blocked = true;
			virtio_queue_unpop(q);
			return;
		}
		if (ret < 0)
			count(&pair->stats.send_dropped);
		else
			count(&pair->stats.sent);
		pair->send_paid = 0;
		virtio_queue_push(q, chain.head, 0);
	}
}

static void on_writable(void *opaque, unsigned index)
{
	struct virtio_net *vnet = opaque;
	struct net_pair *pair = &vnet->pairs[index];

	pair->send_blocked = false;
	send_kick(pair, send_queue(vnet, index));
}

static void send_let_through(struct limit_user *limit)
{
	struct net_pair *pair = container_of(limit, struct net_pair, send_limit);

	send_kick(pair, send_queue(pair->vnet, pair_index(pair)));
}

/* ---- receiving ---- */

static bool receive_pay(struct net_pair *pair)
{
	if (pair->receive_limit.waiting)
		return false;
	pair->receive_paid = limit_take(&pair->receive_limit, 1);
	return pair->receive_paid;
}

static void receive(struct net_pair *pair, struct virtio_queue *q)
{
	struct virtio_net *vnet = pair->vnet;
	unsigned budget = 2u * QUEUE_SIZE;
	bool mergeable;

	if (!q->running || q->stopping)
		return; /* its start kicks */
	/* Not before: while it does not run a vCPU may be resetting the features. */
	mergeable = virtio_has_feature(&vnet->dev, VIRTIO_NET_F_MRG_RXBUF);
	for (; budget > 0; budget--) {
		/* A frame's length shows when it has been received; the rest is charged then. */
		if (!pair->receive_paid && !receive_pay(pair))
			return;
		switch (virtio_net_rx_one(&pair->rx, q, vnet->net, q->index / 2u, pair->frame_max,
					  mergeable)) {
		case VIRTIO_NET_RX_FRAME:
			count(&pair->stats.received);
			if (pair->rx.frame_len > 1)
				limit_charge(&pair->receive_limit, pair->rx.frame_len - 1);
			pair->receive_paid = false;
			break;
		case VIRTIO_NET_RX_DROPPED:
			pair->receive_paid = false;
			count(&pair->stats.receive_dropped);
			break;
		case VIRTIO_NET_RX_EMPTY:
			pair->receive_ready = false;
			return;
		case VIRTIO_NET_RX_STARVED:
			return;
		}
	}
	kick_again(q);
}

static void receive_let_through(struct limit_user *limit)
{
	struct net_pair *pair = container_of(limit, struct net_pair, receive_limit);

	pair->receive_paid = true;
	receive(pair, receive_queue(pair->vnet, pair_index(pair)));
}

static void on_readable(void *opaque, unsigned index)
{
	struct virtio_net *vnet = opaque;
	struct net_pair *pair = &vnet->pairs[index];

	pair->receive_ready = true;
	receive(pair, receive_queue(vnet, index));
}

static void on_link(void *opaque, bool up)
{
	struct virtio_net *vnet = opaque;

	virtio_config_lock(&vnet->dev);
	vnet->config.status = up ? VIRTIO_NET_S_LINK_UP : 0;
	virtio_config_changed(&vnet->dev);
	virtio_config_unlock(&vnet->dev);
}

/* ---- the device ---- */

static void vnet_queue_kick(struct virtio_queue *q)
{
	struct virtio_net *vnet = to_vnet(q->dev);
	struct net_pair *pair;

	if (q->index == control_index(vnet)) {
		const struct virtio_net_ctrl ctrl = { .dev = &vnet->dev,
						      .net = vnet->net,
						      .config = &vnet->config,
						      .pair_count = vnet->pair_count };

		virtio_net_ctrl_kick(&ctrl, q);
		return;
	}
	if (q->index >= 2 * vnet->pair_count)
		return; /* the control queue's place with MQ, which was not accepted */
	pair = &vnet->pairs[q->index / 2u];
	if (q->index & 1u)
		send_kick(pair, q);
	else if (pair->receive_ready && !pair->receive_limit.waiting)
		receive(pair, q);
	else
		virtqueue_disable_notify(&q->vq); /* buffers matter when frames wait for them */
}

static void vnet_queue_stop(struct virtio_queue *q)
{
	struct virtio_net *vnet = to_vnet(q->dev);
	struct net_pair *pair = &vnet->pairs[q->index / 2u];

	if (q->index >= 2 * vnet->pair_count)
		return;
	if (q->index & 1u) {
		limit_cancel(&pair->send_limit);
		pair->send_paid = 0;
		return;
	}
	limit_cancel(&pair->receive_limit);
	pair->receive_paid = false;
	virtio_net_rx_release(&pair->rx, q);
}

static int vnet_queue_lend(struct virtio_queue *q)
{
	struct virtio_net *vnet = to_vnet(q->dev);
	int ret;

	if (!vnet->net->vhost || q->index >= 2 * vnet->pair_count ||
	    q->index == control_index(vnet))
		return 0;
	ret = vhost_net_start(&vnet->pairs[q->index / 2u].vhost, q->index & 1u, q);
	return ret < 0 ? ret : 1;
}

static void vnet_queue_take_back(struct virtio_queue *q)
{
	vhost_net_stop(&to_vnet(q->dev)->pairs[q->index / 2u].vhost, q->index & 1u);
}

static void vnet_queue_irq_changed(struct virtio_queue *q)
{
	if (q->lent)
		vhost_net_irq_changed(&to_vnet(q->dev)->pairs[q->index / 2u].vhost, q->index & 1u);
}

static int vnet_activate_vhost(struct virtio_net *vnet)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && vnet->net->vhost && i < vnet->pair_count; i++)
		ret = vhost_net_activate(&vnet->pairs[i].vhost, vnet->dev.mem,
					 vnet->dev.features_acked);
	return ret;
}

static int vnet_activate(struct virtio_device *dev)
{
	struct virtio_net *vnet = to_vnet(dev);
	unsigned tun_flags = virtio_net_guest_offloads(dev->features_acked);
	int ret = vnet->net->ops->set_offload(vnet->net, tun_flags);

	/* No queue runs yet: nobody reads this. */
	for (unsigned i = 0; i < vnet->pair_count; i++)
		vnet->pairs[i].frame_max = longest_frame(vnet, tun_flags);
	return ret < 0 ? ret : vnet_activate_vhost(vnet);
}

static void vnet_reset(struct virtio_device *dev)
{
	struct virtio_net *vnet = to_vnet(dev);

	/* Failures were logged; the next driver sets both again. */
	(void)!vnet->net->ops->set_pairs(vnet->net, 1);
	(void)!vnet->net->ops->set_offload(vnet->net, 0);
}

static void vnet_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, (const uint8_t *)&to_vnet(dev)->config + offset, len);
}

static const struct virtio_device_ops vnet_ops = {
	.name = "virtio-net",
	.device_id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.config_len = sizeof(struct virtio_net_config),
	.config_read = vnet_config_read,
	.activate = vnet_activate,
	.reset = vnet_reset,
	.queue_kick = vnet_queue_kick,
	.queue_stop = vnet_queue_stop,
	.queue_lend = vnet_queue_lend,
	.queue_take_back = vnet_queue_take_back,
	.queue_irq_changed = vnet_queue_irq_changed,
};

/* ---- life ---- */

static uint64_t vnet_features(const struct virtio_net *vnet)
{
	uint64_t features = virtio_net_offload_features(vnet->net->offloads) |
			    1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS |
			    1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_CTRL_VQ |
			    1ull << VIRTIO_NET_F_CTRL_RX | 1ull << VIRTIO_NET_F_CTRL_MAC_ADDR;

	if (vnet->net->offloads)
		features |= 1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
	if (vnet->mtu)
		features |= 1ull << VIRTIO_NET_F_MTU;
	if (vnet->pair_count > 1)
		features |= 1ull << VIRTIO_NET_F_MQ;
	return features;
}

/* The core's features too are up to who runs the queues. */
static void mask_features(struct virtio_net *vnet)
{
	int tap_fd;

	if (vnet->net->vhost)
		vnet->dev.features = vhost_net_mask_features(
			vnet->net->ops->vhost(vnet->net, 0, &tap_fd), vnet->dev.features);
}

static int init_path(struct net_pair *pair, unsigned index)
{
	struct net *net = pair->vnet->net;
	int vhost_fd, tap_fd;

	if (!net->vhost)
		return virtio_net_rx_init(&pair->rx) < 0 ? log_errno(ENOMEM, "virtio-net: allocate")
							 : 0;
	vhost_fd = net->ops->vhost(net, index, &tap_fd);
	return vhost_net_init(&pair->vhost, vhost_fd, tap_fd);
}

static int vnet_init_pairs(struct virtio_net *vnet, const struct virtio_net_options *options)
{
	vnet->pairs = calloc(vnet->pair_count, sizeof(*vnet->pairs));
	if (!vnet->pairs)
		return log_errno(ENOMEM, "virtio-net: allocate");
	for (unsigned i = 0; i < vnet->pair_count; i++) {
		struct loop *loop = options->loops[i % options->loop_count];
		int ret;

		vnet->pairs[i].vnet = vnet;
		vnet->pairs[i].receive_ready = true;
		vnet->pairs[i].frame_max = longest_frame(vnet, 0);
		limit_user_init(&vnet->pairs[i].receive_limit, options->receive_limit, loop,
				receive_let_through);
		limit_user_init(&vnet->pairs[i].send_limit, options->send_limit, loop,
				send_let_through);
		receive_queue(vnet, i)->loop = loop;
		send_queue(vnet, i)->loop = loop;
		ret = init_path(&vnet->pairs[i], i);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int vnet_attach(struct virtio_net *vnet, const struct virtio_net_options *options)
{
	vnet->user = (struct net_queue_user){
		.readable = on_readable, .writable = on_writable, .link = on_link, .opaque = vnet
	};
	for (unsigned i = 0; i < vnet->pair_count && !vnet->net->vhost; i++) {
		int ret = vnet->net->ops->attach(
			vnet->net, i, options->loops[i % options->loop_count], &vnet->user);

		if (ret < 0)
			return ret;
		vnet->attached_count++;
	}
	return vnet->net->ops->set_pairs(vnet->net, 1);
}

static void vnet_init_config(struct virtio_net *vnet, const struct virtio_net_options *options)
{
	memcpy(vnet->config.mac, options->mac, sizeof(vnet->config.mac));
	vnet->config.status = vnet->net->link_up ? VIRTIO_NET_S_LINK_UP : 0;
	vnet->config.max_virtqueue_pairs = (uint16_t)vnet->pair_count;
	vnet->config.mtu = vnet->mtu;
}

int virtio_net_create(struct virtio_net **out, const struct guest_mem *mem,
		      const struct virtio_net_options *options)
{
	struct virtio_net *vnet;
	int ret;

	assert(options->pairs >= 1 && options->pairs <= options->net->pairs_max);
	vnet = calloc(1, sizeof(*vnet));
	if (!vnet)
		return log_errno(ENOMEM, "virtio-net: allocate");
	vnet->net = options->net;
	vnet->pair_count = options->pairs;
	vnet->mtu = options->mtu ? options->mtu : options->net->mtu;
	ret = virtio_device_init(&vnet->dev, &vnet_ops, mem, options->loops[0], vnet_features(vnet),
				 (uint16_t)(2 * vnet->pair_count + 1), QUEUE_SIZE);
	if (ret == 0) {
		mask_features(vnet);
		vnet_init_config(vnet, options);
		ret = vnet_init_pairs(vnet, options);
	}
	if (ret == 0)
		ret = vnet_attach(vnet, options);
	if (ret < 0) {
		virtio_net_destroy(vnet);
		return ret;
	}
	*out = vnet;
	return 0;
}

void virtio_net_destroy(struct virtio_net *vnet)
{
	if (!vnet)
		return;
	virtio_device_fini(&vnet->dev);
	for (unsigned i = 0; i < vnet->attached_count; i++)
		vnet->net->ops->detach(vnet->net, i);
	for (unsigned i = 0; vnet->pairs && i < vnet->pair_count; i++) {
		virtio_net_rx_fini(&vnet->pairs[i].rx);
		vhost_net_fini(&vnet->pairs[i].vhost);
	}
	free(vnet->pairs);
	free(vnet);
}

struct virtio_device *virtio_net_device(struct virtio_net *vnet)
{
	return &vnet->dev;
}

void virtio_net_get_stats(const struct virtio_net *vnet, struct virtio_net_stats *stats)
{
	*stats = (struct virtio_net_stats){ 0 };
	for (unsigned i = 0; i < vnet->pair_count; i++) {
		const struct virtio_net_stats *pair = &vnet->pairs[i].stats;

		stats->sent += __atomic_load_n(&pair->sent, __ATOMIC_RELAXED);
		stats->received += __atomic_load_n(&pair->received, __ATOMIC_RELAXED);
		stats->send_dropped += __atomic_load_n(&pair->send_dropped, __ATOMIC_RELAXED);
		stats->receive_dropped += __atomic_load_n(&pair->receive_dropped, __ATOMIC_RELAXED);
	}
}
