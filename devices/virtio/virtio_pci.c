/*
 * virtio over PCI (virtio 1.2, section 4.1). Registers arrive from devices/pci.c on vCPU threads
 * with dev->lock held; devices interrupt from any thread.
 *
 * BAR 0, 16 KiB of 32-bit memory:
 *   0x0000 common configuration      0x1000 notifications, 4 bytes a queue
 *   0x0400 ISR status                0x2000 MSI-X table
 *   0x0800 device configuration      0x3000 MSI-X pending bits
 *
 * BAR 1, where the machine has ports for it: the same notifications, 4 bytes a queue. A port costs
 * KVM less than memory, for which most processors leave it to read and decode the driver's
 * instruction. Both are capabilities, the ports first (4.1.4: in the order of our preference).
 *
 * Interrupts are MSI-X (devices/msix.c). Without it a driver can only poll the ISR status.
 *
 * The PCI configuration access capability (4.1.4.9) is a window onto the BAR inside configuration
 * space. Configuration reads do not come here (see devices/pci.h), so the window's data is
 * fetched when the driver aims it, at each write of its bar, offset or length. A driver that polls
 * through it aims each time.
 */
#include "devices/virtio/virtio_pci.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>

#include "devices/msix.h"
#include "devices/virtio/virtio_pci_common.h"

#define BAR_LEN	      0x4000u
#define COMMON_OFFSET 0x0000u
#define COMMON_LEN    60u /* up to and with queue_reset */
#define ISR_OFFSET    0x0400u
#define DEVICE_OFFSET 0x0800u
#define NOTIFY_OFFSET 0x1000u
#define NOTIFY_STRIDE 4u
#define NOTIFY_BAR    1 /* of ports */
#define TABLE_OFFSET  0x2000u
#define PBA_OFFSET    0x3000u

#define VENDOR_ID     0x1af4
#define DEVICE_ID     0x1040 /* plus the kind of device (4.1.2) */

#define ISR_QUEUE     1u
#define ISR_CONFIG    2u

struct virtio_pci {
	struct pci_function fn;
	struct virtio_device *dev;
	struct bus *bus;
	struct msix msix;
	unsigned msix_cap; /* offsets in configuration space */
	unsigned window_cap;

	struct virtio_pci_common common;
	uint8_t isr; /* atomic: devices interrupt on any thread */
};

static struct virtio_pci *from_function(struct pci_function *fn)
{
	return container_of(fn, struct virtio_pci, fn);
}

/* ---- interrupts ---- */

static void interrupt(struct virtio_pci *vp, const uint16_t *vector, uint8_t isr_bit)
{
	if (msix_is_enabled(&vp->msix))
		msix_raise(&vp->msix, __atomic_load_n(vector, __ATOMIC_RELAXED));
	else
		__atomic_fetch_or(&vp->isr, isr_bit, __ATOMIC_SEQ_CST);
}

static void interrupt_queue(struct virtio_device *dev, uint16_t queue_index)
{
	struct virtio_pci *vp = dev->transport_priv;

	interrupt(vp, &vp->common.queue_vector[queue_index], ISR_QUEUE);
}

static void interrupt_config(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_priv;

	interrupt(vp, &vp->common.config_vector, ISR_CONFIG);
}

static int queue_irq_fd(struct virtio_device *dev, uint16_t queue_index)
{
	const struct virtio_pci *vp = dev->transport_priv;

	return msix_vector_fd(&vp->msix, vp->common.queue_vector[queue_index]);
}

static const struct virtio_transport_ops transport_ops = {
	.interrupt_queue = interrupt_queue,
	.interrupt_config = interrupt_config,
	.queue_irq_fd = queue_irq_fd,
};

/* ---- the BAR ---- */

/* Where queue INDEX's doorbell is when BAR number BAR is at BAR_ADDR: the one place that decides
 * it.
 */
static uint64_t doorbell_addr(unsigned bar, uint64_t bar_addr, unsigned index)
{
	return bar_addr + (bar == NOTIFY_BAR ? 0 : NOTIFY_OFFSET) + NOTIFY_STRIDE * (uint64_t)index;
}

static bool is_dwords(uint64_t offset, unsigned width)
{
	return (width == 4 || width == 8) && !(offset & (width - 1));
}

static uint64_t virtio_pci_read(struct pci_function *fn, unsigned index, uint64_t offset,
				unsigned width)
{
	struct virtio_pci *vp = from_function(fn);
	uint64_t value = 0;

	if (index == NOTIFY_BAR)
		return 0;
	if (offset >= NOTIFY_OFFSET) {
		uint32_t (*read)(const struct msix *, uint64_t) =
			offset >= PBA_OFFSET ? msix_pending_read : msix_table_read;
		uint64_t dword = (offset & (TABLE_OFFSET - NOTIFY_OFFSET - 1)) / 4;

		if (offset < TABLE_OFFSET || !is_dwords(offset, width))
			return 0;
		value = read(&vp->msix, dword);
		if (width == 8)
			value |= (uint64_t)read(&vp->msix, dword + 1) << 32;
	} else if (offset >= DEVICE_OFFSET) {
		virtio_config_read(vp->dev, offset - DEVICE_OFFSET, &value, width);
	} else if (offset >= ISR_OFFSET) {
		if (offset == ISR_OFFSET && width == 1)
			value = __atomic_exchange_n(&vp->isr, 0, __ATOMIC_SEQ_CST);
	} else if (width == virtio_pci_common_width(offset)) {
		value = virtio_pci_common_read(&vp->common, offset);
	}
	return value;
}

static void notify_write(struct virtio_pci *vp, uint64_t offset)
{
	struct virtio_queue *q = virtio_queue_at(vp->dev, (uint32_t)(offset / NOTIFY_STRIDE));
	static const uint64_t one = 1;

	/* Only by the window in configuration space: all else is a doorbell's. */
	if (q && offset % NOTIFY_STRIDE == 0 && write(q->kick_fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, and the write that filled it has rung. */
	}
}

static void virtio_pci_write(struct pci_function *fn, unsigned index, uint64_t offset,
			     unsigned width, uint64_t value)
{
	struct virtio_pci *vp = from_function(fn);

	if (index == NOTIFY_BAR || offset >= PBA_OFFSET) {
		/* Doorbells, which KVM hears itself, and pending bits, which are read-only. */
	} else if (offset >= TABLE_OFFSET) {
		uint64_t dword = (offset - TABLE_OFFSET) / 4;

		if (!is_dwords(offset, width))
			return;
		msix_table_write(&vp->msix, dword, (uint32_t)value);
		if (width == 8)
			msix_table_write(&vp->msix, dword + 1, (uint32_t)(value >> 32));
		virtio_queue_irqs_changed(vp->dev);
	} else if (offset >= NOTIFY_OFFSET) {
		notify_write(vp, offset - NOTIFY_OFFSET);
	} else if (offset >= DEVICE_OFFSET) {
		virtio_config_write(vp->dev, offset - DEVICE_OFFSET, &value, width);
	} else if (offset < ISR_OFFSET && width == virtio_pci_common_width(offset)) {
		if (virtio_pci_common_write(&vp->common, offset, (uint32_t)value))
			__atomic_store_n(&vp->isr, 0, __ATOMIC_SEQ_CST);
	}
}

static void virtio_pci_moved(struct pci_function *fn, unsigned index, uint64_t old, uint64_t new)
{
	struct virtio_pci *vp = from_function(fn);
	struct bus *bus = index == NOTIFY_BAR ? pci_ports(fn) : vp->bus;

	for (uint16_t i = 0; i < vp->dev->queue_count; i++) {
		int fd = vp->dev->queues[i].kick_fd;

		if (old)
			bus_remove_doorbell(bus, doorbell_addr(index, old, i), fd);
		/* Any width, any value: each queue has an address of its own. */
		if (new &&bus_add_doorbell(bus, doorbell_addr(index, new, i), 0, false, 0, fd) < 0)
			log_guest(&vp->dev->vcpu_limit, "%s: queue %u has no doorbell",
				  vp->dev->ops->name, i);
	}
}

/* ---- configuration space ---- */

/* The driver touched the window: bytes [OFFSET, OFFSET+LEN) of its capability. */
static void window_written(struct virtio_pci *vp, unsigned offset)
{
	unsigned at = vp->window_cap;
	unsigned data_at = at + (unsigned)offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	uint32_t aim = pci_config_get32(&vp->fn, at + VIRTIO_PCI_CAP_OFFSET);
	uint32_t len = pci_config_get32(&vp->fn, at + VIRTIO_PCI_CAP_LENGTH);
	uint32_t mask;

	if ((len != 1 && len != 2 && len != 4) || aim & (len - 1) || aim >= BAR_LEN)
		return;
	if (vp->fn.config[at + VIRTIO_PCI_CAP_BAR] == NOTIFY_BAR && offset >= data_at)
		notify_write(vp, aim);
	if (vp->fn.config[at + VIRTIO_PCI_CAP_BAR] != 0)
		return;
	mask = len == 4 ? UINT32_MAX : (1u << (8 * len)) - 1;
	if (offset >= data_at)
		virtio_pci_write(&vp->fn, 0, aim, len, pci_config_get32(&vp->fn, data_at) & mask);
	else
		pci_config_set32(&vp->fn, data_at,
				 (uint32_t)virtio_pci_read(&vp->fn, 0, aim, len) & mask);
}

static void virtio_pci_config_written(struct pci_function *fn, unsigned offset, unsigned len)
{
	struct virtio_pci *vp = from_function(fn);

	if (offset < vp->msix_cap + PCI_CAP_MSIX_SIZEOF && offset + len > vp->msix_cap) {
		msix_control_written(&vp->msix,
				     pci_config_get16(fn, vp->msix_cap + PCI_MSIX_FLAGS));
		virtio_queue_irqs_changed(vp->dev);
	}
	if (offset >= vp->window_cap && offset < vp->window_cap + sizeof(struct virtio_pci_cfg_cap))
		window_written(vp, offset);
}

static void virtio_pci_function_reset(struct pci_function *fn)
{
	struct virtio_pci *vp = from_function(fn);

	virtio_device_reset(vp->dev);
	pthread_mutex_lock(&vp->dev->lock);
	virtio_pci_common_forget(&vp->common);
	__atomic_store_n(&vp->isr, 0, __ATOMIC_SEQ_CST);
	msix_reset(&vp->msix);
	pthread_mutex_unlock(&vp->dev->lock);
}

static const struct pci_function_ops function_ops = {
	.name = "virtio-pci",
	.bar_read = virtio_pci_read,
	.bar_write = virtio_pci_write,
	.bar_moved = virtio_pci_moved,
	.config_written = virtio_pci_config_written,
	.reset = virtio_pci_function_reset,
};

static void add_structure(struct virtio_pci *vp, uint8_t type, uint32_t offset, uint32_t len)
{
	struct virtio_pci_cap cap = {
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = sizeof(cap),
		.cfg_type = type,
		.offset = offset,
		.length = len,
	};

	(void)pci_add_capability(&vp->fn, &cap, NULL, sizeof(cap));
}

static void add_notify(struct virtio_pci *vp, uint8_t bar, uint32_t offset)
{
	struct virtio_pci_notify_cap notify = {
		.cap = {
			.cap_vndr = PCI_CAP_ID_VNDR,
			.cap_len = sizeof(notify),
			.cfg_type = VIRTIO_PCI_CAP_NOTIFY_CFG,
			.bar = bar,
			.offset = offset,
			.length = NOTIFY_STRIDE * vp->dev->queue_count,
		},
		.notify_off_multiplier = NOTIFY_STRIDE,
	};

	(void)pci_add_capability(&vp->fn, &notify, NULL, sizeof(notify));
}

static void add_window(struct virtio_pci *vp)
{
	static const struct virtio_pci_cfg_cap cap = {
		.cap = {
			.cap_vndr = PCI_CAP_ID_VNDR,
			.cap_len = sizeof(cap),
			.cfg_type = VIRTIO_PCI_CAP_PCI_CFG,
		},
	};
	static const struct virtio_pci_cfg_cap writable = {
		.cap = { .bar = 0xff, .offset = UINT32_MAX, .length = UINT32_MAX },
		.pci_cfg_data = { 0xff, 0xff, 0xff, 0xff },
	};

	vp->window_cap = pci_add_capability(&vp->fn, &cap, &writable, sizeof(cap));
}

static void add_msix(struct virtio_pci *vp)
{
	struct {
		uint8_t id;
		uint8_t next;
		uint16_t control;
		uint32_t table; /* offset, and the BAR's number in the low bits */
		uint32_t pba;
	} cap = {
		.id = PCI_CAP_ID_MSIX,
		.control = (uint16_t)(vp->msix.count - 1),
		.table = TABLE_OFFSET,
		.pba = PBA_OFFSET,
	}, writable = { .control = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL };

	_Static_assert(sizeof(cap) == PCI_CAP_MSIX_SIZEOF, "layout of the capability");
	vp->msix_cap = pci_add_capability(&vp->fn, &cap, &writable, sizeof(cap));
}

static int add_port_bar(struct virtio_pci *vp)
{
	uint32_t len = NOTIFY_STRIDE;

	while (len < NOTIFY_STRIDE * vp->dev->queue_count)
		len *= 2;
	return pci_add_port_bar(&vp->fn, NOTIFY_BAR, len);
}

static int add_function(struct virtio_pci *vp, struct pci_host *host)
{
	struct virtio_device *dev = vp->dev;
	const struct pci_ids ids = {
		.vendor = VENDOR_ID,
		.device = (uint16_t)(DEVICE_ID + dev->ops->device_id),
		.subsystem_vendor = VENDOR_ID,
		.subsystem = (uint16_t)(DEVICE_ID + dev->ops->device_id),
		.class_code = dev->ops->pci_class,
		.revision = 1,
	};
	int ret;

	vp->fn.ops = &function_ops;
	vp->fn.lock = &dev->lock;
	ret = pci_add(host, &vp->fn, &ids);
	if (ret < 0)
		return ret;
	add_msix(vp);
	add_structure(vp, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFFSET, COMMON_LEN);
	if (pci_ports(&vp->fn))
		add_notify(vp, NOTIFY_BAR, 0);
	add_notify(vp, 0, NOTIFY_OFFSET);
	add_structure(vp, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFFSET, 1);
	if (dev->ops->config_len)
		add_structure(vp, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE_OFFSET, dev->ops->config_len);
	add_window(vp);
	ret = pci_add_bar(&vp->fn, 0, BAR_LEN);
	if (ret == 0 && pci_ports(&vp->fn))
		ret = add_port_bar(vp);
	return ret;
}

int virtio_pci_create(struct virtio_pci **out, struct virtio_device *dev, struct pci_host *host,
		      struct bus *bus, struct irq_router *router)
{
	struct virtio_pci *vp = calloc(1, sizeof(*vp));
	int ret;

	if (!vp)
		return log_errno(ENOMEM, "%s: allocate a transport", dev->ops->name);
	assert(dev->ops->config_len <= NOTIFY_OFFSET - DEVICE_OFFSET);
	vp->dev = dev;
	vp->bus = bus;
	vp->common.dev = dev;
	vp->common.vector_count = dev->queue_count + 1u;
	virtio_pci_common_forget(&vp->common);
	ret = msix_init(&vp->msix, router, vp->common.vector_count, dev->ops->name,
			&dev->vcpu_limit);
	if (ret == 0)
		ret = add_function(vp, host);
	if (ret < 0) {
		virtio_pci_destroy(vp);
		return ret;
	}
	dev->transport_priv = vp;
	virtio_device_attach(dev, &transport_ops);
	*out = vp;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
	if (!vp)
		return;
	virtio_device_reset(vp->dev);
	pci_remove(&vp->fn);
	virtio_device_attach(vp->dev, NULL);
	msix_fini(&vp->msix);
	free(vp);
}
