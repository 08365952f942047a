#include "tests/guest/lib/net.h"

#include <linux/virtio_net.h>

#define ETH_LEN	  14u
#define IP_LEN	  20u
#define ICMP_LEN  8u
#define ARP_LEN	  28u
#define TYPE_ARP  0x0806
#define TYPE_IP	  0x0800
#define IP_ICMP	  1
#define TRIES	  500u
#define NO_ANSWER 0xff

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static uint16_t checksum(const uint8_t *at, uint32_t len)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += get16(at + i);
	if (len % 2)
		sum += (uint32_t)at[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ---- the card ---- */

static void offer(struct net *net, unsigned buffer)
{
	const struct vq_buf buf = { net->buffers + buffer * NET_BUFFER_LEN, NET_BUFFER_LEN, true };

	(void)vq_add(&net->receive, &buf, 1);
}

bool net_reopen(struct net *net, uint64_t wanted, unsigned flags)
{
	if (!virtio_negotiate(&net->dev, wanted | 1ull << VIRTIO_NET_F_MAC))
		return false;
	for (unsigned i = 0; i < sizeof(net->mac); i++)
		net->mac[i] = (uint8_t)virtio_config(&net->dev, i, 1);
	if (!vq_init(&net->receive, &net->dev, 0, NET_BUFFERS, flags) ||
	    !vq_init(&net->send, &net->dev, 1, 0, flags))
		return false;
	net->has_control = net->dev.features & 1ull << VIRTIO_NET_F_CTRL_VQ &&
			   vq_init(&net->control, &net->dev, 2, 0, flags);
	net->buffers = guest_alloc((size_t)NET_BUFFERS * NET_BUFFER_LEN, 4096);
	net->frame = guest_alloc(NET_BUFFER_LEN, 16);
	virtio_driver_ok(&net->dev);
	for (unsigned i = 0; i < net->receive.size; i++)
		offer(net, i);
	vq_kick(&net->receive);
	return true;
}

bool net_open(struct net *net, unsigned nth, uint64_t wanted, unsigned flags)
{
	return virtio_find(&net->dev, VIRTIO_ID_NET, nth) && net_reopen(net, wanted, flags);
}

bool net_send(struct net *net, uint32_t len)
{
	const struct vq_buf buf = { net->frame, NET_HDR_LEN + len, false };

	memset(net->frame, 0, NET_HDR_LEN);
	if (vq_add(&net->send, &buf, 1) < 0)
		return false;
	vq_kick(&net->send);
	return vq_wait(&net->send, NULL) >= 0;
}

const uint8_t *net_receive(struct net *net, uint64_t ticks, uint32_t *len, int *head)
{
	uint64_t start = rdtsc();
	uint64_t at;

	while ((*head = vq_take(&net->receive, len)) < 0) {
		if (rdtsc() - start > ticks)
			return NULL;
		cpu_relax();
	}
	at = net->receive.desc[*head].addr;
	*len = *len > NET_HDR_LEN ? *len - NET_HDR_LEN : 0;
	return (const uint8_t *)at + NET_HDR_LEN;
}

void net_give_back(struct net *net, int head)
{
	const struct vq_buf buf = { (const void *)net->receive.desc[head].addr, NET_BUFFER_LEN,
				    true };

	(void)vq_add(&net->receive, &buf, 1);
	vq_kick(&net->receive);
}

uint8_t net_control(struct net *net, uint8_t class, uint8_t command, const void *data, uint32_t len)
{
	static struct virtio_net_ctrl_hdr hdr;
	static volatile uint8_t ack;
	const struct vq_buf bufs[] = {
		{ &hdr, sizeof(hdr), false },
		{ data, len, false },
		{ (const void *)&ack, 1, true },
	};
	const struct vq_buf no_data[] = { bufs[0], bufs[2] };

	hdr = (struct virtio_net_ctrl_hdr){ class, command };
	ack = NO_ANSWER;
	if ((len ? vq_add(&net->control, bufs, 3) : vq_add(&net->control, no_data, 2)) < 0)
		return NO_ANSWER;
	vq_kick(&net->control);
	return vq_wait(&net->control, NULL) < 0 ? NO_ANSWER : ack;
}

/* ---- frames ---- */

static uint8_t *frame_begin(struct net *net, const uint8_t *to, uint32_t type)
{
	uint8_t *at = net->frame + NET_HDR_LEN;

	memcpy(at, to, 6);
	memcpy(at + 6, net->mac, 6);
	put16(at + 12, type);
	return at + ETH_LEN;
}

/* The first frame that FN likes, among a few others that a host may send. */
static bool answered(struct net *net,
		     bool (*fn)(struct net *net, const uint8_t *frame, uint32_t len, uint32_t arg),
		     uint32_t arg)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t len;
		int head;
		const uint8_t *frame = net_receive(net, VQ_PATIENCE, &len, &head);
		bool good;

		if (!frame)
			return false;
		good = fn(net, frame, len, arg);
		net_give_back(net, head);
		if (good)
			return true;
	}
	return false;
}

static bool is_arp_reply(struct net *net, const uint8_t *frame, uint32_t len, uint32_t arg)
{
	(void)arg;
	if (len < ETH_LEN + ARP_LEN || get16(frame + 12) != TYPE_ARP ||
	    get16(frame + ETH_LEN + 6) != 2 || get32(frame + ETH_LEN + 14) != net->peer)
		return false;
	memcpy(net->peer_mac, frame + ETH_LEN + 8, 6);
	return true;
}

bool net_arp(struct net *net)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t *arp = frame_begin(net, all, TYPE_ARP);

	memset(arp, 0, ARP_LEN);
	put16(arp, 1);
	put16(arp + 2, TYPE_IP);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, 1);
	memcpy(arp + 8, net->mac, 6);
	put32(arp + 14, net->ours);
	put32(arp + 24, net->peer);
	return net_send(net, ETH_LEN + ARP_LEN) && answered(net, is_arp_reply, 0);
}

static uint8_t payload_byte(uint32_t i, uint32_t sequence)
{
	return (uint8_t)(i * 3 + sequence);
}

static bool is_echo_reply(struct net *net, const uint8_t *frame, uint32_t len, uint32_t arg)
{
	const uint8_t *icmp = frame + ETH_LEN + IP_LEN;
	uint32_t sequence = arg >> 16, payload = arg & 0xffff;

	(void)net;
	if (len < ETH_LEN + IP_LEN + ICMP_LEN + payload || get16(frame + 12) != TYPE_IP ||
	    frame[ETH_LEN + 9] != IP_ICMP || icmp[0] != 0 || get16(icmp + 6) != sequence)
		return false;
	for (uint32_t i = 0; i < payload; i++)
		if (icmp[ICMP_LEN + i] != payload_byte(i, sequence))
			return false;
	return true;
}

bool net_ping(struct net *net, uint16_t sequence, uint32_t len)
{
	uint8_t *ip = frame_begin(net, net->peer_mac, TYPE_IP);
	uint8_t *icmp = ip + IP_LEN;

	memset(ip, 0, IP_LEN + ICMP_LEN);
	ip[0] = 0x45;
	put16(ip + 2, IP_LEN + ICMP_LEN + len);
	ip[8] = 64;
	ip[9] = IP_ICMP;
	put32(ip + 12, net->ours);
	put32(ip + 16, net->peer);
	put16(ip + 10, checksum(ip, IP_LEN));
	icmp[0] = 8;
	put16(icmp + 4, 1);
	put16(icmp + 6, sequence);
	for (uint32_t i = 0; i < len; i++)
		icmp[ICMP_LEN + i] = payload_byte(i, sequence);
	put16(icmp + 2, checksum(icmp, ICMP_LEN + len));
	return net_send(net, ETH_LEN + IP_LEN + ICMP_LEN + len) &&
	       answered(net, is_echo_reply, (uint32_t)sequence << 16 | len);
}
