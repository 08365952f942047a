/*
 * Frames over a tap. Setup on the main thread, frames on the pair's loop, offloads and the number
 * of pairs on whichever thread the device is told them.
 *
 * The kernel's virtio-net header goes through unopened: it has the layout of the guest's, and
 * tun checks what a guest puts there. A descriptor that was passed in without that header carries
 * plain frames; an empty header is then added here.
 */
#include "devices/net/net_tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/net/net_event.h"
#include "devices/net/net_iov.h"
#include "devices/net/net_vhost.h"
#include "devices/net/tap_open.h"
#include "vmm/log.h"

struct net_tap;

struct tap_pair {
	struct net_tap *tap;
	int fd;
	int vhost_fd; /* only with net.vhost */
	struct net_event event;
	bool enabled; /* the kernel gives this queue its share of the frames */
};

struct net_tap {
	struct net net;
	char name[IFNAMSIZ];
	bool plain;
	bool multi_queue;
	bool lost;	/* said once that the interface is gone; atomic, as is the next */
	bool link_told; /* that the link is down */
	unsigned pair_count;
	struct tap_pair pairs[NET_PAIRS_MAX];
};

static struct net_tap *to_tap(struct net *net)
{
	return container_of(net, struct net_tap, net);
}

/* ---- frames ---- */

/* The interface was deleted under us, or the error is about one frame. */
static int tap_error(struct net_tap *tap, int err)
{
	if (err != EBADFD && err != ENODEV && err != ENXIO)
		return -err;
	if (!__atomic_exchange_n(&tap->lost, true, __ATOMIC_RELAXED))
		log_warn("network interface %s is gone: the machine is cut off until it is started "
			 "again",
			 tap->name);
	return -ENODEV;
}

/* The same for a frame of PAIR, on its loop: the guest sees its link go down. */
static int tap_frame_error(struct net_tap *tap, unsigned pair, int err)
{
	const struct net_queue_user *user = tap->pairs[pair].event.user;
	int ret = tap_error(tap, err);

	if (ret == -ENODEV && !__atomic_exchange_n(&tap->link_told, true, __ATOMIC_RELAXED)) {
		tap->net.link_up = false;
		if (user && user->link)
			user->link(user->opaque, false);
	}
	return ret;
}

static bool tap_is_lost(const struct net_tap *tap)
{
	return __atomic_load_n(&tap->lost, __ATOMIC_RELAXED);
}

static int tap_send(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	struct net_tap *tap = to_tap(net);
	struct iovec bare[NET_IOV_MAX];
	ssize_t len;

	if (iov_count > NET_IOV_MAX)
		return -EMSGSIZE;
	if (tap->plain) {
		iov_count = net_iov_skip(bare, iov, iov_count, NET_HDR_LEN);
		iov = bare;
	}
	do {
		len = writev(tap->pairs[pair].fd, iov, (int)iov_count);
	} while (len < 0 && errno == EINTR);
	if (len >= 0)
		return 0;
	if (errno != EAGAIN)
		return tap_frame_error(tap, pair, errno);
	net_event_want_writable(&tap->pairs[pair].event);
	return -EAGAIN;
}

static int64_t tap_receive(struct net *net, unsigned pair, const struct iovec *iov,
			   unsigned iov_count)
{
	static const uint8_t no_header[NET_HDR_LEN];
	struct net_tap *tap = to_tap(net);
	struct iovec bare[NET_IOV_MAX];
	const struct iovec *to = iov;
	unsigned to_count = iov_count;
	ssize_t len;

	if (iov_count > NET_IOV_MAX)
		return -EMSGSIZE;
	if (tap->plain) {
		to_count = net_iov_skip(bare, iov, iov_count, NET_HDR_LEN);
		to = bare;
	}
	do {
		len = readv(tap->pairs[pair].fd, to, (int)to_count);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno == EFAULT)
		return 0; /* longer than the parts: the kernel has dropped it */
	if (len < 0)
		return errno == EAGAIN ? -EAGAIN : tap_frame_error(tap, pair, errno);
	if (!tap->plain)
		return len;
	net_iov_write(iov, iov_count, 0, no_header, NET_HDR_LEN);
	return len + NET_HDR_LEN;
}

/* ---- readiness, offloads, pairs ---- */

/* Seen here too, because a guest without buffers receives nothing. */
static void tap_ready(struct net_event *event, uint32_t events)
{
	struct tap_pair *pair = container_of(event, struct tap_pair, event);

	if (events & EPOLLERR)
		tap_frame_error(pair->tap, event->pair, ENODEV);
}

static int tap_attach(struct net *net, unsigned pair, struct loop *loop,
		      const struct net_queue_user *user)
{
	struct tap_pair *p = &to_tap(net)->pairs[pair];

	p->tap = to_tap(net);
	p->event.ready = tap_ready;
	return net_event_attach(&p->event, p->fd, pair, loop, user);
}

static void tap_detach(struct net *net, unsigned pair)
{
	net_event_detach(&to_tap(net)->pairs[pair].event);
}

static int tap_set_offload(struct net *net, unsigned tun_flags)
{
	struct net_tap *tap = to_tap(net);

	if (tap->plain)
		return tun_flags ? -EOPNOTSUPP : 0;
	if (tap_is_lost(tap))
		return 0; /* the machine goes on without */
	/* One setting for the interface, whichever queue it is made through. */
	if (ioctl(tap->pairs[0].fd, TUNSETOFFLOAD, (unsigned long)tun_flags) < 0)
		return tap_error(tap, errno);
	return 0;
}

static int tap_enable_pair(struct net_tap *tap, struct tap_pair *pair, bool enable)
{
	struct ifreq ifr = { .ifr_flags = (short)(enable ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE) };

	if (!tap->multi_queue || pair->enabled == enable || tap_is_lost(tap))
		return 0;
	if (ioctl(pair->fd, TUNSETQUEUE, &ifr) < 0)
		return tap_error(tap, errno);
	pair->enabled = enable;
	return 0;
}

static int tap_set_pairs(struct net *net, unsigned pairs)
{
	struct net_tap *tap = to_tap(net);
	int ret = 0;

	for (unsigned i = 0; i < tap->pair_count && ret == 0; i++)
		ret = tap_enable_pair(tap, &tap->pairs[i], i < pairs);
	return ret;
}

static void tap_destroy(struct net *net)
{
	struct net_tap *tap = to_tap(net);

	for (unsigned i = 0; i < tap->pair_count; i++) {
		net_event_detach(&tap->pairs[i].event);
		close(tap->pairs[i].fd);
		if (net->vhost)
			close(tap->pairs[i].vhost_fd);
	}
	free(tap);
}

static int tap_vhost(struct net *net, unsigned pair, int *tap_fd)
{
	*tap_fd = to_tap(net)->pairs[pair].fd;
	return to_tap(net)->pairs[pair].vhost_fd;
}

static const struct net_ops tap_ops = {
	.name = "tap",
	.attach = tap_attach,
	.detach = tap_detach,
	.send = tap_send,
	.receive = tap_receive,
	.set_offload = tap_set_offload,
	.set_pairs = tap_set_pairs,
	.vhost = tap_vhost,
	.destroy = tap_destroy,
};

/* ---- opening ---- */

static struct net_tap *tap_alloc(void)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));

	if (!tap) {
		log_errno(ENOMEM, "set up a network interface");
		return NULL;
	}
	tap->net.ops = &tap_ops;
	tap->net.link_up = true;
	return tap;
}

int net_tap_create(struct net **out, const char *name, unsigned pairs)
{
	int fds[NET_PAIRS_MAX];
	struct net_tap *tap;
	int ret;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return log_errno(EINVAL, "tap name '%s': 1 to %d characters", name, IFNAMSIZ - 1);
	if (pairs < 1 || pairs > NET_PAIRS_MAX)
		return log_errno(EINVAL, "tap %s: 1 to %d queues", name, NET_PAIRS_MAX);
	tap = tap_alloc();
	if (!tap)
		return -ENOMEM;
	memcpy(tap->name, name, strlen(name) + 1);
	ret = tap_open_queues(tap->name, pairs, fds, &tap->pair_count);
	for (unsigned i = 0; i < tap->pair_count; i++) {
		tap->pairs[i].fd = fds[i];
		tap->pairs[i].enabled = true;
	}
	tap->multi_queue = pairs > 1;
	if (ret == 0)
		ret = tap_bring_up(tap->name, &tap->net.mtu);
	if (ret < 0) {
		tap_destroy(&tap->net);
		return ret;
	}
	tap->net.offloads = tap_probe_offloads(fds[0]);
	tap->net.pairs_max = pairs;
	*out = &tap->net;
	return 0;
}

int net_tap_create_from_fd(struct net **out, int fd)
{
	struct ifreq ifr = { 0 };
	struct net_tap *tap;
	int ret;

	ret = tap_check_fd(fd, &ifr);
	tap = ret == 0 ? tap_alloc() : NULL;
	if (!tap) {
		close(fd);
		return ret < 0 ? ret : -ENOMEM;
	}
	memcpy(tap->name, ifr.ifr_name, IFNAMSIZ - 1);
	tap->plain = !(ifr.ifr_flags & IFF_VNET_HDR);
	tap->pairs[0].fd = fd;
	tap->pairs[0].enabled = true;
	tap->pair_count = 1;
	tap->net.pairs_max = 1;
	ret = fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? log_errno(errno, "set up %s", tap->name) : 0;
	if (ret == 0)
		ret = tap_setup_queue(tap->name, fd, tap->plain);
	/* In another network namespace it cannot be looked at; whoever passed it brought it up. */
	if (ret == 0 && if_nametoindex(tap->name))
		ret = tap_bring_up(tap->name, &tap->net.mtu);
	if (ret < 0) {
		tap_destroy(&tap->net);
		return ret;
	}
	if (!tap->plain)
		tap->net.offloads = tap_probe_offloads(fd);
	*out = &tap->net;
	return 0;
}

int net_tap_use_vhost(struct net *net)
{
	struct net_tap *tap = to_tap(net);

	if (tap->plain)
		return log_errno(EINVAL,
				 "vhost needs a tap with a virtio-net header, which %s has not",
				 tap->name);
	for (unsigned i = 0; i < tap->pair_count; i++) {
		int fd = net_vhost_open();

		if (fd < 0) {
			while (i > 0)
				close(tap->pairs[--i].vhost_fd);
			return fd;
		}
		tap->pairs[i].vhost_fd = fd;
	}
	net->vhost = true;
	return 0;
}
