/*
 * User-mode network: frames go to passt, a program of its own that speaks for the guest with the
 * host's ordinary sockets. Needs no privileges and no interface.
 */
#ifndef DEVICES_NET_NET_PASST_H
#define DEVICES_NET_NET_PASST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/net.h"
#include "vmm/err.h"

/* A port of the host that leads to one of the guest. */
struct net_passt_publish {
	const char *host_addr; /* NULL: every address; borrowed until net_destroy */
	uint16_t host_port;
	uint16_t guest_port;
	bool udp;
};

#define NET_PASST_PUBLISH_MAX 16

/*
 * MTU is what the guest shall use; 0: as large as can be. Starts passt, which ends when this back
 * end, or the process, does. A port that is taken is an error here; what passt itself has against
 * its start is a warning later, on the loop, and the link goes down. A passt that ends is started
 * again, with the same ports. Main thread. 0 or -errno, logged with the cure.
 */
int net_passt_create(struct net **out, uint16_t mtu, const struct net_passt_publish *publish,
		     unsigned publish_count) MUST_CHECK;

#endif
