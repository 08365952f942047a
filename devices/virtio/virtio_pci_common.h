/*
 * The structure of virtio over PCI that is the same for every kind of device: features, status,
 * queues, and which MSI-X vector is whose (virtio 1.2, section 4.1.4.3). A part of virtio_pci.c's
 * transport.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_PCI_COMMON_H
#define DEVICES_VIRTIO_VIRTIO_PCI_COMMON_H

#include "devices/virtio/virtio.h"

/* Set the first two, then forget. */
struct virtio_pci_common {
	struct virtio_device *dev;
	unsigned vector_count;
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	/* Atomic: read on the threads that interrupt. */
	uint16_t config_vector;
	uint16_t queue_vector[VIRTIO_QUEUES_MAX];
};

/* The only width a field may be accessed with; 0: there is no field at OFFSET. */
unsigned virtio_pci_common_width(uint64_t offset);
uint32_t virtio_pci_common_read(struct virtio_pci_common *common, uint64_t offset);
/* True when the driver has reset the device by it. */
bool virtio_pci_common_write(struct virtio_pci_common *common, uint64_t offset, uint32_t value);

/* What the transport keeps of a driver, after a reset. MSI-X is PCI's and stays (4.1.4.3.1). */
void virtio_pci_common_forget(struct virtio_pci_common *common);

#endif
