/*
 * What all virtio devices share (virtio 1.2, chapters 2 and 3): status, features, queues, config
 * space. Transports call the registers on vCPU threads with dev->lock held. A queue's life is in
 * virtio_queue.c.
 *
 * Deadlock. A vCPU waits in loop_call with dev->lock held, so nothing on a loop may need that lock:
 * NEEDS_RESET and config changes work with atomics and config_lock only.
 */
#include "devices/virtio/virtio.h"

#include <assert.h>
#include <string.h>

#include "devices/virtio/virtio_queue.h"

#define CORE_FEATURES                                                                              \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_RESET |                                \
	 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC)

/* What a driver may write into the status register. */
#define DRIVER_STATUS                                                                              \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static void free_common(struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->queue_count; i++)
		close(dev->queues[i].kick_fd);
	free(dev->queues);
	dev->queues = NULL;
	dev->queue_count = 0;
	pthread_mutex_destroy(&dev->config_lock);
	pthread_mutex_destroy(&dev->lock);
}

int virtio_device_init(struct virtio_device *dev, const struct virtio_device_ops *ops,
		       const struct guest_mem *mem, struct loop *loop, uint64_t features,
		       uint16_t queue_count, uint16_t queue_size)
{
	assert(queue_count <= VIRTIO_QUEUES_MAX);
	*dev = (struct virtio_device){ .ops = ops,
				       .mem = mem,
				       .features = features | CORE_FEATURES };
	dev->queues = calloc(queue_count, sizeof(*dev->queues));
	if (!dev->queues)
		return log_errno(ENOMEM, "%s: allocate %u queues", ops->name, queue_count);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->config_lock, NULL);
	for (uint16_t i = 0; i < queue_count; i++) {
		struct virtio_queue *q = &dev->queues[i];
		int ret;

		virtqueue_init(&q->vq, mem, queue_size);
		q->dev = dev;
		q->index = i;
		q->loop = loop;
		ret = virtio_queue_init(q);
		if (ret < 0) {
			free_common(dev);
			return ret;
		}
		dev->queue_count++;
	}
	return 0;
}

void virtio_device_fini(struct virtio_device *dev)
{
	if (!dev->queues)
		return;
	virtio_device_reset(dev);
	free_common(dev);
}

void virtio_device_needs_reset(struct virtio_device *dev, const char *why)
{
	uint32_t old =
		__atomic_fetch_or(&dev->status, VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_SEQ_CST);

	/* Who sets the bit tells about it: one line, one interrupt, until the next reset. */
	if (old & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	log_guest(&dev->limit, "%s: %s; the device waits for a reset", dev->ops->name, why);
	if (old & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_config_changed(dev);
}

void virtio_config_lock(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->config_lock);
}

void virtio_config_unlock(struct virtio_device *dev)
{
	pthread_mutex_unlock(&dev->config_lock);
}

void virtio_config_changed(struct virtio_device *dev)
{
	const struct virtio_transport_ops *transport = virtio_transport_load(dev);

	__atomic_fetch_add(&dev->config_generation, 1, __ATOMIC_SEQ_CST);
	if (transport)
		transport->interrupt_config(dev);
}

static void reset_locked(struct virtio_device *dev)
{
	virtio_queues_stop(dev);
	if (dev->ops->reset)
		dev->ops->reset(dev);
	for (uint16_t i = 0; i < dev->queue_count; i++)
		virtqueue_init(&dev->queues[i].vq, dev->mem, dev->queues[i].vq.size_max);
	dev->features_acked = 0;
	__atomic_store_n(&dev->status, 0, __ATOMIC_SEQ_CST);
}

void virtio_device_reset(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	reset_locked(dev);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_device_attach(struct virtio_device *dev, const struct virtio_transport_ops *transport)
{
	__atomic_store_n(&dev->transport, transport, __ATOMIC_RELEASE);
}

/* ---- registers ---- */

uint32_t virtio_get_status(const struct virtio_device *dev)
{
	return virtio_status_load(dev);
}

static bool features_acceptable(const struct virtio_device *dev)
{
	return !(dev->features_acked & ~dev->features) &&
	       virtio_has_feature(dev, VIRTIO_F_VERSION_1);
}

void virtio_set_status(struct virtio_device *dev, uint32_t status)
{
	uint32_t old = virtio_status_load(dev);
	uint32_t added = status & DRIVER_STATUS & ~old;

	if (!status) {
		reset_locked(dev);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(dev)) {
		log_guest(&dev->vcpu_limit, "%s: features %#llx refused", dev->ops->name,
			  (unsigned long long)dev->features_acked);
		added &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (added & VIRTIO_CONFIG_S_DRIVER_OK && !((old | added) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		log_guest(&dev->vcpu_limit, "%s: DRIVER_OK without FEATURES_OK", dev->ops->name);
		added &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	}
	__atomic_fetch_or(&dev->status, added, __ATOMIC_SEQ_CST);
	if (!(added & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (dev->ops->activate && dev->ops->activate(dev) < 0) {
		virtio_device_needs_reset(dev, "activation failed");
		return;
	}
	virtio_queues_start(dev);
}

uint32_t virtio_get_features(const struct virtio_device *dev, uint32_t select)
{
	return select < 2 ? (uint32_t)(dev->features >> (32 * select)) : 0;
}

uint32_t virtio_get_features_acked(const struct virtio_device *dev, uint32_t select)
{
	return select < 2 ? (uint32_t)(dev->features_acked >> (32 * select)) : 0;
}

void virtio_set_features(struct virtio_device *dev, uint32_t select, uint32_t value)
{
	uint64_t mask = UINT32_MAX;

	if (select > 1 || virtio_status_load(dev) & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	mask <<= 32 * select;
	dev->features_acked = (dev->features_acked & ~mask) | (uint64_t)value << (32 * select);
}

uint32_t virtio_get_config_generation(struct virtio_device *dev)
{
	uint32_t generation;

	/* Not between a change and the count of it. */
	virtio_config_lock(dev);
	generation = __atomic_load_n(&dev->config_generation, __ATOMIC_SEQ_CST);
	virtio_config_unlock(dev);
	return generation;
}

struct virtio_queue *virtio_queue_at(struct virtio_device *dev, uint32_t index)
{
	return index < dev->queue_count ? &dev->queues[index] : NULL;
}

void virtio_queue_set_size(struct virtio_queue *q, uint32_t size)
{
	if (q->vq.enabled)
		return;
	/* What does not fit is kept as 0, which cannot be enabled. */
	q->vq.size = size <= q->vq.size_max ? (uint16_t)size : 0;
}

static gpa_t *queue_area(struct virtio_queue *q, enum virtio_queue_area area)
{
	switch (area) {
	case VIRTIO_QUEUE_DESC:
		return &q->vq.desc_gpa;
	case VIRTIO_QUEUE_AVAIL:
		return &q->vq.avail_gpa;
	default:
		return &q->vq.used_gpa;
	}
}

void virtio_queue_set_addr(struct virtio_queue *q, enum virtio_queue_area area, bool high,
			   uint32_t value)
{
	gpa_t *gpa = queue_area(q, area);

	if (q->vq.enabled)
		return;
	if (high)
		*gpa = (*gpa & UINT32_MAX) | (uint64_t)value << 32;
	else
		*gpa = (*gpa & ~(uint64_t)UINT32_MAX) | value;
}

uint32_t virtio_queue_get_addr(struct virtio_queue *q, enum virtio_queue_area area, bool high)
{
	gpa_t gpa = *queue_area(q, area);

	return (uint32_t)(high ? gpa >> 32 : gpa);
}

void virtio_queue_set_enabled(struct virtio_queue *q, bool enable)
{
	struct virtio_device *dev = q->dev;

	if (enable == q->vq.enabled)
		return;
	if (!enable) {
		virtio_queue_stop(q);
		virtqueue_disable(&q->vq);
		return;
	}
	if (virtqueue_enable(&q->vq, virtio_has_feature(dev, VIRTIO_RING_F_EVENT_IDX),
			     virtio_has_feature(dev, VIRTIO_RING_F_INDIRECT_DESC)) < 0) {
		virtio_device_needs_reset(dev, "a queue outside memory, misaligned or of bad size");
		return;
	}
	if ((virtio_status_load(dev) & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
	    VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_queue_start(q);
}

void virtio_queue_reset(struct virtio_queue *q)
{
	virtio_queue_set_enabled(q, false);
	virtqueue_init(&q->vq, q->dev->mem, q->vq.size_max);
}

void virtio_config_read(struct virtio_device *dev, uint64_t offset, void *data, uint32_t len)
{
	uint32_t size = dev->ops->config_len;

	memset(data, 0, len);
	if (offset >= size)
		return;
	if (len > size - offset)
		len = (uint32_t)(size - offset);
	virtio_config_lock(dev);
	dev->ops->config_read(dev, (uint32_t)offset, data, len);
	virtio_config_unlock(dev);
}

void virtio_config_write(struct virtio_device *dev, uint64_t offset, const void *data, uint32_t len)
{
	uint32_t size = dev->ops->config_len;

	if (!dev->ops->config_write || offset >= size)
		return;
	if (len > size - offset)
		len = (uint32_t)(size - offset);
	virtio_config_lock(dev);
	dev->ops->config_write(dev, (uint32_t)offset, data, len);
	virtio_config_unlock(dev);
}
