/*
 * A network back end: where frames go. Every frame is preceded by a struct virtio_net_hdr_v1 of
 * NET_HDR_LEN bytes, so that offloads pass through unopened. Outlives the devices that use it.
 */
#ifndef DEVICES_NET_NET_H
#define DEVICES_NET_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"
#include "vmm/loop.h"

#define NET_HDR_LEN   12
#define NET_FRAME_MAX (NET_HDR_LEN + 65535 + 14 + 4)
#define NET_PAIRS_MAX 16

struct net;

/* What the device tells a back end to expect and to hand over; TUN_F_* bits of <linux/if_tun.h>. */
struct net_queue_user {
	/* Frames can be received on pair PAIR (edge): net_receive until -EAGAIN. Loop thread. */
	void (*readable)(void *opaque, unsigned pair);
	/* Frames can be sent again after -EAGAIN. Loop thread. */
	void (*writable)(void *opaque, unsigned pair);
	/* The link went up or down. Loop thread. */
	void (*link)(void *opaque, bool up);
	void *opaque;
};

struct net_ops {
	const char *name;
	/* Starts delivering readiness of PAIR on LOOP to USER (borrowed until detach). 0 or -errno,
	 * logged. */
	int (*attach)(struct net *net, unsigned pair, struct loop *loop,
		      const struct net_queue_user *user);
	/* Loop thread, or loops stopped. */
	void (*detach)(struct net *net, unsigned pair);
	/* Sends one frame, header first. 0, -EAGAIN (keep it, writable follows), or another -errno
	 * (the frame is lost). */
	int (*send)(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count);
	/* Receives one frame into IOV, header first. Bytes, -EAGAIN, or another -errno. A frame
	 * longer than IOV is cut, or dropped: 0. */
	int64_t (*receive)(struct net *net, unsigned pair, const struct iovec *iov,
			   unsigned iov_count);
	/* TUN_F_* the guest will take; called at activation. 0 or -errno. */
	int (*set_offload)(struct net *net, unsigned tun_flags);
	/* How many pairs the guest uses now. 0 or -errno. */
	int (*set_pairs)(struct net *net, unsigned pairs);
	/* The descriptors of PAIR for the host kernel's own data path: *TAP_FD, and the return
	 * value is /dev/vhost-net's, with an owner. Both borrowed. Only where net->vhost is set. */
	int (*vhost)(struct net *net, unsigned pair, int *tap_fd);
	void (*destroy)(struct net *net);
};

struct net {
	const struct net_ops *ops;
	unsigned pairs_max;
	unsigned offloads; /* TUN_F_* the back end can do; 0: plain frames */
	bool has_mac;
	uint8_t mac[6]; /* wanted by the back end when has_mac */
	uint16_t mtu;	/* 0: not known */
	bool link_up;
	bool vhost; /* frames go by the host's kernel: no attach, send and receive */
};

static inline void net_destroy(struct net *net)
{
	if (net)
		net->ops->destroy(net);
}

#endif
