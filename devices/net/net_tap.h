/*
 * Frames over a tap interface, opened by name or passed in as a descriptor (also a macvtap's).
 */
#ifndef DEVICES_NET_NET_TAP_H
#define DEVICES_NET_NET_TAP_H

#include "devices/net/net.h"
#include "vmm/err.h"

/*
 * Opens the tap NAME with PAIRS queues and brings it up; makes it when there is none and that is
 * allowed (it is then gone when the last descriptor is closed). Main thread. 0 or -errno, logged
 * with the cure.
 */
int net_tap_create(struct net **out, const char *name, unsigned pairs) MUST_CHECK;

/* The same on an open descriptor, which is the back end's from now on, also when this fails. */
int net_tap_create_from_fd(struct net **out, int fd) MUST_CHECK;

/*
 * Frames of the tap NET go by the host kernel's data path, /dev/vhost-net, from now on. Before NET
 * is attached. Main thread. 0 or -errno, logged with the cure.
 */
int net_tap_use_vhost(struct net *net) MUST_CHECK;

#endif
