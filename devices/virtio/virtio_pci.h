/*
 * virtio over PCI (virtio 1.2, section 4.1), modern only: one BAR, MSI-X with a vector for each
 * queue and one for configuration changes, no INTx.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_PCI_H
#define DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci.h"
#include "devices/virtio/virtio.h"
#include "vmm/bus.h"
#include "vmm/irq.h"

struct virtio_pci;

/*
 * Puts DEV into the next free slot of HOST, with a doorbell on BUS (MMIO, HOST's) for each queue,
 * another one on HOST's ports if it has any, and its vectors from ROUTER. All are borrowed and
 * outlive it. Setup, before vCPUs run. 0 or -errno, logged.
 */
int virtio_pci_create(struct virtio_pci **out, struct virtio_device *dev, struct pci_host *host,
		      struct bus *bus, struct irq_router *router) MUST_CHECK;
/*
 * Resets the device and takes it off the bus. After the vCPUs ended, before the device's fini. NULL
 * is allowed. (A machine's reset comes through pci_host_reset.)
 */
void virtio_pci_destroy(struct virtio_pci *vp);

#endif
