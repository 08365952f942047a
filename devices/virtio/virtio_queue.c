/*
 * A virtio queue's life, and its requests. Started and stopped on vCPU threads with dev->lock held;
 * popped and pushed on the thread of its loop.
 *
 * The driver's registers fill in q->vq and enable it. At DRIVER_OK (or when it is enabled later) a
 * batch is handed to the queue's loop by loop_call: the queue becomes `running` and its kick
 * eventfd is armed. A stop is another batch: the queue becomes `stopping`, the device gives back
 * what it holds idle, and the batch is done when nothing is in flight. It is done at the end of a
 * round and never inside virtio_queue_push, so that when the vCPU thread goes on no callback of the
 * device is half way through. Between batches the vCPU thread, holding dev->lock, owns q->vq;
 * loop_call orders the memory of the two.
 */
#include "devices/virtio/virtio_queue.h"

#include <assert.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

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

/* ---- the loop's side ---- */

static void kick_arrived(struct loop_event *event, uint32_t events)
{
	struct virtio_queue *q = container_of(event, struct virtio_queue, kick_event);

	(void)events;
	q->kick_count++;
	if (q->running && !q->stopping)
		q->dev->ops->queue_kick(q);
}

static bool poll_looks(struct loop_poll *poll)
{
	return virtqueue_has_work(&container_of(poll, struct virtio_queue, poll)->vq);
}

static bool poll_rests(struct loop_poll *poll)
{
	return virtqueue_enable_notify(&container_of(poll, struct virtio_queue, poll)->vq);
}

static void poll_found(struct loop_poll *poll)
{
	struct virtio_queue *q = container_of(poll, struct virtio_queue, poll);

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
	loop_poll_del(q->loop, &q->poll);
	loop_defer_cancel(q->loop, &q->round_end);
	q->running = false;
	q->stopping = false;
	q->batch = NULL;
	if (--batch->pending == 0)
		loop_call_done(&batch->call);
}

static void flush(struct virtio_queue *q)
{
	const struct virtio_transport_ops *transport = virtio_transport_load(q->dev);

	/* Who gets an answer may soon want more: need not ring for it while the loop looks. Not
	 * where spare buffers wait, as for frames: they are always there. */
	if (q->vq.used_next != q->vq.used_stored && q->running && !q->stopping &&
	    !virtqueue_has_work(&q->vq) && loop_poll_add(q->loop, &q->poll))
		virtqueue_disable_notify(&q->vq);
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
void virtio_queue_kick_again(struct virtio_queue *q)
{
	static const uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, and the write that filled it has rung. */
	}
}

/* True when requests may be taken in this round. */
static bool may_pop(struct virtio_queue *q)
{
	if (!q->running || q->stopping || virtio_status_load(q->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		return false;
	loop_defer(q->loop, &q->round_end);
	if (!q->budget)
		virtio_queue_kick_again(q);
	return q->budget > 0;
}

static void account_popped(struct virtio_queue *q, unsigned count)
{
	virtqueue_disable_notify(&q->vq);
	q->budget -= count;
	q->inflight += count;
	q->request_count += count;
}

int virtio_queue_pop(struct virtio_queue *q, struct iovec *iov, unsigned iov_max,
		     struct virtqueue_chain *chain)
{
	int ret;

	if (!may_pop(q))
		return 0;
	do {
		ret = virtqueue_pop(&q->vq, iov, iov_max, chain);
	} while (ret == 0 && !loop_poll_add(q->loop, &q->poll) && virtqueue_enable_notify(&q->vq));
	if (ret < 0)
		virtio_device_needs_reset(q->dev, "a ring that breaks the rules");
	if (ret > 0)
		account_popped(q, 1);
	return ret;
}

unsigned virtio_queue_pop_parts(struct virtio_queue *q, struct virtqueue_part *parts, unsigned max,
				uint64_t want_len)
{
	unsigned count = 0;

	if (may_pop(q))
		count = virtqueue_pop_parts(&q->vq, parts, max < q->budget ? max : q->budget,
					    want_len);
	if (count > 0)
		account_popped(q, count);
	return count;
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
	const struct virtio_transport_ops *transport = virtio_transport_load(q->dev);

	return transport && transport->queue_irq_fd ? transport->queue_irq_fd(q->dev, q->index)
						    : -1;
}

void virtio_queue_interrupt(struct virtio_queue *q)
{
	const struct virtio_transport_ops *transport = virtio_transport_load(q->dev);

	if (transport)
		transport->interrupt_queue(q->dev, q->index);
}

void virtio_queue_irqs_changed(struct virtio_device *dev)
{
	for (uint16_t i = 0; dev->ops->queue_irq_changed && i < dev->queue_count; i++)
		dev->ops->queue_irq_changed(&dev->queues[i]);
}

int virtio_queue_init(struct virtio_queue *q)
{
	q->round_end.fn = round_ended;
	q->kick_event.fn = kick_arrived;
	q->poll = (struct loop_poll){ .look = poll_looks, .rest = poll_rests, .fn = poll_found };
	q->kick_event.events = EPOLLIN;
	/* Never read, so never 0: each time a queue starts its first kick is there, and finds
	 * requests that were made available before. */
	q->kick_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	q->kick_event.fd = q->kick_fd;
	return q->kick_fd < 0
		       ? log_errno(errno, "%s: eventfd for queue %u", q->dev->ops->name, q->index)
		       : 0;
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

static void start_here(struct virtio_queue *q)
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
			start_here(&batch->dev->queues[i]);
	loop_call_done(call);
}

static void stop_here(struct virtio_queue *q, struct virtio_batch *batch)
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
			stop_here(&batch->dev->queues[i], batch);
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

void virtio_queues_start(struct virtio_device *dev)
{
	batch_run_all(dev, batch_start);
}

void virtio_queues_stop(struct virtio_device *dev)
{
	batch_run_all(dev, batch_stop);
}

void virtio_queue_start(struct virtio_queue *q)
{
	batch_run(q->dev, q->loop, q->index, batch_start);
}

void virtio_queue_stop(struct virtio_queue *q)
{
	batch_run(q->dev, q->loop, q->index, batch_stop);
}
