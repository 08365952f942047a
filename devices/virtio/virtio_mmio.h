/*
 * virtio over MMIO (virtio 1.2, section 4.2, version 2): one page of registers and one wired
 * interrupt a device.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_MMIO_H
#define DEVICES_VIRTIO_VIRTIO_MMIO_H

#include "devices/virtio/virtio.h"
#include "vmm/bus.h"
#include "vmm/irq.h"

/* Bytes of address space that a device takes. */
#define VIRTIO_MMIO_LEN 0x1000

struct virtio_mmio;

/*
 * Puts DEV on BUS at BASE, with a doorbell for each queue. DEV, BUS and LINE (an edge) are borrowed
 * and outlive it. Setup, before vCPUs run. 0 or -errno, logged.
 */
int virtio_mmio_create(struct virtio_mmio **out, struct virtio_device *dev, struct bus *bus,
		       uint64_t base, const struct irq_line *line) MUST_CHECK;
/*
 * As after power-on: the device is reset (see virtio_device_reset), interrupts are forgotten. With
 * vCPUs paused; any thread but a loop's.
 */
void virtio_mmio_reset(struct virtio_mmio *mmio);
/* Resets the device and takes it off the bus. After the vCPUs ended, before the device's fini. NULL
 * is allowed. */
void virtio_mmio_destroy(struct virtio_mmio *mmio);

#endif
