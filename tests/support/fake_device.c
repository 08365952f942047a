/* See fake_device.h. */
#include "tests/support/fake_device.h"

#include <string.h>

static struct fake_device *from_device(struct virtio_device *dev)
{
	return container_of(dev, struct fake_device, dev);
}

static void fake_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	memcpy(data, from_device(dev)->config + offset, len);
}

static void fake_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			      uint32_t len)
{
	memcpy(from_device(dev)->config + offset, data, len);
}

static int fake_activate(struct virtio_device *dev)
{
	struct fake_device *fake = from_device(dev);

	fake->activated++;
	fake->features = dev->features_acked;
	return fake->activate_result;
}

static void fake_reset(struct virtio_device *dev)
{
	struct fake_device *fake = from_device(dev);

	fake->resets++;
	memset(fake->held, 0, sizeof(fake->held));
}

static uint32_t fill(const struct iovec *iov, const struct virtqueue_chain *chain)
{
	for (unsigned i = 0; i < chain->writable_count; i++)
		memset(iov[chain->readable_count + i].iov_base, 0xa5,
		       iov[chain->readable_count + i].iov_len);
	return (uint32_t)chain->writable_len;
}

static void fake_queue_kick(struct virtio_queue *q)
{
	struct fake_device *fake = from_device(q->dev);
	struct iovec iov[FAKE_DEVICE_QUEUE_SIZE];
	struct virtqueue_chain chain;

	fake->kicks++;
	while (virtio_queue_pop(q, iov, FAKE_DEVICE_QUEUE_SIZE, &chain) > 0) {
		if (fake->unpop) {
			virtio_queue_unpop(q);
			return;
		}
		fake->requests++;
		if (fake->on_request)
			fake->on_request(fake, q);
		if (fake->hold)
			fake->held[q->index][chain.head] = true;
		else
			virtio_queue_push(q, chain.head, fill(iov, &chain));
	}
}

unsigned fake_device_complete(struct fake_device *fake, unsigned index)
{
	unsigned count = 0;

	for (uint16_t head = 0; head < FAKE_DEVICE_QUEUE_SIZE; head++) {
		if (!fake->held[index][head])
			continue;
		fake->held[index][head] = false;
		virtio_queue_push(&fake->dev.queues[index], head, 0);
		count++;
	}
	return count;
}

static void fake_queue_stop(struct virtio_queue *q)
{
	struct fake_device *fake = from_device(q->dev);

	fake->stops++;
	if (fake->give_back)
		(void)fake_device_complete(fake, q->index);
}

static const struct virtio_device_ops fake_ops = {
	.name = "fake",
	.device_id = 42,
	.pci_class = 0xff0000,
	.config_len = FAKE_DEVICE_CONFIG_LEN,
	.config_read = fake_config_read,
	.config_write = fake_config_write,
	.activate = fake_activate,
	.reset = fake_reset,
	.queue_kick = fake_queue_kick,
	.queue_stop = fake_queue_stop,
};

int fake_device_init(struct fake_device *fake, const struct guest_mem *mem, struct loop *loop)
{
	memset(fake, 0, sizeof(*fake));
	return virtio_device_init(&fake->dev, &fake_ops, mem, loop, FAKE_DEVICE_FEATURE,
				  FAKE_DEVICE_QUEUES, FAKE_DEVICE_QUEUE_SIZE);
}

static void count_queue(struct virtio_device *dev, uint16_t queue_index)
{
	from_device(dev)->queue_interrupts[queue_index]++;
}

static void count_config(struct virtio_device *dev)
{
	from_device(dev)->config_interrupts++;
}

static const struct virtio_transport_ops fake_transport = {
	.interrupt_queue = count_queue,
	.interrupt_config = count_config,
};

void fake_device_attach(struct fake_device *fake)
{
	virtio_device_attach(&fake->dev, &fake_transport);
}
