/*
 * The readiness of one pair's descriptor, shared by the back ends: frames to receive are watched
 * for always, room to send only after a send was refused.
 */
#ifndef DEVICES_NET_NET_EVENT_H
#define DEVICES_NET_NET_EVENT_H

#include <stdbool.h>

#include "devices/net/net.h"

struct net_event {
	struct loop *loop; /* NULL: not attached */
	const struct net_queue_user *user;
	unsigned pair;
	struct loop_event in;
	struct loop_event out;
	int out_fd; /* the same file once more: an engine takes a descriptor once */
	bool out_added;
	/* Called before user->readable and user->writable; NULL: nothing to do. */
	void (*ready)(struct net_event *event, uint32_t events);
};

/* Watches FD (borrowed) for PAIR. Before the loop runs. 0 or -errno, logged. */
int net_event_attach(struct net_event *event, int fd, unsigned pair, struct loop *loop,
		     const struct net_queue_user *user) MUST_CHECK;
/* Loop thread, or the loop has stopped. Not attached: no effect. */
void net_event_detach(struct net_event *event);
/* A send was refused: user->writable is called when that may have changed. Loop thread. */
void net_event_want_writable(struct net_event *event);

#endif
