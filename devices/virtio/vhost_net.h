/*
 * A pair of a network card's queues run by the host's kernel (vhost-net). The loop's thread; for
 * interrupts also vCPU threads, all under the device's lock.
 */
#ifndef DEVICES_VIRTIO_VHOST_NET_H
#define DEVICES_VIRTIO_VHOST_NET_H

#include "devices/virtio/virtio.h"

struct vhost_ring {
	struct virtio_queue *q; /* NULL: not started */
	int call_fd;		/* eventfd: an interrupt is wanted, and needs us */
	int given_fd;		/* what the kernel rings now: an interrupt line, or call_fd */
	struct loop_event call_event;
};

struct vhost_net {
	bool ready;
	int vhost_fd; /* borrowed */
	int tap_fd;   /* borrowed */
	struct vhost_ring rings[2];
};

/* Those of FEATURES that may be offered when the kernel behind VHOST_FD is to run the rings. */
uint64_t vhost_net_mask_features(int vhost_fd, uint64_t features);

/* Setup. 0 or -errno, logged. */
int vhost_net_init(struct vhost_net *vhost, int vhost_fd, int tap_fd) MUST_CHECK;
/* Its queues were taken back. Zeroed, or init failed: no effect. */
void vhost_net_fini(struct vhost_net *vhost);

/* The driver's features and memory; no queue runs. 0 or -errno, logged. */
int vhost_net_activate(struct vhost_net *vhost, const struct guest_mem *mem,
		       uint64_t features) MUST_CHECK;
/* Hands Q to the kernel as ring 0 (receive) or 1 (send). 0 or -errno, logged. */
int vhost_net_start(struct vhost_net *vhost, unsigned index, struct virtio_queue *q) MUST_CHECK;
/* Takes the ring back: the kernel has let go of it and of guest memory. */
void vhost_net_stop(struct vhost_net *vhost, unsigned index);
/* The way to interrupt for the ring, which is started, may have changed. */
void vhost_net_irq_changed(struct vhost_net *vhost, unsigned index);

#endif
