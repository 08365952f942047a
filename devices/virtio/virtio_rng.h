/*
 * virtio entropy source (virtio 1.2, section 5.4).
 */
#ifndef DEVICES_VIRTIO_VIRTIO_RNG_H
#define DEVICES_VIRTIO_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

struct virtio_rng;

/* A device that answers on LOOP from the host's getrandom(2). MEM and LOOP are borrowed. 0 or
 * -errno, logged. */
int virtio_rng_create(struct virtio_rng **out, const struct guest_mem *mem,
		      struct loop *loop) MUST_CHECK;
/* After its transport was destroyed. NULL is allowed. */
void virtio_rng_destroy(struct virtio_rng *rng);
/* What a transport is given. */
struct virtio_device *virtio_rng_device(struct virtio_rng *rng);

#endif
