/*
 * The life of a block request. A queue's loop thread.
 *
 * Popped into a slot; taken apart by blk_request_parse; submitted to the back end, which reads or
 * writes guest memory directly; answered in its status byte and pushed. A request of several
 * segments is submitted once for each. What the loop has no room for, or what a limit does not let
 * through yet, is held, in order, and nothing more is popped until it is under way.
 *
 * Slots and their iovecs are reserved when the device is created, as many as a queue has
 * descriptors, and cost memory only once they have been used: a slot given back is the next one
 * taken, so that a guest that has n requests in flight uses n of them.
 */
#include "devices/virtio/blk_queue.h"

#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/mman.h>

#define HELD_RETRY_NS 1000000ull
#define IOV_MAX_BLK   VIRTQUEUE_SIZE_MAX

struct blk_slot {
	struct block_request req;
	struct blk_queue *queue;
	struct blk_slot *next; /* free or held */
	struct blk_parsed parsed;
	unsigned segment; /* under way */
	uint32_t written; /* bytes of the chain that the driver may look at */
	uint16_t head;
	bool paid; /* the limit has let it through */
	struct iovec iov[IOV_MAX_BLK];
};

/* ---- slots ---- */

static size_t slots_len(const struct blk_queue *bq)
{
	return bq->size * sizeof(struct blk_slot);
}

static struct blk_slot *slot_take(struct blk_queue *bq)
{
	struct blk_slot *slot = bq->free;

	if (slot) {
		bq->free = slot->next;
		return slot;
	}
	if (bq->fresh == bq->size)
		return NULL;
	slot = &bq->slots[bq->fresh++];
	slot->queue = bq;
	return slot;
}

static void slot_give(struct blk_slot *slot)
{
	slot->next = slot->queue->free;
	slot->queue->free = slot;
}

/* ---- answering ---- */

static void complete(struct blk_slot *slot, uint8_t status)
{
	if (slot->parsed.status_byte)
		*slot->parsed.status_byte = status;
	virtio_queue_push(slot->queue->q, slot->head, slot->written);
	slot_give(slot);
}

static uint8_t status_of(struct blk_slot *slot, int result)
{
	if (result == 0)
		return VIRTIO_BLK_S_OK;
	if (result == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	/* The person whose disk is full or broken wants to know; the machine goes on. */
	log_guest(&slot->queue->log_limit, "%s: a request failed: %s", slot->queue->name,
		  strerror(-result));
	return VIRTIO_BLK_S_IOERR;
}

/* ---- to the back end and back ---- */

static void request_done(struct block_request *req, int result);

static void hold(struct blk_slot *slot)
{
	struct blk_queue *bq = slot->queue;

	slot->next = NULL;
	*bq->held_tail = slot;
	bq->held_tail = &slot->next;
}

static int submit(struct blk_slot *slot)
{
	struct blk_queue *bq = slot->queue;
	int ret = block_submit(bq->block, bq->q->loop, &slot->req);

	if (ret == 0)
		bq->active++;
	return ret;
}

/* Zeroes count like any data: not every file system has a cheap way to write them. A flush moves
 * nothing, and a discard gives back. */
static uint64_t bytes_moved(const struct blk_slot *slot)
{
	uint64_t len = 0;

	if (slot->parsed.action == BLK_TRANSFER)
		return slot->parsed.len;
	if (slot->parsed.action == BLK_SEGMENTS && slot->parsed.op == BLOCK_WRITE_ZEROES)
		for (unsigned i = 0; i < slot->parsed.segment_count; i++)
			len += slot->parsed.segments[i].len;
	return len;
}

/* True when the limit lets SLOT through, now or some time ago. */
static bool pay(struct blk_slot *slot)
{
	struct limit_user *limit = &slot->queue->limit;

	if (!slot->paid && !limit->waiting)
		slot->paid = limit_take(limit, bytes_moved(slot));
	return slot->paid;
}

/* As many of the held ones as there is room for. True when none is left. */
static bool submit_held(struct blk_queue *bq)
{
	struct blk_slot *slot;

	while ((slot = bq->held_head)) {
		int ret;

		if (!pay(slot))
			return false;
		ret = submit(slot);
		if (ret == -EBUSY || ret == -ECANCELED) {
			/* When others have all the room no completion of ours comes to try again.
			 */
			if (bq->active == 0)
				loop_timer_arm(bq->q->loop, &bq->retry,
					       loop_now_ns() + HELD_RETRY_NS);
			return false;
		}
		bq->held_head = slot->next;
		if (!bq->held_head)
			bq->held_tail = &bq->held_head;
		if (ret < 0)
			complete(slot, status_of(slot, ret));
	}
	return true;
}

static void start(struct blk_slot *slot)
{
	hold(slot);
	/* Behind others it waits for its turn. */
	if (slot->queue->held_head == slot)
		(void)submit_held(slot->queue);
}

static void start_segment(struct blk_slot *slot)
{
	const struct blk_segment *segment = &slot->parsed.segments[slot->segment];

	slot->req.offset = segment->offset;
	slot->req.len = segment->len;
	slot->req.may_unmap = segment->may_unmap;
	start(slot);
}

static void request_done(struct block_request *req, int result)
{
	struct blk_slot *slot = container_of(req, struct blk_slot, req);
	struct blk_queue *bq = slot->queue;

	bq->active--;
	if (result == -EBUSY || result == -ECANCELED)
		hold(slot);
	else if (result == 0 && ++slot->segment < slot->parsed.segment_count)
		start_segment(slot);
	else
		complete(slot, status_of(slot, result));
	if (bq->held_head ? submit_held(bq) : bq->full)
		blk_queue_take(bq);
}

static void retry_fired(struct loop_timer *timer)
{
	struct blk_queue *bq = container_of(timer, struct blk_queue, retry);

	if (submit_held(bq))
		blk_queue_take(bq);
}

static void limit_lets_through(struct limit_user *limit)
{
	struct blk_queue *bq = container_of(limit, struct blk_queue, limit);

	bq->held_head->paid = true;
	if (submit_held(bq))
		blk_queue_take(bq);
}

/* ---- taking ---- */

static void answer_id(struct blk_slot *slot)
{
	struct iovec *iov = slot->parsed.iov;
	const char *id = slot->queue->id;
	size_t left = BLK_ID_LEN;

	for (unsigned i = 0; i < slot->parsed.iov_count && left > 0; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, id, part);
		id += part;
		left -= part;
	}
	complete(slot, VIRTIO_BLK_S_OK);
}

static void handle(struct blk_slot *slot)
{
	const struct blk_parsed *parsed = &slot->parsed;
	struct block_request *req = &slot->req;

	req->done = request_done;
	req->op = parsed->op;
	req->iov = parsed->iov;
	req->iov_count = parsed->iov_count;
	req->offset = parsed->offset;
	req->len = parsed->len;
	slot->segment = 0;
	slot->paid = false;
	switch (parsed->action) {
	case BLK_FLUSH_ALL:
		req->len = 0;
		start(slot);
		break;
	case BLK_TRANSFER:
		start(slot);
		break;
	case BLK_SEGMENTS:
		start_segment(slot);
		break;
	case BLK_GET_ID:
		answer_id(slot);
		break;
	case BLK_ANSWER:
	case BLK_DROP:
		complete(slot, parsed->status);
		break;
	}
}

void blk_queue_take(struct blk_queue *bq)
{
	const struct virtio_device *dev = bq->q->dev;
	const struct blk_limits limits = {
		.capacity = block_size(bq->block) / BLK_SECTOR_LEN,
		.read_only = bq->block->info.read_only,
		.discard = virtio_has_feature(dev, VIRTIO_BLK_F_DISCARD),
		.write_zeroes = virtio_has_feature(dev, VIRTIO_BLK_F_WRITE_ZEROES),
	};
	struct virtqueue_chain chain;
	struct blk_slot *slot;

	bq->full = false;
	while (!bq->held_head) {
		slot = slot_take(bq);
		if (!slot) {
			/* The driver was not asked to notify: the next completion looks again. */
			bq->full = true;
			return;
		}
		if (virtio_queue_pop(bq->q, slot->iov, IOV_MAX_BLK, &chain) <= 0) {
			slot_give(slot);
			return;
		}
		slot->head = chain.head;
		/* The status byte is the last one, so the driver must look at all. */
		slot->written = (uint32_t)chain.writable_len;
		blk_request_parse(&slot->parsed, slot->iov, &chain, &limits);
		handle(slot);
	}
}

void blk_queue_drop_held(struct blk_queue *bq)
{
	struct blk_slot *slot = bq->held_head;

	loop_timer_disarm(bq->q->loop, &bq->retry);
	limit_cancel(&bq->limit);
	bq->held_head = NULL;
	bq->held_tail = &bq->held_head;
	while (slot) {
		struct blk_slot *next = slot->next;

		complete(slot, VIRTIO_BLK_S_IOERR);
		slot = next;
	}
}

/* ---- life ---- */

int blk_queue_init(struct blk_queue *bq)
{
	bq->held_tail = &bq->held_head;
	bq->retry.fn = retry_fired;
	blk_queue_set_limit(bq, NULL);
	bq->slots = mmap(NULL, slots_len(bq), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bq->slots != MAP_FAILED)
		return 0;
	bq->slots = NULL;
	return log_errno(errno, "virtio-blk: allocate");
}

void blk_queue_fini(struct blk_queue *bq)
{
	if (bq->slots)
		munmap(bq->slots, slots_len(bq));
	bq->slots = NULL;
}

void blk_queue_set_limit(struct blk_queue *bq, struct limit *limit)
{
	limit_user_init(&bq->limit, limit, bq->q->loop, limit_lets_through);
}
