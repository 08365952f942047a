/*
 * What all virtio devices share (virtio 1.2, chapters 2 and 3): status, features, queues, config
 * space. Transports call the register half on vCPU threads with dev->lock held; devices call the
 * queue half on their loops' threads.
 *
 * A queue's life. The driver's registers fill in q->vq and enable it. At DRIVER_OK (or when it is
 * enabled later) a batch is handed to the queue's loop by loop_call: the queue becomes `running`
 * and its kick eventfd is armed. A stop is another batch: the queue becomes `stopping`, the device
 * gives back what it holds idle, and the batch is done when nothing is in flight. It is done at the
 * end of a round and never inside virtio_queue_push, so that when the vCPU thread goes on no
 * callback of the device is half way through. Between batches the vCPU thread, holding dev->lock,
 * owns q->vq; loop_call orders the memory of the two.
 *
 * Deadlock. A vCPU waits in loop_call with dev->lock held, so nothing on a loop may need that lock:
 * NEEDS_RESET and config changes work with atomics and config_lock only.
 */
#include "devices/virtio/virtio.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define CORE_FEATURES                                                                              \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_RESET |                                \
	 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC)

/* What a driver may write into the status register. */
#define DRIVER_STATUS                                                                              \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

#define ALL_QUEUES UINT32_MAX

/* Queues of one device on one loop that start or stop together; on the stack of the waiting
 * thread. */
struct virtio_batch {
	struct loop_call call;
	struct virtio_device *dev;
	struct loop *loop;
	uint32_t index;	  /* of the only queue, or ALL_QUEUES */
	uint32_t pending; /* queues that still have chains in flight, and 1 for the batch itself */
};

static void kick_arrived(struct loop_event *event, uint32_t events);
static void round_ended(struct loop_deferred *deferred);

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

		virtqueue_init(&q->vq, mem, queue_size);
		q->dev = dev;
		q->index = i;
		q->loop = loop;
		q->round_end.fn = round_ended;
		q->kick_event.fn = kick_arrived;
		q->kick_event.events = EPOLLIN;
		/* Never read, so never 0: each time a queue starts its first kick is there, and
		 * finds requests that were made available before. */
		q->kick_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		q->kick_event.fd = q->kick_fd;
		if (q->kick_fd < 0) {
			int ret = log_errno(errno, "%s: eventfd for queue %u", ops->name, i);

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

static uint32_t status_load(const struct virtio_device *dev)
{
	return __atomic_load_n(&dev->status, __ATOMIC_RELAXED);
}

/* NULL while no transport is attached. */
static const struct virtio_transport_ops *transport_load(const struct virtio_device *dev)
{
	return __atomic_load_n(&dev->transport, __ATOMIC_ACQUIRE);
}

/* ---- the loop's side ---- */

static void kick_arrived(struct loop_event *event, uint32_t events)
{
	struct virtio_queue *q = container_of(event, struct virtio_queue, kick_event);

	(void)events;
	q->kick_count++;
	if (q->running && !q->stopping)
		q->dev->ops->queue_kick(q);
}

/* The queue is stopped: the last that its loop does to it. */
static void finish_stop(struct virtio_queue *q)
{
	struct virtio_batch *batch = q->batch;

	/* What was completed is told even to a driver that is resetting: it may be a ring reset. */
	(void)virtqueue_flush(&q->vq);
	loop_event_del(q->loop, &q->kick_event);
	loop_defer_cancel(q->loop, &q->round_end);
	q->running = false;
	q->stopping = false;
	q->batch = NULL;
	if (--batch->pending == 0)
		loop_call_done(&batch->call);
}

static void flush(struct virtio_queue *q)
{
	const struct virtio_transport_ops *transport = transport_load(q->dev);

	if (!virtqueue_flush(&q->vq) || !transport)
		return;
	q->interrupt_count++;
	transport->interrupt_queue(q->dev, q->index);
}

static void round_ended(struct loop_deferred *deferred)
{
	struct virtio_queue *q = container_of(deferred, struct virtio_queue, round_end);

	flush(q);
	q->budget = 2u * q->vq.size;
	if (q->stopping && !q->inflight)
		finish_stop(q);
}

/* Comes back to this queue in the next round, after the others had their turn. */
static void kick_again(struct virtio_queue *q)
{
	static const uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, and the write that filled it has rung. */
	}
}

int virtio_queue_pop(struct virtio_queue *q, struct iovec *iov, unsigned iov_max,
		     struct virtqueue_chain *chain)
{
	int ret;

	if (!q->running || q->stopping || status_load(q->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		return 0;
	loop_defer(q->loop, &q->round_end);
	if (!q->budget) {
		kick_again(q);
		return 0;
	}
	do {
		ret = virtqueue_pop(&q->vq, iov, iov_max, chain);
	} while (ret == 0 && virtqueue_enable_notify(&q->vq));
	if (ret < 0)
		virtio_device_needs_reset(q->dev, "a ring that breaks the rules");
	if (ret <= 0)
		return ret;
	virtqueue_disable_notify(&q->vq);
	q->budget--;
	q->inflight++;
	q->request_count++;
	return 1;
}

void virtio_queue_unpop(struct virtio_queue *q)
{
	virtqueue_unpop(&q->vq);
	q->budget++;
	q->inflight--;
	q->request_count--;
}

void virtio_queue_push(struct virtio_queue *q, uint16_t head, uint32_t written)
{
	virtqueue_push(&q->vq, head, written);
	q->inflight--;
	loop_defer(q->loop, &q->round_end);
}

int virtio_queue_irq_fd(const struct virtio_queue *q)
{
	const struct virtio_transport_ops *transport = transport_load(q->dev);

	return transport && transport->queue_irq_fd ? transport->queue_irq_fd(q->dev, q->index)
						    : -1;
}

void virtio_queue_interrupt(struct virtio_queue *q)
{
	const struct virtio_transport_ops *transport = transport_load(q->dev);

	if (transport)
		transport->interrupt_queue(q->dev, q->index);
}

void virtio_queue_irqs_changed(struct virtio_device *dev)
{
	for (uint16_t i = 0; dev->ops->queue_irq_changed && i < dev->queue_count; i++)
		dev->ops->queue_irq_changed(&dev->queues[i]);
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
	const struct virtio_transport_ops *transport = transport_load(dev);

	__atomic_fetch_add(&dev->config_generation, 1, __ATOMIC_SEQ_CST);
	if (transport)
		transport->interrupt_config(dev);
}

/* ---- starting and stopping ---- */

static bool batch_has(const struct virtio_batch *batch, const struct virtio_queue *q)
{
	return q->loop == batch->loop && (batch->index == ALL_QUEUES || batch->index == q->index);
}

/* True when nothing is left for the loop to do. */
static bool queue_lend(struct virtio_queue *q)
{
	int ret = q->dev->ops->queue_lend ? q->dev->ops->queue_lend(q) : 0;

	if (ret < 0)
		virtio_device_needs_reset(q->dev, "a queue cannot be handed to the host's kernel");
	q->lent = ret > 0;
	return ret != 0;
}

static void queue_start(struct virtio_queue *q)
{
	if (q->running || q->lent || !q->vq.enabled || queue_lend(q))
		return;
	if (loop_event_add(q->loop, &q->kick_event) < 0) {
		virtio_device_needs_reset(q->dev, "a queue cannot be watched");
		return;
	}
	q->budget = 2u * q->vq.size;
	q->inflight = 0;
	q->running = true;
}

static void batch_start(struct loop_call *call)
{
	struct virtio_batch *batch = container_of(call, struct virtio_batch, call);

	for (uint16_t i = 0; i < batch->dev->queue_count; i++)
		if (batch_has(batch, &batch->dev->queues[i]))
			queue_start(&batch->dev->queues[i]);
	loop_call_done(call);
}

static void queue_stop(struct virtio_queue *q, struct virtio_batch *batch)
{
	if (q->lent)
		q->dev->ops->queue_take_back(q);
	q->lent = false;
	if (!q->running)
		return;
	q->stopping = true;
	q->batch = batch;
	batch->pending++;
	if (q->dev->ops->queue_stop)
		q->dev->ops->queue_stop(q);
	if (q->inflight && !loop_is_current(q->loop)) {
		/* The loop does not run: no completion will ever come. */
		log_warn("%s: queue %u ends with %u requests in flight", q->dev->ops->name,
			 q->index, q->inflight);
		q->inflight = 0;
	}
	if (!q->inflight)
		finish_stop(q);
}

static void batch_stop(struct loop_call *call)
{
	struct virtio_batch *batch = container_of(call, struct virtio_batch, call);

	for (uint16_t i = 0; i < batch->dev->queue_count; i++)
		if (batch_has(batch, &batch->dev->queues[i]))
			queue_stop(&batch->dev->queues[i], batch);
	if (--batch->pending == 0)
		loop_call_done(call);
}

static void batch_run(struct virtio_device *dev, struct loop *loop, uint32_t index,
		      void (*fn)(struct loop_call *call))
{
	struct virtio_batch batch = {
		.call = { .fn = fn },
		.dev = dev,
		.loop = loop,
		.index = index,
		.pending = 1,
	};

	assert(!loop_is_current(loop));
	loop_call(loop, &batch.call);
}

/* Runs FN once for each loop that has queues which are enabled. */
static void batch_run_all(struct virtio_device *dev, void (*fn)(struct loop_call *call))
{
	for (uint16_t i = 0; i < dev->queue_count; i++) {
		struct virtio_queue *q = &dev->queues[i];
		bool seen = !q->vq.enabled;

		for (uint16_t j = 0; j < i && !seen; j++)
			seen = dev->queues[j].vq.enabled && dev->queues[j].loop == q->loop;
		if (!seen)
			batch_run(dev, q->loop, ALL_QUEUES, fn);
	}
}

static void reset_locked(struct virtio_device *dev)
{
	batch_run_all(dev, batch_stop);
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
	return status_load(dev);
}

static bool features_acceptable(const struct virtio_device *dev)
{
	return !(dev->features_acked & ~dev->features) &&
	       virtio_has_feature(dev, VIRTIO_F_VERSION_1);
}

void virtio_set_status(struct virtio_device *dev, uint32_t status)
{
	uint32_t old = status_load(dev);
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
	batch_run_all(dev, batch_start);
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

	if (select > 1 || status_load(dev) & VIRTIO_CONFIG_S_FEATURES_OK)
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
		batch_run(dev, q->loop, q->index, batch_stop);
		virtqueue_disable(&q->vq);
		return;
	}
	if (virtqueue_enable(&q->vq, virtio_has_feature(dev, VIRTIO_RING_F_EVENT_IDX),
			     virtio_has_feature(dev, VIRTIO_RING_F_INDIRECT_DESC)) < 0) {
		virtio_device_needs_reset(dev, "a queue outside memory, misaligned or of bad size");
		return;
	}
	if ((status_load(dev) & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
	    VIRTIO_CONFIG_S_DRIVER_OK)
		batch_run(dev, q->loop, q->index, batch_start);
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
