/*
 * Readiness of a network descriptor. On the pair's loop.
 *
 * EPOLLOUT is not asked for while sends succeed: a socket announces room after every frame that
 * its reader takes, which would be a wake-up a frame for nothing.
 */
#include "devices/net/net_event.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "vmm/log.h"

static void on_readable(struct loop_event *in, uint32_t events)
{
	struct net_event *event = container_of(in, struct net_event, in);

	if (event->ready)
		event->ready(event, events);
	event->user->readable(event->user->opaque, event->pair);
}

static void on_writable(struct loop_event *out, uint32_t events)
{
	struct net_event *event = container_of(out, struct net_event, out);

	loop_event_del(event->loop, out);
	event->out_added = false;
	if (event->ready)
		event->ready(event, events);
	if (!event->out_added)
		event->user->writable(event->user->opaque, event->pair);
}

int net_event_attach(struct net_event *event, int fd, unsigned pair, struct loop *loop,
		     const struct net_queue_user *user)
{
	int ret;

	event->user = user;
	event->pair = pair;
	event->in = (struct loop_event){ .fn = on_readable, .fd = fd, .events = EPOLLIN };
	event->out = (struct loop_event){ .fn = on_writable, .events = EPOLLOUT };
	event->out_added = false;
	event->out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (event->out_fd < 0)
		return log_errno(errno, "watch a network descriptor");
	event->out.fd = event->out_fd;
	ret = loop_event_add(loop, &event->in);
	if (ret < 0) {
		close(event->out_fd);
		return ret;
	}
	event->loop = loop;
	return 0;
}

void net_event_detach(struct net_event *event)
{
	if (!event->loop)
		return;
	loop_event_del(event->loop, &event->in);
	if (event->out_added)
		loop_event_del(event->loop, &event->out);
	close(event->out_fd);
	event->loop = NULL;
}

void net_event_want_writable(struct net_event *event)
{
	if (event->loop && !event->out_added)
		event->out_added = loop_event_add(event->loop, &event->out) == 0;
}
