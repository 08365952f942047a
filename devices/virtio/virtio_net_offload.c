/*
 * The back end's offloads in virtio's words, and the reverse (virtio 1.2, section 5.1.3). Pure.
 */
#include "devices/virtio/virtio_net_offload.h"

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "vmm/err.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif

struct offload {
	unsigned tun;	/* what the back end can do */
	unsigned host;	/* feature: the guest may send so */
	unsigned guest; /* feature: the guest receives so */
};

static const struct offload offloads[] = {
	{ TUN_F_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM },
	{ TUN_F_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4 },
	{ TUN_F_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6 },
	{ TUN_F_TSO_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN },
	{ TUN_F_USO4, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4 },
	{ TUN_F_USO6, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO6 },
};

uint64_t virtio_net_offload_features(unsigned tun_flags)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (tun_flags & offloads[i].tun)
			features |= 1ull << offloads[i].host | 1ull << offloads[i].guest;
	}
	return features;
}

unsigned virtio_net_guest_offloads(uint64_t features)
{
	unsigned tun_flags = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (features & 1ull << offloads[i].guest)
			tun_flags |= offloads[i].tun;
	}
	/* Nothing comes in segments without checksum offload, and tun takes USO for both or none.
	 */
	if (!(tun_flags & TUN_F_CSUM))
		return 0;
	if ((tun_flags & (TUN_F_USO4 | TUN_F_USO6)) != (TUN_F_USO4 | TUN_F_USO6))
		tun_flags &= ~(unsigned)(TUN_F_USO4 | TUN_F_USO6);
	if (!(tun_flags & (TUN_F_TSO4 | TUN_F_TSO6)))
		tun_flags &= ~(unsigned)TUN_F_TSO_ECN;
	return tun_flags;
}
