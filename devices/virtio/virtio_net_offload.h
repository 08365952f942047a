/*
 * The back end's offloads (TUN_F_*) and virtio's feature bits. Any thread.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_NET_OFFLOAD_H
#define DEVICES_VIRTIO_VIRTIO_NET_OFFLOAD_H

#include <stdint.h>

/* What can be offered to a driver when the back end can do TUN_FLAGS. */
uint64_t virtio_net_offload_features(unsigned tun_flags);
/* What a driver that accepted FEATURES can receive. */
unsigned virtio_net_guest_offloads(uint64_t features);

#endif
