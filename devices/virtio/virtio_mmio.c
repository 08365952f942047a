/*
 * virtio over MMIO (virtio 1.2, section 4.2). Registers are 32 bits wide and accessed so; the
 * device's configuration space takes any width. Bus dispatch calls on vCPU threads with dev->lock
 * held; devices interrupt from any thread.
 *
 * Interrupts. A driver reads InterruptStatus, acknowledges what it saw, and then looks at its
 * queues. The bit is set before the edge is sent, and an edge is sent each time, so whatever comes
 * between its read and its look is either seen by the look or has an edge of its own.
 */
#include "devices/virtio/virtio_mmio.h"

#include <linux/virtio_mmio.h>
#include <string.h>

#define MAGIC	  0x74726976u /* "virt" */
#define VERSION	  2u
#define VENDOR_ID 0x4d4d5600u /* anything: drivers do not look at it */

#ifndef VIRTIO_MMIO_QUEUE_RESET
#define VIRTIO_MMIO_QUEUE_RESET 0x0c0 /* 4.2.2, with VIRTIO_F_RING_RESET */
#endif

struct virtio_mmio {
	struct virtio_device *dev;
	struct bus *bus;
	uint64_t base;
	struct irq_line line;
	struct bus_device bus_device;
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint32_t interrupt_status; /* atomic */
};

static void interrupt(struct virtio_device *dev, uint32_t bit)
{
	struct virtio_mmio *mmio = dev->transport_priv;

	__atomic_fetch_or(&mmio->interrupt_status, bit, __ATOMIC_SEQ_CST);
	irq_raise(&mmio->line);
}

static void interrupt_queue(struct virtio_device *dev, uint16_t queue_index)
{
	(void)queue_index;
	interrupt(dev, VIRTIO_MMIO_INT_VRING);
}

static void interrupt_config(struct virtio_device *dev)
{
	interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

static const struct virtio_transport_ops transport_ops = {
	.interrupt_queue = interrupt_queue,
	.interrupt_config = interrupt_config,
};

static void forget(struct virtio_mmio *mmio)
{
	mmio->device_features_sel = 0;
	mmio->driver_features_sel = 0;
	mmio->queue_sel = 0;
	__atomic_store_n(&mmio->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

static uint32_t queue_register_read(struct virtio_mmio *mmio, uint32_t reg)
{
	struct virtio_queue *q = virtio_queue_at(mmio->dev, mmio->queue_sel);

	if (!q)
		return 0;
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q->vq.size_max;
	case VIRTIO_MMIO_QUEUE_READY:
		return q->vq.enabled;
	default: /* QueueReset reads 0 once it is done, and it is done when the write returns */
		return 0;
	}
}

static uint32_t register_read(struct virtio_mmio *mmio, uint32_t reg)
{
	struct virtio_device *dev = mmio->dev;

	switch (reg) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->ops->device_id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_get_features(dev, mmio->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
	case VIRTIO_MMIO_QUEUE_READY:
	case VIRTIO_MMIO_QUEUE_RESET:
		return queue_register_read(mmio, reg);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return __atomic_load_n(&mmio->interrupt_status, __ATOMIC_SEQ_CST);
	case VIRTIO_MMIO_STATUS:
		return virtio_get_status(dev);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio_get_config_generation(dev);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* no such region (4.2.2) */
	default:
		return 0;
	}
}

static uint64_t mmio_read(struct bus_device *bus_device, uint64_t offset, unsigned width)
{
	struct virtio_mmio *mmio = container_of(bus_device, struct virtio_mmio, bus_device);
	uint64_t value = 0;

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_read(mmio->dev, offset - VIRTIO_MMIO_CONFIG, &value, width);
	else if (width == 4)
		value = register_read(mmio, (uint32_t)offset);
	return value;
}

static void queue_register_write(struct virtio_mmio *mmio, uint32_t reg, uint32_t value)
{
	struct virtio_queue *q = virtio_queue_at(mmio->dev, mmio->queue_sel);

	if (!q)
		return;
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_queue_set_size(q, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_queue_set_enabled(q, value & 1);
		break;
	case VIRTIO_MMIO_QUEUE_RESET:
		if (value == 1 && virtio_has_feature(mmio->dev, VIRTIO_F_RING_RESET))
			virtio_queue_reset(q);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, reg & 4, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, reg & 4, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, reg & 4, value);
		break;
	default:
		break;
	}
}

static void status_write(struct virtio_mmio *mmio, uint32_t value)
{
	virtio_set_status(mmio->dev, value);
	if (!value)
		forget(mmio);
}

static void register_write(struct virtio_mmio *mmio, uint32_t reg, uint32_t value)
{
	switch (reg) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_features(mmio->dev, mmio->driver_features_sel, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		__atomic_fetch_and(&mmio->interrupt_status, ~value, __ATOMIC_SEQ_CST);
		break;
	case VIRTIO_MMIO_STATUS:
		status_write(mmio, value);
		break;
	default: /* QueueNotify of a queue that exists is a doorbell and does not come here */
		queue_register_write(mmio, reg, value);
		break;
	}
}

static void mmio_write(struct bus_device *bus_device, uint64_t offset, unsigned width,
		       uint64_t value)
{
	struct virtio_mmio *mmio = container_of(bus_device, struct virtio_mmio, bus_device);

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(mmio->dev, offset - VIRTIO_MMIO_CONFIG, &value, width);
	else if (width == 4)
		register_write(mmio, (uint32_t)offset, (uint32_t)value);
}

static const struct bus_device_ops bus_ops = {
	.name = "virtio-mmio",
	.widths = BUS_WIDTH_ANY,
	.read = mmio_read,
	.write = mmio_write,
};

int virtio_mmio_create(struct virtio_mmio **out, struct virtio_device *dev, struct bus *bus,
		       uint64_t base, const struct irq_line *line)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	int ret;

	if (!mmio)
		return log_errno(ENOMEM, "%s: allocate a transport", dev->ops->name);
	mmio->dev = dev;
	mmio->bus = bus;
	mmio->base = base;
	mmio->line = *line;
	mmio->bus_device = (struct bus_device){ .ops = &bus_ops, .lock = &dev->lock };
	ret = bus_add(bus, base, VIRTIO_MMIO_LEN, &mmio->bus_device);
	if (ret < 0) {
		free(mmio);
		return log_errno(ret, "%s: place registers at %#llx", dev->ops->name,
				 (unsigned long long)base);
	}
	dev->transport_priv = mmio;
	virtio_device_attach(dev, &transport_ops);
	for (uint16_t i = 0; i < dev->queue_count; i++) {
		ret = bus_add_doorbell(bus, base + VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, i,
				       dev->queues[i].kick_fd);
		if (ret < 0) {
			virtio_mmio_destroy(mmio);
			return log_errno(ret, "%s: doorbell of queue %u", dev->ops->name, i);
		}
	}
	*out = mmio;
	return 0;
}

void virtio_mmio_reset(struct virtio_mmio *mmio)
{
	virtio_device_reset(mmio->dev);
	forget(mmio);
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	if (!mmio)
		return;
	virtio_device_reset(mmio->dev);
	for (uint16_t i = 0; i < mmio->dev->queue_count; i++)
		bus_remove_doorbell(mmio->bus, mmio->base + VIRTIO_MMIO_QUEUE_NOTIFY,
				    mmio->dev->queues[i].kick_fd);
	bus_remove(mmio->bus, mmio->base, &mmio->bus_device);
	virtio_device_attach(mmio->dev, NULL);
	free(mmio);
}
