/*
 * User-mode network through passt. Setup on the main thread, frames on the loop of the only pair.
 *
 * passt has no virtio header and no offloads: the header is taken off and put on here, empty. Its
 * frames may be large, and since it ends TCP connections itself, no path limits them: a large MTU
 * stands in for segmentation offload.
 *
 * A passt that ends is started again: at once, then after a second, then every five. To the guest
 * the link goes down, and up again when the new one has not ended right away, too. Only its first
 * ends are said, until one has stayed for a while.
 */
#include "devices/net/net_passt.h"

#include <string.h>
#include <sys/epoll.h>

#include "devices/net/net_event.h"
#include "devices/net/net_iov.h"
#include "devices/net/net_stream.h"
#include "devices/net/passt_process.h"
#include "vmm/log.h"

#define PASST_MTU 65520
#define SETTLE_NS 200000000ull	 /* what has lived for so long has started well */
#define STAYED_NS 60000000000ull /* and after this its next end is a first one */
#define SAID_ENDS 3

enum passt_state {
	PASST_UP,
	PASST_DOWN,	/* waits to be started */
	PASST_SETTLING, /* runs, and the guest does not know yet */
};

struct net_passt {
	struct net net;
	struct passt_process process;
	enum passt_state state;
	unsigned ends; /* in a row */
	uint64_t started_ns;
	struct net_passt_publish publish[NET_PASST_PUBLISH_MAX];
	unsigned publish_count;
	struct net_stream stream;
	/* Between attach and detach. */
	struct loop *loop;
	const struct net_queue_user *user;
	struct net_event event;
	struct loop_timer timer; /* to start it, or to see it settled */
};

static struct net_passt *to_passt(struct net *net)
{
	return container_of(net, struct net_passt, net);
}

/* ---- its end, and its next start ---- */

static void passt_arm(struct net_passt *passt)
{
	static const uint64_t waits_ns[] = { 0, 1000000000, 5000000000 };
	unsigned i = passt->ends > 0 ? passt->ends - 1 : 0;
	uint64_t wait = i < ARRAY_SIZE(waits_ns) ? waits_ns[i] : waits_ns[ARRAY_SIZE(waits_ns) - 1];

	if (!passt->loop || passt->state == PASST_UP)
		return;
	if (passt->state == PASST_SETTLING)
		wait = SETTLE_NS;
	loop_timer_arm(passt->loop, &passt->timer, loop_now_ns() + wait);
}

static void passt_say_end(struct net_passt *passt, const char *said)
{
	if (passt->ends > SAID_ENDS)
		return;
	log_warn("passt has ended, the machine has no network%s%s%s; %s", *said ? ": " : "", said,
		 strstr(said, "External interface") ? ": passt needs a host with a default route"
						    : "",
		 passt->ends < SAID_ENDS ? "it is started again"
					 : "it is started again every 5 s, without a word");
}

/* Loop thread, perhaps within the user's call of send or receive: the rest is the timer's. */
static void passt_ended(struct net_passt *passt)
{
	bool was_up = passt->state == PASST_UP;
	char text[PASST_SAID_LEN_MAX + 1];

	if (passt->state == PASST_DOWN)
		return;
	passt->state = PASST_DOWN;
	passt->net.link_up = false;
	if (loop_now_ns() - passt->started_ns > STAYED_NS)
		passt->ends = 0;
	passt->ends++;
	passt_say_end(passt, passt_process_last_said(&passt->process, text));
	if (was_up && passt->user && passt->user->link)
		passt->user->link(passt->user->opaque, false);
	passt_arm(passt);
}

static int passt_start(struct net_passt *passt)
{
	int ret = 0;

	for (unsigned i = 0; i < passt->publish_count && ret == 0; i++)
		ret = passt_publish_try(&passt->publish[i]);
	if (ret == 0)
		ret = passt_process_start(&passt->process, passt->net.mtu, passt->publish,
					  passt->publish_count);
	return ret;
}

static int passt_watch(struct net_passt *passt)
{
	return net_event_attach(&passt->event, passt->process.fd, 0, passt->loop, passt->user);
}

static void passt_restart(struct net_passt *passt)
{
	int ret;

	net_event_detach(&passt->event);
	passt_process_end(&passt->process);
	ret = passt_start(passt);
	if (ret == 0) {
		net_stream_restart(&passt->stream, passt->process.fd);
		ret = passt_watch(passt);
	}
	if (ret < 0) {
		passt_process_end(&passt->process);
		if (++passt->ends <= SAID_ENDS)
			log_errno(ret, "start passt again");
	} else {
		passt->started_ns = loop_now_ns();
		passt->state = PASST_SETTLING;
	}
	passt_arm(passt);
}

static void passt_settled(struct net_passt *passt)
{
	passt->state = PASST_UP;
	passt->net.link_up = true;
	log_info("passt was started again, the machine has its network");
	passt->user->link(passt->user->opaque, true);
	/* What was refused by the one before. */
	passt->user->writable(passt->user->opaque, 0);
	passt->user->readable(passt->user->opaque, 0);
}

static void passt_on_timer(struct loop_timer *timer)
{
	struct net_passt *passt = container_of(timer, struct net_passt, timer);

	if (passt->state == PASST_DOWN)
		passt_restart(passt);
	else
		passt_settled(passt);
}

static void passt_destroy(struct net *net)
{
	struct net_passt *passt = to_passt(net);

	net_event_detach(&passt->event);
	net_stream_fini(&passt->stream);
	passt_process_end(&passt->process);
	free(passt);
}

/* ---- frames ---- */

static int passt_attach(struct net *net, unsigned pair, struct loop *loop,
			const struct net_queue_user *user)
{
	struct net_passt *passt = to_passt(net);
	int ret = 0;

	(void)pair;
	passt->loop = loop;
	passt->user = user;
	if (passt->state != PASST_DOWN)
		ret = passt_watch(passt);
	passt_arm(passt);
	return ret;
}

static void passt_detach(struct net *net, unsigned pair)
{
	struct net_passt *passt = to_passt(net);

	(void)pair;
	if (passt->loop)
		loop_timer_disarm(passt->loop, &passt->timer);
	net_event_detach(&passt->event);
	passt->loop = NULL;
	passt->user = NULL;
}

static int passt_send(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	struct net_passt *passt = to_passt(net);
	struct iovec frame[NET_IOV_MAX];
	unsigned count;
	int ret;

	(void)pair;
	if (iov_count > NET_IOV_MAX)
		return -EMSGSIZE;
	if (passt->state == PASST_DOWN)
		return -EPIPE;
	count = net_iov_skip(frame, iov, iov_count, NET_HDR_LEN);
	ret = net_stream_send(&passt->stream, frame, count, net_iov_len(frame, count));
	if (ret == -EPIPE)
		passt_ended(passt);
	/* Also what was taken in part has to be finished when there is room. */
	if (ret == -EAGAIN || passt->stream.out_start < passt->stream.out_end)
		net_event_want_writable(&passt->event);
	return ret;
}

static int64_t passt_receive(struct net *net, unsigned pair, const struct iovec *iov,
			     unsigned iov_count)
{
	static const uint8_t no_header[NET_HDR_LEN];
	struct net_passt *passt = to_passt(net);
	const uint8_t *frame;
	int64_t len;

	(void)pair;
	if (passt->state == PASST_DOWN)
		return -EPIPE;
	len = net_stream_receive(&passt->stream, &frame);
	if (len == -EPIPE)
		passt_ended(passt);
	if (len < 0)
		return len;
	net_iov_write(iov, iov_count, 0, no_header, NET_HDR_LEN);
	if (net_iov_write(iov, iov_count, NET_HDR_LEN, frame, (size_t)len) < (size_t)len)
		return 0;
	return len + NET_HDR_LEN;
}

static void passt_ready(struct net_event *event, uint32_t events)
{
	struct net_passt *passt = container_of(event, struct net_passt, event);

	/* Also seen here because a guest without buffers receives nothing. */
	if (events & (EPOLLHUP | EPOLLERR))
		passt_ended(passt);
	else if (net_stream_flush(&passt->stream) == -EAGAIN)
		net_event_want_writable(event);
}

static int passt_set_offload(struct net *net, unsigned tun_flags)
{
	(void)net;
	return tun_flags ? -EOPNOTSUPP : 0;
}

static int passt_set_pairs(struct net *net, unsigned pairs)
{
	(void)net;
	return pairs == 1 ? 0 : -EOPNOTSUPP;
}

static const struct net_ops passt_ops = {
	.name = "user",
	.attach = passt_attach,
	.detach = passt_detach,
	.send = passt_send,
	.receive = passt_receive,
	.set_offload = passt_set_offload,
	.set_pairs = passt_set_pairs,
	.destroy = passt_destroy,
};

/* ---- life ---- */

int net_passt_create(struct net **out, uint16_t mtu, const struct net_passt_publish *publish,
		     unsigned publish_count)
{
	struct net_passt *passt;
	int ret = 0;

	if (publish_count > NET_PASST_PUBLISH_MAX)
		return log_errno(E2BIG, "publish: at most %d ports", NET_PASST_PUBLISH_MAX);
	for (unsigned i = 0; i < publish_count && ret == 0; i++)
		ret = passt_publish_check(&publish[i]);
	if (ret < 0)
		return ret;
	passt = calloc(1, sizeof(*passt));
	if (!passt)
		return log_errno(ENOMEM, "set up the user-mode network");
	passt->process = PASST_PROCESS_NONE;
	passt->event.ready = passt_ready;
	passt->timer.fn = passt_on_timer;
	passt->started_ns = loop_now_ns();
	passt->net = (struct net){
		.ops = &passt_ops, .pairs_max = 1, .mtu = mtu ? mtu : PASST_MTU, .link_up = true
	};
	if (publish_count)
		memcpy(passt->publish, publish, publish_count * sizeof(*publish));
	passt->publish_count = publish_count;
	ret = passt_process_start(&passt->process, passt->net.mtu, publish, publish_count);
	if (ret < 0) {
		passt_process_explain(ret);
	} else {
		ret = net_stream_init(&passt->stream, passt->process.fd);
		if (ret < 0)
			log_errno(ret, "set up the user-mode network");
	}
	if (ret < 0) {
		passt_destroy(&passt->net);
		return ret;
	}
	*out = &passt->net;
	return 0;
}
