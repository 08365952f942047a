/*
 * The host kernel's data path for virtio network cards, /dev/vhost-net.
 */
#ifndef DEVICES_NET_NET_VHOST_H
#define DEVICES_NET_NET_VHOST_H

#include "vmm/err.h"

/* A descriptor for one pair of queues, owned by this process, or -errno, logged with the cure. Main
 * thread. */
int net_vhost_open(void) MUST_CHECK;

#endif
