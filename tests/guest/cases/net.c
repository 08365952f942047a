/*
 * The virtio network card with a tap behind it, on which the host is 10.9.0.1.
 */
#include <linux/virtio_net.h>

#include "tests/guest/lib/net.h"

#define MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define CONTROL                                                                                    \
	(1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX |                             \
	 1ull << VIRTIO_NET_F_CTRL_MAC_ADDR)
#define RINGS	(1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define LARGEST 1472u /* payload of a frame of 1500 bytes */

static struct net net = { .ours = NET_ADDR(10, 9, 0, 2), .peer = NET_ADDR(10, 9, 0, 1) };
static size_t mark;

static bool pings(unsigned count)
{
	bool good = true;

	for (unsigned i = 0; i < count && good; i++)
		good = net_ping(&net, (uint16_t)i, i * 97 % LARGEST);
	return good;
}

static void mode(const char *name, uint64_t features, unsigned flags)
{
	guest_alloc_back_to(mark);
	check_that(net_reopen(&net, features, flags) && net_arp(&net) && pings(200) &&
			   net_ping(&net, 1000, LARGEST),
		   name);
}

static void control(void)
{
	const uint8_t on = 1, mac[6] = { 2, 0, 0, 1, 2, 3 };
	bool good = net_reopen(&net, CONTROL | RINGS, VQ_POLLED);

	if (good && !net.has_control) {
		print("skip net control queue: not offered\n");
		return;
	}
	check_that(good && net_control(&net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on,
				       1) == VIRTIO_NET_OK,
		   "net becomes promiscuous");
	good = net_control(&net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac,
			   sizeof(mac)) == VIRTIO_NET_OK;
	for (unsigned i = 0; i < sizeof(mac); i++)
		good = good && virtio_config(&net.dev, i, 1) == mac[i];
	check_that(good, "net takes another address and shows it");
	check_that(net_control(&net, 99, 0, &on, 1) == VIRTIO_NET_ERR,
		   "net refuses an unknown command");
}

/* Reset while frames are under way both ways. */
static void reset_under_way(void)
{
	bool good = true;

	for (unsigned round = 0; round < 20 && good; round++) {
		guest_alloc_back_to(mark);
		good = net_reopen(&net, RINGS, VQ_POLLED) && net_arp(&net);
		for (unsigned i = 0; i < 16; i++) {
			const struct vq_buf buf = { net.frame, NET_HDR_LEN + 60, false };

			(void)vq_add(&net.send, &buf, 1);
		}
		vq_kick(&net.send);
		for (unsigned i = 0; i < round * 100; i++)
			cpu_relax();
		good = good && virtio_reset(&net.dev);
	}
	check_that(good, "net is reset while frames are under way");
	mode("net works after the reset", MERGEABLE | RINGS, VQ_INTERRUPT);
}

int guest_main(void)
{
	mark = guest_alloc_mark();
	if (!net_open(&net, 0, 0, VQ_POLLED))
		guest_die("there is no network card");
	mode("net polled, plain rings", 0, VQ_POLLED);
	mode("net polled, mergeable, indirect and event index", MERGEABLE | RINGS, VQ_POLLED);
	mode("net by interrupt, plain rings", 0, VQ_INTERRUPT);
	mode("net by interrupt, mergeable, indirect and event index", MERGEABLE | RINGS,
	     VQ_INTERRUPT);
	control();
	reset_under_way();
	return check_failures;
}
