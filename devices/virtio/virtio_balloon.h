/*
 * virtio memory balloon (virtio 1.2, section 5.5).
 */
#ifndef DEVICES_VIRTIO_VIRTIO_BALLOON_H
#define DEVICES_VIRTIO_VIRTIO_BALLOON_H

#include "devices/virtio/virtio.h"

struct virtio_balloon;

/* A device that gives what the guest does not use of MEM back to the host, on LOOP. MEM and LOOP
 * are borrowed. 0 or -errno, logged. */
int virtio_balloon_create(struct virtio_balloon **out, const struct guest_mem *mem,
			  struct loop *loop) MUST_CHECK;
/* After its transport was destroyed. NULL is allowed. */
void virtio_balloon_destroy(struct virtio_balloon *balloon);
/* What a transport is given. */
struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon);

#endif
