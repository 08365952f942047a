/*
 * The common configuration of virtio over PCI (virtio 1.2, section 4.1.4.3). On vCPU threads with
 * dev->lock held.
 */
#include "devices/virtio/virtio_pci_common.h"

#include <linux/virtio_pci.h>

/* What a driver writes as a vector is kept if there is such a vector (4.1.5.1.2). */
static uint16_t vector_accept(const struct virtio_pci_common *common, uint64_t value)
{
	return value < common->vector_count ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

unsigned virtio_pci_common_width(uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return 1;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
	case VIRTIO_PCI_COMMON_Q_NOFF:
	case VIRTIO_PCI_COMMON_Q_NDATA:
	case VIRTIO_PCI_COMMON_Q_RESET:
		return 2;
	default:
		return offset < VIRTIO_PCI_COMMON_Q_NDATA && !(offset & 3) ? 4 : 0;
	}
}

static uint32_t queue_field_read(struct virtio_pci_common *common, uint64_t offset)
{
	struct virtio_queue *q = virtio_queue_at(common->dev, common->queue_select);

	if (!q)
		return 0;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return q->vq.size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return common->queue_vector[q->index];
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return q->vq.enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return q->index;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return virtio_queue_get_addr(q, VIRTIO_QUEUE_DESC, offset & 4);
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return virtio_queue_get_addr(q, VIRTIO_QUEUE_AVAIL, offset & 4);
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return virtio_queue_get_addr(q, VIRTIO_QUEUE_USED, offset & 4);
	default: /* queue_reset: done when the write returns */
		return 0;
	}
}

uint32_t virtio_pci_common_read(struct virtio_pci_common *common, uint64_t offset)
{
	struct virtio_device *dev = common->dev;

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return common->device_feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return virtio_get_features(dev, common->device_feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return common->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return virtio_get_features_acked(dev, common->driver_feature_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return common->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return dev->queue_count;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_get_status(dev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return virtio_get_config_generation(dev);
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return common->queue_select;
	default:
		return queue_field_read(common, offset);
	}
}

static void queue_field_write(struct virtio_pci_common *common, uint64_t offset, uint32_t value)
{
	struct virtio_queue *q = virtio_queue_at(common->dev, common->queue_select);

	if (!q)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_queue_set_size(q, value);
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		__atomic_store_n(&common->queue_vector[q->index], vector_accept(common, value),
				 __ATOMIC_RELAXED);
		virtio_queue_irqs_changed(common->dev);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			virtio_queue_set_enabled(q, true);
		break;
	case VIRTIO_PCI_COMMON_Q_RESET:
		if (value == 1 && virtio_has_feature(common->dev, VIRTIO_F_RING_RESET))
			virtio_queue_reset(q);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, offset & 4, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, offset & 4, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, offset & 4, value);
		break;
	default:
		break;
	}
}

void virtio_pci_common_forget(struct virtio_pci_common *common)
{
	common->device_feature_select = 0;
	common->driver_feature_select = 0;
	common->queue_select = 0;
	__atomic_store_n(&common->config_vector, VIRTIO_MSI_NO_VECTOR, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		__atomic_store_n(&common->queue_vector[i], VIRTIO_MSI_NO_VECTOR, __ATOMIC_RELAXED);
}

bool virtio_pci_common_write(struct virtio_pci_common *common, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		common->device_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		common->driver_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_features(common->dev, common->driver_feature_select, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		__atomic_store_n(&common->config_vector, vector_accept(common, value),
				 __ATOMIC_RELAXED);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(common->dev, value);
		if (value)
			break;
		virtio_pci_common_forget(common);
		return true;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		common->queue_select = (uint16_t)value;
		break;
	default:
		queue_field_write(common, offset, value);
		break;
	}
	return false;
}
